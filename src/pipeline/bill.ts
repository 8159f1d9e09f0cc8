import type { Api, Outcome, RequestView } from "../core/mod.ts";
import type { Caller, Charge, UsedTokens } from "../keys/mod.ts";
import type { BodyObserver, Usage } from "../protocol/mod.ts";
import { expectedOutput } from "./dispatch.ts";

/** How a request ended, as far as its price depends on it. */
export interface BillFacts {
  /** As the client was given; 0 before. */
  readonly status: number;
  /** Endpoints it was sent to. */
  readonly attempts: number;
  /** As the engine reported. */
  readonly usage: Usage;
  readonly observer: BodyObserver | undefined;
}

/**
 * What a request costs its key: reserved by estimate before it is placed, settled by use at its end. The prompt and the
 * answer count as the engine reports them, else as they were estimated or seen to pass. What failed or was refused costs
 * nothing, counting tokens only the request.
 */
export class Bill {
  readonly #view: RequestView;
  readonly #outputTokens: number;
  readonly #charge: Charge;

  /** Reserves. Throws what the caller refuses with. */
  constructor(caller: Caller, view: RequestView, outputTokensAssumed: number) {
    this.#view = view;
    this.#outputTokens = expectedOutput(view, outputTokensAssumed);
    this.#charge = caller.reserve(computes(view.api) ? view.promptTokens + this.#outputTokens : 0);
  }

  /** What is left, for the client. */
  headers(): Readonly<Record<string, string>> {
    return this.#charge.headers();
  }

  /** Once; later calls do nothing. */
  settle(outcome: Outcome, facts: BillFacts): void {
    this.#charge.settle(this.#used(outcome, facts));
  }

  #used(outcome: Outcome, { status, attempts, usage, observer }: BillFacts): UsedTokens | undefined {
    // A client that left had its prompt computed once it was sent to an endpoint, and what passed of the answer.
    const left = outcome === "client-disconnect" && attempts > 0 && status < 400;
    if (!left && (outcome !== "completed" || status >= 400)) return undefined;
    if (!computes(this.#view.api)) return { prompt: 0, completion: 0 };
    const { stream, promptTokens } = this.#view;
    const passed = stream ? observer?.events() ?? 0 : left ? 0 : this.#outputTokens;
    const reported = usage.completionTokens ?? passed;
    // What the beginning of a stream reports is not all that followed.
    return { prompt: usage.promptTokens ?? promptTokens, completion: left ? Math.max(reported, passed) : reported };
  }
}

/** Whether a request has tokens computed; to count or cut them takes no engine. */
function computes(api: Api): boolean {
  return api !== "count-tokens" && api !== "tokenize";
}
