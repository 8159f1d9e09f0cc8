import { AttemptEnd, RouterError } from "../core/mod.ts";
import { AttemptFailed, type Begun } from "./attempt.ts";
import type { GoOn } from "./continuation.ts";
import type { Dispatch } from "./dispatch.ts";
import { send } from "./forward.ts";
import type { RequestLife } from "./life.ts";
import type { PipelineParts } from "./parts.ts";
import type { Placed } from "./placed.ts";
import { resumedBody } from "./resumed_body.ts";
import type { RetryBudget } from "./retry_budget.ts";
import { type Prepared, streamsTokens } from "./view.ts";

/** Engines that can be told to go on with an answer. */
const engines = new Set<string>(["vllm", "sglang"]);

/** Finds another endpoint for a stream whose own was lost, within the attempts and the budget of any retry. */
export class Continuer {
  readonly #parts: PipelineParts;
  readonly #dispatch: Dispatch;
  readonly #budget: RetryBudget;

  constructor(parts: PipelineParts, dispatch: Dispatch, budget: RetryBudget) {
    this.#parts = parts;
    this.#dispatch = dispatch;
    this.#budget = budget;
  }

  /** How the request's answer goes on elsewhere; undefined for one that never may. */
  of(life: RequestLife, prepared: Prepared): GoOn | undefined {
    const { view, body } = prepared;
    if (!this.#parts.options.continuation || !streamsTokens(view) || !body) return undefined;
    return async (stream, lost) => {
      const resumed = stream.impossible === undefined
        ? resumedBody(body, view.api, stream)
        : { impossible: stream.impossible };
      if ("impossible" in resumed) {
        this.#parts.metrics.continued("impossible");
        throw lost;
      }
      const tried = life.lose();
      const answer = await this.#elsewhere(life, prepared, resumed.body, tried);
      this.#parts.metrics.continued(answer ? "continued" : "failed");
      if (!answer) throw lost;
      life.goOn(answer.attempt);
      return { first: answer.first, rest: answer.attempt.exchange };
    };
  }

  /** The answer of the first endpoint that gives one; undefined when none is left that may be asked. */
  async #elsewhere(
    life: RequestLife,
    prepared: Prepared,
    body: Uint8Array,
    tried: number[],
  ): Promise<Begun | undefined> {
    const { clock, options, table } = this.#parts;
    while (life.attempts < options.attemptsMax) {
      const placed = await this.#place(life, tried);
      if (!placed) return undefined;
      if (!engines.has(table.meta(placed.slot).engine)) {
        placed.release();
        tried.push(placed.slot);
        continue;
      }
      if (!this.#budget.take(clock.now(), options.retryBudget)) {
        placed.release();
        this.#parts.metrics.retryRefused();
        return undefined;
      }
      const attempt = send(life, prepared, placed, this.#parts, body);
      try {
        const answer = await attempt.open({ stream: true, firstToken: true, giveUp: () => true });
        if (answer.sse && answer.head.status === 200) return answer;
        // It does not go on with answers, and so will not those like it.
        life.drop(attempt, AttemptEnd.Cancelled);
        return undefined;
      } catch (error) {
        if (!(error instanceof AttemptFailed)) throw error;
        tried.push(placed.slot);
        life.drop(attempt, error.end);
      }
    }
    return undefined;
  }

  async #place(life: RequestLife, tried: readonly number[]): Promise<Placed | undefined> {
    try {
      const placed = await this.#dispatch.place(life.view!, tried, { signal: life.inbound.signal });
      if (!life.ended) return placed;
      placed.release();
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
    }
    return undefined;
  }
}
