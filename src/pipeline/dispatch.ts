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
import type { Prediction } from "../latency/mod.ts";
import { generates } from "../protocol/mod.ts";
import type { Candidates, PipelineParts } from "./parts.ts";
import { Placed } from "./placed.ts";

/**
 * A plain answer tells nothing of its prompt being computed: it is taken to be so when its first token is predicted, and
 * before anything can be predicted after this time, at 50,000 tokens a second, which few engines reach. A slower one would be held back by a slower guess if it was wrong; by this one it gets a queue
 * of its own, from which its limit is learned.
 */
const computedMsPerToken = 0.02;
const background = { background: true };

/** What a request may be placed by besides itself. */
export interface PlaceOptions {
  /** An attempt beside another one: it goes now or not at all. */
  readonly hedge?: boolean;
  /** Aborts when nobody waits for the place any more. */
  readonly signal?: AbortSignal;
  /** The place is taken back in favour of a request of higher priority, before the answer has begun. */
  readonly onRevoke?: () => void;
}

/**
 * Decides where a request goes and when. `tried` holds slots that are not to be chosen: they failed it already, or serve
 * it beside (`hedge`). Throws `RouterError` when there is no endpoint to give.
 */
export interface Dispatch {
  place(view: RequestView, tried: readonly number[], options?: PlaceOptions): Placed | Promise<Placed>;
}

/** How a choice is bounded by what endpoints have room for. */
interface Room {
  /** Share of an endpoint's capacity the request may use. */
  readonly ceiling: number;
  /** What the request was given already; its endpoint counts it. */
  readonly granted?: Place;
  /** Longest wait for the endpoint that holds the prefix, while others have room. */
  readonly holdMsMax: number;
}

/** An endpoint that counts a request, and prefill tokens of it. */
export interface Place {
  readonly slot: number;
  readonly prefillTokens: number;
}

/** Nobody has room now: those that may take the request once they have. */
export interface Full {
  readonly slots: readonly number[];
  /** Prompt tokens that the best of them has to compute. */
  readonly prefillTokens: number;
  /** One of them that is worth a wait of its own. */
  readonly hold?: { readonly slot: number; readonly ms: number };
}

export const isFull = (result: Placed | Full): result is Full => !(result instanceof Placed);

/** Places at once, in the caller's isolate: match, decide, reserve and speculate are one step that nothing interrupts. */
export class DirectDispatch implements Dispatch {
  readonly #parts: PipelineParts;
  readonly #slots: Uint16Array;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#slots = new Uint16Array(parts.table.capacity);
  }

  /** Without regard to what endpoints have room for. */
  place(view: RequestView, tried: readonly number[], { hedge = false }: PlaceOptions = {}): Placed {
    const { pool } = this.#parts;
    const count = this.#untried(pool.candidates(view.model), tried);
    // Failed everywhere else: whatever is left is tried, its circuit open or not.
    if (count === 0 && tried.length > 0 && !hedge) {
      return this.#choose(view, tried, hedge, this.#anyLeft(view.model, tried), undefined, true) as Placed;
    }
    return this.#choose(view, tried, hedge, count, undefined) as Placed;
  }

  /** Among endpoints with room for the request, ahead of which nobody waits; `Full` when there is none. */
  placeWithin(
    view: RequestView,
    tried: readonly number[],
    hedge: boolean,
    ceiling: number,
    holdMsMax: number,
  ): Placed | Full {
    const { table, pool } = this.#parts;
    const eligible = this.#untried(pool.candidates(view.model), tried);
    if (eligible === 0) return hedge || tried.length === 0 ? this.#full(view, tried) : this.place(view, tried);
    let count = 0;
    for (let i = 0; i < eligible; i++) {
      const slot = this.#slots[i];
      if (table.queued[slot] >= view.priority || !table.hasRoom(slot, ceiling)) continue;
      // Those with room are brought to the front; the others stay behind them.
      this.#slots[i] = this.#slots[count];
      this.#slots[count++] = slot;
    }
    if (count === 0) return this.#full(view, tried);
    return this.#choose(view, tried, hedge, count, { ceiling, holdMsMax }, false, eligible);
  }

  /** As `placeWithin`, for a request that was given a place, and that may go there or to where it is better off now. */
  placeGranted(view: RequestView, tried: readonly number[], place: Place, ceiling: number): Placed | Full {
    const { table, pool } = this.#parts;
    const eligible = this.#untried(pool.candidates(view.model), tried);
    let count = 0;
    for (let i = 0; i < eligible; i++) {
      const other = this.#slots[i];
      if (other === place.slot || table.hasRoom(other, ceiling)) this.#slots[count++] = other;
    }
    const granted = this.#slots.subarray(0, count).includes(place.slot) ? place : undefined;
    if (!granted) this.giveBack(place);
    if (count === 0) return this.#full(view, tried);
    return this.#choose(view, tried, false, count, { ceiling, granted, holdMsMax: 0 });
  }

  giveBack({ slot, prefillTokens }: Place): void {
    this.#parts.table.inflight(slot, -1, -prefillTokens, 0);
  }

  /**
   * The slots that may take a request, full or not: candidates that the filters of its profile keep. A permit that lacks is
   * waited for like room.
   */
  eligible(
    view: RequestView,
    tried: readonly number[],
    match: PrefixMatch = this.#parts.index.match(view.blocks),
  ): number[] {
    const { pool, scheduler, clock } = this.#parts;
    const count = this.#untried(pool.candidates(view.model), tried, false);
    if (count === 0) return [];
    const kept = scheduler.eligible(view, match, this.#slots, count, clock.now());
    return Array.from(this.#slots.subarray(0, kept));
  }

  #full(
    view: RequestView,
    tried: readonly number[],
    match: PrefixMatch = this.#parts.index.match(view.blocks),
    hold?: Full["hold"],
  ): Full {
    const slots = this.eligible(view, tried, match);
    let cached = 0;
    for (const slot of slots) cached = Math.max(cached, cachedTokens(view, match, slot));
    return { slots, prefillTokens: view.promptTokens - cached, hold };
  }

  /**
   * Chooses among the first `count` of the slots to decide over, and takes what the choice costs. With `room`, slots from
   * there to `eligible` are those without room.
   */
  #choose(
    view: RequestView,
    tried: readonly number[],
    hedge: boolean,
    count: number,
    room: Room | undefined,
    lastResort = false,
    eligible = count,
  ): Placed | Full {
    const { table, index, scheduler, pool, clock, metrics, options } = this.#parts;
    const startMs = clock.now();
    if (count === 0) throw noEndpoints(view);
    const match = index.match(view.blocks);
    if (room && eligible > count && room.holdMsMax > 0) {
      const hold = this.#worthWaiting(view, match, count, eligible, room.holdMsMax);
      if (hold) return this.#full(view, tried, match, hold);
    }
    const decided = this.#decide(view, match, count, startMs, tried.length > 0, lastResort, room);
    if (!("permit" in decided)) {
      // The filters would have it where there is no room.
      const full = this.#full(view, tried, match);
      if (full.slots.length === 0) throw refusalError(decided);
      return full;
    }
    const { decision, permit } = decided;
    const { slot } = decision;
    const uncached = uncachedTokens(view, match, slot);
    const prediction = this.#parts.latency?.take();
    const own = slot === room?.granted?.slot ? room.granted.prefillTokens : 0;
    const ahead = Math.max(0, table.prefillTokens[slot] - own) + uncached;
    // Of a plain answer the first byte comes with the last token, which is not predicted.
    const predictedMs = view.stream ? prediction?.ttftMs : undefined;
    const reservation = new Reservation(table, slot, {
      prefillTokens: uncached,
      decodeTokens: view.promptTokens + expectedOutput(view, options.outputTokensAssumed),
    }, room && own);
    const computed = !view.stream && uncached > 0
      ? clock.after(this.#computedMs(prediction, ahead), () => reservation.computed(), background)
      : undefined;
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
      computed,
      prediction,
      report: (report) => pool.report(report),
    });
  }

  /** When the prompt of a plain answer is taken to be computed. */
  #computedMs(prediction: Prediction | undefined, aheadTokens: number): number {
    const known = prediction && this.#parts.latency?.prefillMs(prediction.told.slot, 0) !== undefined;
    return known ? prediction.ttftMs : aheadTokens * computedMsPerToken;
  }

  /** How long the fastest of `slots` takes, idle, to the first token of so many uncached ones; undefined while not known. */
  prefillMs(slots: readonly number[], tokens: number): number | undefined {
    let least: number | undefined;
    for (const slot of slots) {
      const ms = this.#parts.latency?.prefillMs(slot, tokens);
      if (ms !== undefined && !(least! <= ms)) least = ms;
    }
    return least;
  }

  /**
   * The full endpoint that holds more of the prompt than any with room, where its next free place is likely to come before
   * the rest of the prompt were computed elsewhere, and nobody waits for it already.
   */
  #worthWaiting(
    view: RequestView,
    { blocks, blockTokens }: PrefixMatch,
    count: number,
    eligible: number,
    holdMsMax: number,
  ): Full["hold"] {
    const { table } = this.#parts;
    let here = 0, most = 0, slot = -1;
    for (let i = 0; i < eligible; i++) {
      const held = blocks[this.#slots[i]];
      if (i < count) here = Math.max(here, held);
      else if (held > most) [most, slot] = [held, this.#slots[i]];
    }
    if (most <= here || Atomics.load(table.queued, slot) >= view.priority) return undefined;
    const savedMs = this.#parts.latency?.prefillMs(slot, (most - here) * blockTokens) ?? 0;
    const waitMs = table.serviceMs[slot] / Math.max(1, Atomics.load(table.requests, slot));
    return waitMs < savedMs ? { slot, ms: Math.min(savedMs, holdMsMax) } : undefined;
  }

  /**
   * Chooses among the first `count` slots, enters there within `room`, and takes the permit of a half-open circuit, unless
   * it is the last resort. A request that was `admitted` to another endpoint before is not judged anew. A refusal where `room` leaves nobody; what was granted is given back wherever it is not used.
   */
  #decide(
    view: RequestView,
    match: PrefixMatch,
    count: number,
    startMs: number,
    admitted: boolean,
    lastResort: boolean,
    room: Room | undefined,
  ): { readonly decision: Placement; readonly permit: number } | Refusal {
    const { table, scheduler, clock, metrics } = this.#parts;
    const granted = room?.granted;
    const decide = (held = -1) => scheduler.decide(view, match, this.#slots, count, startMs, { admitted, held });
    for (;;) {
      const decision = granted ? this.#without(granted, decide) : decide();
      if ("refused" in decision) {
        metrics.decision(clock.now() - startMs, view.model);
        if (decision.refused === "slo-unmet") this.#parts.latency?.refused(view);
        if (granted) this.giveBack(granted);
        // Refused with a place in hand, it would be given one again at once, for ever.
        if (room && !granted && decision.refused === "filtered") return decision;
        throw refusalError(decision);
      }
      const { slot } = decision;
      if (!room || slot === granted?.slot || table.tryEnter(slot, room.ceiling)) {
        const permit = lastResort ? noPermit : takePermit(table, slot);
        if (permit >= 0) {
          if (granted && slot !== granted.slot) this.giveBack(granted);
          return { decision, permit };
        }
        if (room && slot !== granted?.slot) table.inflight(slot, -1, 0, 0);
      }
      // Another isolate took the last place or permit between the look and the choice.
      const at = this.#slots.subarray(0, count).indexOf(slot);
      this.#slots.copyWithin(at, at + 1, count--);
      if (count > 0) continue;
      if (granted) this.giveBack(granted);
      if (room) return { refused: "no-endpoints", message: "No endpoint has room" };
      throw noEndpoints(view);
    }
  }

  /**
   * Decides as if the request that was granted a place were not there yet. Where a place is what filters lack, another
   * isolate may enter meanwhile. A decision that throws gives the place back.
   */
  #without({ slot, prefillTokens }: Place, decide: (held?: number) => Placement | Refusal): Placement | Refusal {
    const { requests, prefillTokens: tokens } = this.#parts.table;
    Atomics.sub(tokens, slot, prefillTokens);
    let done = false;
    try {
      let decision = decide(slot);
      if ("refused" in decision && decision.refused === "filtered") {
        Atomics.sub(requests, slot, 1);
        try {
          decision = decide();
        } finally {
          Atomics.add(requests, slot, 1);
        }
      }
      done = true;
      return decision;
    } finally {
      Atomics.add(tokens, slot, prefillTokens);
      if (!done) this.giveBack({ slot, prefillTokens });
    }
  }

  /** Writes the candidates that may take the request into the slots to decide over; returns how many. */
  #untried({ slots, count }: Candidates, tried: readonly number[], passing = true): number {
    const { table } = this.#parts;
    let left = 0;
    for (let i = 0; i < count; i++) {
      if (!tried.includes(slots[i]) && (!passing || mayPass(table, slots[i]))) this.#slots[left++] = slots[i];
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
    case "slo-unmet":
      return new RouterError("rejected-slo", refusal.message, { retryAfterS: refusal.retryAfterS });
  }
}
