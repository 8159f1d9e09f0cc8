/** A bucket refilled without pause that holds one minute's worth. */
export interface Rate {
  /** Units of time that one piece takes to come back. */
  readonly cost: bigint;
  /** Units of time in which the whole bucket fills: a minute, to the rounding of `cost`. */
  readonly span: bigint;
  readonly perMinute: number;
}

// A quarter of a nanosecond: at the highest limit, 10^9 a minute, a piece costs 240 units, so that rounding shifts a limit
// by 0.2% at most, and 64 bits last for 73 years of clock.
const unitsPerMs = 4_000_000;
const minuteUnits = 60_000 * unitsPerMs;

/** A bucket of `perMinute` pieces, from 1 to 10^9. */
export function rateOf(perMinute: number): Rate {
  const cost = BigInt(Math.round(minuteUnits / perMinute));
  return { cost, span: cost * BigInt(perMinute), perMinute };
}

/** What a bucket is drawn from for: requests or tokens. */
export type Bucket = "requests" | "tokens";

/** One row for as long as it stands for the same key or tenant. */
export interface Seat {
  readonly row: number;
  readonly generation: number;
}

export interface BucketState {
  readonly remaining: number;
  /** Until it is full again. */
  readonly resetMs: number;
}

// An answer far longer than what was reserved for it keeps its key waiting for an hour at most.
const debtSpans = 60n;

// 8 B × 2          full-again times of the two buckets
// 4 B × 1          generation
// 4 B × isolates   in flight, one column an isolate (padded to 8 B for the next region)
const timeColumns = 2;

// Two isolates that take the last place at once see each other and both step back: a few more tries part them.
const placeTries = 4;

/**
 * What keys and tenants have left, as columns over shared memory changed by atomics from every isolate, one row a key or
 * tenant.
 *
 * A bucket is one number, the time at which it will be full again: drawing moves it on, giving back moves it back, and it
 * refills by itself as the clock passes. So one compare-and-exchange refills and draws in one step, and reservations that
 * are settled exactly leave it as if only what was used had been drawn. What is used beyond its reservation is a debt that
 * refilling pays before anything else is given. Times are of one clock for all isolates.
 *
 * Requests in flight are counted per isolate, their sum is what is limited: `releaseAll` gives back what an isolate that
 * died had taken, to the last request.
 */
export class QuotaTable {
  readonly capacity: number;
  readonly #fullAt: Readonly<Record<Bucket, BigInt64Array>>;
  readonly #generation: Int32Array;
  /** `isolate * capacity + row`. */
  readonly #inFlight: Int32Array;

  /** Bytes a table of `capacity` rows takes. */
  static bytes(capacity: number, isolates = 1): number {
    return Math.ceil(capacity * (8 * timeColumns + 4 + 4 * isolates) / 8) * 8;
  }

  constructor(
    capacity: number,
    isolates = 1,
    buffer: ArrayBufferLike = new SharedArrayBuffer(QuotaTable.bytes(capacity, isolates)),
    byteOffset = 0,
  ) {
    if (byteOffset % 8 !== 0) {
      throw new RangeError(`Cannot map the quota table at ${byteOffset}: must be a multiple of 8`);
    }
    this.capacity = capacity;
    const times = (column: number) => new BigInt64Array(buffer, byteOffset + 8 * column * capacity, capacity);
    this.#fullAt = { requests: times(0), tokens: times(1) };
    const intsAt = byteOffset + 8 * timeColumns * capacity;
    this.#generation = new Int32Array(buffer, intsAt, capacity);
    this.#inFlight = new Int32Array(buffer, intsAt + 4 * capacity, capacity * isolates);
  }

  generation(row: number): number {
    return Atomics.load(this.#generation, row);
  }

  /**
   * The row stands for nobody from now on. It must not be given out again before `inFlight` says 0: a request that saw the
   * old generation in time still counts there.
   */
  retire(row: number): void {
    Atomics.add(this.#generation, row, 1);
  }

  /** Fills both buckets of a row that nobody uses. */
  clear(row: number): void {
    Atomics.store(this.#fullAt.requests, row, 0n);
    Atomics.store(this.#fullAt.tokens, row, 0n);
  }

  /** Draws `pieces`, or nothing and answers in how many ms they will be there; Infinity: the bucket never holds so many. */
  draw(row: number, bucket: Bucket, pieces: number, rate: Rate, nowMs: number): number {
    if (pieces === 0) return 0;
    const amount = rate.cost * BigInt(pieces);
    if (amount > rate.span) return Infinity;
    const column = this.#fullAt[bucket];
    const now = units(nowMs);
    let seen = Atomics.load(column, row);
    for (;;) {
      const next = (seen > now ? seen : now) + amount;
      const short = next - now - rate.span;
      if (short > 0n) return milliseconds(short);
      const found = Atomics.compareExchange(column, row, seen, next);
      if (found === seen) return 0;
      seen = found;
    }
  }

  /** Draws what was used beyond a reservation, or gives back what was not, even where that makes a debt. */
  settle(row: number, bucket: Bucket, pieces: number, rate: Rate, nowMs: number): void {
    if (pieces === 0) return;
    const amount = rate.cost * BigInt(pieces);
    const column = this.#fullAt[bucket];
    if (amount < 0n) return void Atomics.add(column, row, amount);
    const now = units(nowMs), limit = now + debtSpans * rate.span;
    let seen = Atomics.load(column, row);
    for (;;) {
      const wanted = (seen > now ? seen : now) + amount;
      const next = wanted < limit ? wanted : limit;
      const found = next > seen ? Atomics.compareExchange(column, row, seen, next) : seen;
      if (found === seen) return;
      seen = found;
    }
  }

  state(row: number, bucket: Bucket, rate: Rate, nowMs: number): BucketState {
    const toFull = Atomics.load(this.#fullAt[bucket], row) - units(nowMs);
    if (toFull <= 0n) return { remaining: rate.perMinute, resetMs: 0 };
    const left = rate.span - toFull;
    return { remaining: left > 0n ? Number(left / rate.cost) : 0, resetMs: milliseconds(toFull) };
  }

  /**
   * Takes a place in flight for an isolate. `full`: `placesMax` are taken; `gone`: the row stands for somebody else by now.
   */
  enter({ row, generation }: Seat, isolate: number, placesMax = Infinity): "entered" | "full" | "gone" {
    const place = isolate * this.capacity + row;
    for (let tries = 0;;) {
      // Counted before it is looked whether that was allowed: of two that come at once none can miss the other.
      Atomics.add(this.#inFlight, place, 1);
      const gone = this.generation(row) !== generation;
      if (!gone && (placesMax === Infinity || this.inFlight(row) <= placesMax)) return "entered";
      Atomics.sub(this.#inFlight, place, 1);
      if (gone) return "gone";
      if (++tries === placeTries || this.inFlight(row) >= placesMax) return "full";
    }
  }

  leave(row: number, isolate: number): void {
    Atomics.sub(this.#inFlight, isolate * this.capacity + row, 1);
  }

  /** Requests in flight, over all isolates. */
  inFlight(row: number): number {
    let sum = 0;
    for (let at = row; at < this.#inFlight.length; at += this.capacity) sum += Atomics.load(this.#inFlight, at);
    return sum;
  }

  /** Gives back every place of an isolate that died. What it had reserved of the buckets stays drawn and refills. */
  releaseAll(isolate: number): void {
    const from = isolate * this.capacity;
    for (let at = from; at < from + this.capacity; at++) Atomics.store(this.#inFlight, at, 0);
  }
}

function units(ms: number): bigint {
  return BigInt(Math.round(ms * unitsPerMs));
}

function milliseconds(amount: bigint): number {
  return Number(amount) / unitsPerMs;
}
