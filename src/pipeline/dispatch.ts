import {
  cachedTokens,
  mayPass,
  noPermit,
  type Placement,
  type PrefixMatch,
  type Refusal,
  type RequestView,
  Reservation,
  RouterError,
  takePermit,
  uncachedTokens,
} from "../core/mod.ts";
import { generates } from "../protocol/mod.ts";
import type { Candidates, PipelineParts } from "./parts.ts";
import { Placed } from "./placed.ts";
import { PrefillRate } from "./prefill_rate.ts";

/**
 * Decides where a request goes and when. `tried` holds slots that are not to be chosen: they failed it already, or serve
 * it beside (`hedge`). Throws `RouterError` when there is no endpoint to give.
 */
export interface Dispatch {
  place(view: RequestView, tried: readonly number[], hedge?: boolean): Placed | Promise<Placed>;
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

  place(view: RequestView, tried: readonly number[], hedge = false): Placed {
    const { table, index, scheduler, pool, clock, metrics, options } = this.#parts;
    const startMs = clock.now();
    let count = this.#untried(pool.candidates(view.model), tried);
    // Failed everywhere else: whatever is left is tried, its circuit open or not.
    const lastResort = count === 0 && tried.length > 0 && !hedge;
    if (lastResort) count = this.#anyLeft(view.model, tried);
    if (count === 0) throw noEndpoints(view);
    const match = index.match(view.blocks);
    const { decision, permit } = this.#decide(view, match, count, startMs, lastResort);
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
      ? index.speculate(slot, view.blocks, match, { predictedMs })
      : undefined;
    pool.poke(slot);
    if (tried.length > 0 && !hedge) scheduler.moved(view, decision, slot, startMs);
    metrics.decision(clock.now() - startMs, view.model, table.meta(slot));
    metrics.prefixMatched(cached, view.promptTokens);
    return new Placed({
      table,
      placement: decision,
      reservation,
      ticket,
      cachedTokens: cached,
      uncachedTokens: uncached,
      workTokens: ahead,
      permit,
      report: (report) => pool.report(report),
      onFirstToken: (ms) => this.#rate.observe(ahead, ms),
    });
  }

  /** Chooses among the first `count` slots and takes the permit of a half-open circuit, unless it is the last resort. */
  #decide(
    view: RequestView,
    match: PrefixMatch,
    count: number,
    startMs: number,
    lastResort: boolean,
  ): { readonly decision: Placement; readonly permit: number } {
    const { table, scheduler, clock, metrics } = this.#parts;
    for (;;) {
      const decision = scheduler.decide(view, match, this.#slots, count, startMs);
      if ("refused" in decision) {
        metrics.decision(clock.now() - startMs, view.model);
        throw refusalError(decision);
      }
      const permit = lastResort ? noPermit : takePermit(table, decision.slot);
      if (permit >= 0) return { decision, permit };
      // Another isolate took the last one between the look and the choice.
      const at = this.#slots.subarray(0, count).indexOf(decision.slot);
      this.#slots.copyWithin(at, at + 1, count--);
      if (count === 0) throw noEndpoints(view);
    }
  }

  /** Writes the candidates that may take the request into the slots to decide over; returns how many. */
  #untried({ slots, count }: Candidates, tried: readonly number[]): number {
    const { table } = this.#parts;
    let left = 0;
    for (let i = 0; i < count; i++) {
      if (!tried.includes(slots[i]) && mayPass(table, slots[i])) this.#slots[left++] = slots[i];
    }
    return left;
  }

  /** As `#untried`, of endpoints that are out, and of those on trial that have enough requests already. */
  #anyLeft(model: string, tried: readonly number[]): number {
    const { pool } = this.#parts;
    let left = 0;
    for (const out of [true, false]) {
      const { slots, count } = pool.candidates(model, out);
      for (let i = 0; i < count; i++) if (!tried.includes(slots[i])) this.#slots[left++] = slots[i];
    }
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
