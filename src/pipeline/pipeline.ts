import {
  type Explanation,
  type Outcome,
  type Placement,
  type Refusal,
  type RequestView,
  RouterError,
} from "../core/mod.ts";
import { errorAnswer, outcomeTable } from "../protocol/mod.ts";
import { spanNames } from "../telemetry/mod.ts";
import type { Answer } from "./answer.ts";
import { DirectDispatch, type Dispatch, noEndpoints } from "./dispatch.ts";
import { attempt, AttemptFailed } from "./forward.ts";
import { RequestLife } from "./life.ts";
import type { PipelineParts } from "./parts.ts";
import type { Inbound } from "./types.ts";
import { prepare, type Prepared } from "./view.ts";

/** A decision laid open: nothing was reserved, recorded or sent. */
export interface DecisionReport {
  readonly view: RequestView;
  /** Where the blocks come from: `text`, or the source of the engine's token ids; and why it is text, where ids were wanted. */
  readonly prompt: { readonly source: string; readonly reason?: string };
  readonly matched: readonly { readonly endpoint: string; readonly blocks: number }[];
  readonly totalBlocks: number;
  readonly result: Placement | Refusal;
  readonly explanation: Explanation | undefined;
}

/** One request's life: view → admit → place → forward → outcome. */
export class Pipeline {
  readonly parts: PipelineParts;
  readonly #dispatch: Dispatch;
  #active = 0;
  #draining = false;
  #idle: (() => void)[] = [];

  constructor(parts: PipelineParts) {
    this.parts = parts;
    this.#dispatch = new DirectDispatch(parts);
  }

  /** Requests that have not ended. */
  get active(): number {
    return this.#active;
  }

  /** Refuses new requests; resolves when the running ones have ended. */
  drain(): Promise<void> {
    this.#draining = true;
    if (this.#active === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Answers one request. Never rejects: every failure becomes an error response. */
  async handle(inbound: Inbound): Promise<Answer> {
    this.#active++;
    const life = new RequestLife(inbound, this.parts, () => this.#ended());
    try {
      if (this.#draining) throw new RouterError("rejected-shutting-down", "The router is shutting down");
      const preparing = prepare(inbound, this.parts);
      const prepared = preparing instanceof Promise ? await preparing : preparing;
      life.view = prepared.view;
      life.rewriteRule = prepared.rule;
      await this.#knowModel(prepared.view);
      this.#started(life, prepared);
      return await this.#forward(life, prepared);
    } catch (error) {
      return this.#refuse(life, error);
    }
  }

  /** Answers a request whose body could not be read: it is recorded like any other. */
  refuse(inbound: Inbound, error: unknown): Answer {
    this.#active++;
    return this.#refuse(new RequestLife(inbound, this.parts, () => this.#ended()), error);
  }

  /** Decides for a request without sending it. Throws `RouterError` as `handle` would answer. */
  async explain(inbound: Inbound): Promise<DecisionReport> {
    const { view, prompt } = await prepare(inbound, this.parts);
    const { index, pool, scheduler, clock, table } = this.parts;
    if (view.model !== "" && !pool.hasModel(view.model)) throw modelNotFound(view.model);
    const candidates = pool.candidates(view.model);
    if (candidates.count === 0) throw noEndpoints(view);
    const match = index.match(view.blocks);
    const slots = candidates.slots.slice(0, candidates.count);
    const { result, explanation } = scheduler.explain(view, match, slots, slots.length, clock.now());
    const matched = [...slots].map((slot) => ({ endpoint: table.meta(slot).id, blocks: match.blocks[slot] }));
    const { source, reason } = prompt;
    return { view, prompt: { source, reason }, matched, totalBlocks: match.total, result, explanation };
  }

  /** A model no endpoint is known to serve may have been loaded since the last look. */
  async #knowModel(view: RequestView): Promise<void> {
    const { pool } = this.parts;
    if (view.model === "" || pool.hasModel(view.model)) return;
    await pool.refreshModels();
    if (!pool.hasModel(view.model)) throw modelNotFound(view.requestedModel || view.model);
  }

  #started(life: RequestLife, { view, rule, prompt }: Prepared): void {
    const { metrics } = this.parts;
    const { requestedModel: model, model: targetModel, fairnessId, priority } = view;
    life.series = metrics.requestStarted({ model, targetModel, fairnessId, priority });
    metrics.promptHashed(prompt.source, prompt.reason);
    if (rule !== undefined) metrics.modelRewritten(rule, model, targetModel);
  }

  async #forward(life: RequestLife, prepared: Prepared): Promise<Answer> {
    const { attemptsMax } = this.parts.options;
    const tried: number[] = [];
    let lastFailure: AttemptFailed | undefined;
    for (;;) {
      if (life.inbound.signal.aborted) throw RouterError.clientLeft();
      const startMs = this.parts.clock.now();
      const placing = this.#place(life, tried, lastFailure);
      const placed = placing instanceof Promise ? await placing : placing;
      life.placed = placed;
      if (lastFailure) this.parts.metrics.upstreamRetried(lastFailure.reason);
      life.decisionMs += this.parts.clock.now() - startMs;
      life.attempts++;
      const { slot } = placed.placement;
      life.processingMs ??= this.parts.clock.now() - life.inbound.receivedAtMs;
      try {
        return await attempt(
          life,
          prepared,
          placed,
          this.parts,
          life.attempts >= attemptsMax || placed.placement.fallbacks.length === 0,
        );
      } catch (error) {
        life.dropAttempt(error instanceof AttemptFailed);
        if (!(error instanceof AttemptFailed)) throw error;
        if (life.attempts >= attemptsMax) throw error.failure;
        lastFailure = error;
        tried.push(slot);
      }
    }
  }

  /** When nobody is left to try, the client is told of the failure, not of the empty list it led to. */
  #place(life: RequestLife, tried: readonly number[], lastFailure: AttemptFailed | undefined) {
    const span = life.trace.span(spanNames.orchestration);
    try {
      return this.#dispatch.place(life.view!, tried);
    } catch (error) {
      throw lastFailure && error instanceof RouterError ? lastFailure.failure : error;
    } finally {
      span.end();
    }
  }

  #refuse(life: RequestLife, thrown: unknown): Answer {
    const gone = life.inbound.signal.aborted;
    const error = gone ? RouterError.clientLeft() : RouterError.from(thrown);
    life.dropAttempt(false);
    life.status = gone ? 0 : statusOf(error.outcome);
    life.end(error.outcome, error);
    return errorAnswer(error, life.inbound.errorShape, life.inbound.id);
  }

  #ended(): void {
    this.#active--;
    if (this.#active > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function statusOf(outcome: Outcome): number {
  return outcomeTable[outcome].status;
}

export function modelNotFound(model: string): RouterError {
  // A name may be as long as a body; the error repeats what a person can read.
  const shown = model.length > 200 ? `${model.slice(0, 200)}…` : model;
  return new RouterError("model-not-found", `The model \`${shown}\` does not exist`, {
    param: "model",
  });
}
