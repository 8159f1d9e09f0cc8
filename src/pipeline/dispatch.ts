import { cachedTokens, type Placement, type Refusal, Reservation, RouterError, uncachedTokens } from "../core/mod.ts";
import type { RequestView } from "../core/mod.ts";
import { generates } from "../protocol/mod.ts";
import type { Candidates, PipelineParts, PrefixTicket } from "./parts.ts";
import { PrefillRate } from "./prefill_rate.ts";

/** A choice made and paid for: the endpoint's load already counts the request. */
export interface Placed {
  readonly placement: Placement;
  readonly reservation: Reservation;
  readonly ticket: PrefixTicket | undefined;
  readonly cachedTokens: number;
  /** The first byte came, so long after the decision. */
  firstByte(ms: number): void;
}

/**
 * Decides where a request goes and when. `tried` holds slots that failed it already.
 * Throws `RouterError` when there is no endpoint to give.
 */
export interface Dispatch {
  place(view: RequestView, tried: readonly number[]): Placed | Promise<Placed>;
}

/** Places at once, in the caller's isolate: match, decide, reserve and speculate are one step that nothing interrupts. */
export class DirectDispatch implements Dispatch {
  readonly #parts: PipelineParts;
  readonly #slots: Uint16Array;
  readonly #rate = new PrefillRate();

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#slots = new Uint16Array(parts.table.capacity);
  }

  place(view: RequestView, tried: readonly number[]): Placed {
    const { table, index, scheduler, pool, clock, metrics, options } = this.#parts;
    const startMs = clock.now();
    let count = this.#untried(pool.candidates(view.model), tried);
    // Failed everywhere else: one that is out may have come back since it was last looked at.
    if (count === 0 && tried.length > 0) count = this.#untried(pool.candidates(view.model, true), tried);
    if (count === 0) throw noEndpoints(view);
    const match = index.match(view.blocks);
    const decision = scheduler.decide(view, match, this.#slots, count, startMs);
    if ("refused" in decision) {
      metrics.decision(clock.now() - startMs, view.model);
      throw refusalError(decision);
    }
    const { slot } = decision;
    const uncached = uncachedTokens(view, match, slot);
    const ahead = Math.max(0, table.prefillTokens[slot]) + uncached;
    // Of a plain answer the first byte comes with the last token, which is not predicted.
    const predictedMs = view.stream ? this.#rate.predictMs(ahead) : undefined;
    const reservation = new Reservation(table, slot, {
      prefillTokens: uncached,
      decodeTokens: view.promptTokens + expectedOutput(view, options.outputTokensAssumed),
    });
    const cached = cachedTokens(view, match, slot);
    const ticket = view.blocks.hashes.length > 0
      ? index.speculate(slot, view.blocks, match, startMs, { predictedMs })
      : undefined;
    pool.poke(slot);
    if (tried.length > 0) scheduler.moved(view, decision, slot, startMs);
    metrics.decision(clock.now() - startMs, view.model, table.meta(slot));
    metrics.prefixMatched(cached, view.promptTokens);
    const firstByte = (ms: number) => {
      if (view.stream) this.#rate.observe(ahead, ms);
    };
    return { placement: decision, reservation, ticket, cachedTokens: cached, firstByte };
  }

  /** Writes the candidates that were not tried into the slots to decide over; returns how many. */
  #untried({ slots, count }: Candidates, tried: readonly number[]): number {
    let left = 0;
    for (let i = 0; i < count; i++) if (!tried.includes(slots[i])) this.#slots[left++] = slots[i];
    return left;
  }
}

/** Output tokens to reserve: the client's limit where it is below what is assumed. */
export function expectedOutput({ api, maxOutputTokens }: RequestView, assumed: number): number {
  return generates(api) ? Math.min(maxOutputTokens ?? assumed, assumed) : 0;
}

export function noEndpoints(view: RequestView): RouterError {
  const model = view.model === "" ? "" : ` for model \`${view.model}\``;
  return new RouterError("rejected-no-endpoints", `No endpoint is ready${model}`);
}

/** What a client is told when the scheduler has nothing to offer. */
export function refusalError(refusal: Refusal): RouterError {
  switch (refusal.refused) {
    case "no-endpoints":
      return new RouterError("rejected-no-endpoints", refusal.message);
    case "filtered":
      return new RouterError("rejected-saturated", refusal.message);
    case "unknown-profile":
      return new RouterError("bad-request", refusal.message);
    case "not-cached":
      return new RouterError("not-cached", refusal.message);
  }
}
