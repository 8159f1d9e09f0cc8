import {
  type Explanation,
  type Outcome,
  type Placement,
  type Refusal,
  type RequestView,
  RouterError,
} from "../core/mod.ts";
import { errorAnswer, type HeaderFields, outcomeTable } from "../protocol/mod.ts";
import type { Answer } from "./answer.ts";
import { Bill } from "./bill.ts";
import { noEndpoints } from "./dispatch.ts";
import { FlowDispatch } from "./flow_dispatch.ts";
import { Forwarder } from "./forwarder.ts";
import { RequestLife } from "./life.ts";
import type { PipelineParts } from "./parts.ts";
import type { Inbound } from "./types.ts";
import { prepare, type Prepared, priorityOf } from "./view.ts";

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
  readonly #dispatch: FlowDispatch;
  readonly #forwarder: Forwarder;
  readonly #active: Int32Array;
  #draining = false;
  #idle: (() => void)[] = [];

  constructor(parts: PipelineParts) {
    this.parts = parts;
    this.#active = parts.active ?? new Int32Array(1);
    this.#dispatch = new FlowDispatch(parts);
    this.#forwarder = new Forwarder(parts, this.#dispatch);
  }

  /** Requests that have not ended. */
  get active(): number {
    return Atomics.load(this.#active, 0);
  }

  /** Endpoints came, went or changed: what waits for one is looked at again. */
  reconsider(): void {
    this.#dispatch.reconsider();
  }

  /** Takes back the place of a request whose answer has not begun. */
  revoke(id: number): void {
    this.#dispatch.revoke(id);
  }

  /** Refuses new requests; resolves when the running ones have ended. */
  drain(): Promise<void> {
    this.#draining = true;
    if (this.active === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Answers one request. Never rejects: every failure becomes an error response. */
  async handle(inbound: Inbound): Promise<Answer> {
    Atomics.add(this.#active, 0, 1);
    const life = new RequestLife(inbound, this.parts, () => this.#ended());
    try {
      if (this.#draining) throw new RouterError("rejected-shutting-down", "The router is shutting down");
      const preparing = prepare(inbound, this.parts);
      const prepared = preparing instanceof Promise ? await preparing : preparing;
      life.view = prepared.view;
      life.rewriteRule = prepared.rule;
      await this.#knowModel(prepared.view);
      const { caller } = inbound;
      if (caller) life.bill = new Bill(caller, prepared.view, this.parts.options.outputTokensAssumed);
      this.#started(life, prepared);
      return await this.#forwarder.forward(life, prepared);
    } catch (error) {
      return this.#refuse(life, error);
    }
  }

  /** The priority that a request's headers name. */
  priorityOf(headers: HeaderFields): number {
    return priorityOf(headers, this.parts.options);
  }

  /** Answers a request whose body was not or could not be read: it is recorded like any other. */
  refuse(inbound: Inbound, error: unknown): Answer {
    Atomics.add(this.#active, 0, 1);
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
    const { pool, table, options: { flow } } = this.parts;
    if (view.model === "" || pool.hasModel(view.model)) return;
    await pool.refreshModels();
    // An endpoint that serves it may be on its way.
    if (flow && (table.size === 0 || flow.holdModels.includes(view.model))) return;
    if (!pool.hasModel(view.model)) throw modelNotFound(view.requestedModel || view.model);
  }

  #started(life: RequestLife, { view, rule, prompt }: Prepared): void {
    const { metrics } = this.parts;
    const { requestedModel: model, model: targetModel, fairnessId, priority } = view;
    life.series = metrics.requestStarted({ model, targetModel, fairnessId, priority });
    metrics.promptHashed(prompt.source, prompt.reason);
    if (rule !== undefined) metrics.modelRewritten(rule, model, targetModel);
  }

  #refuse(life: RequestLife, thrown: unknown): Answer {
    const gone = life.inbound.signal.aborted;
    const error = gone ? RouterError.clientLeft() : RouterError.from(thrown);
    life.status = gone ? 0 : statusOf(error.outcome);
    life.end(error.outcome, error);
    return errorAnswer(error, life.inbound.errorShape, life.inbound.id);
  }

  #ended(): void {
    if (Atomics.sub(this.#active, 0, 1) > 1) return;
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
