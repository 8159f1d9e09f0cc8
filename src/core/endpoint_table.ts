import { type EndpointMeta, EndpointState } from "./endpoint.ts";

// The header holds the version; then columns, floats first, so that every one is aligned; then the ledger:
//   8 B × 11 waiting, running, kvUsage, sampleAtMs, cacheBlocks, cacheBlockTokens,
//            requestCapacity, foreign, pressure, tokenCapacity, serviceMs
//   4 B × 11 requests, prefillTokens, decodeTokens, totalRequests, generation, failures, breaker, permits,
//            feedBlockTokens, queued, computedTokens
//   1 B × 2  state, feedState (each padded to 8 B)
//   4 B × 4  of each isolate: its own share of requests, prefillTokens, decodeTokens, computedTokens
const headerBytes = 8;
const floatColumns = 11;
const intColumns = 11;
const byteColumns = 2;
const ledgerColumns = 4;

/** `feedState` of an endpoint without a feed. */
export const noFeed = 255;

/** `queued` of an endpoint that nobody waits for: below every priority. */
export const nobodyQueued = -(2 ** 31);

/** Which of the isolates that share a table this is. */
export interface TableShare {
  /** Isolates that reserve. @default {1} */
  readonly isolates?: number;
  /** This one, from 0. @default {0} */
  readonly isolate?: number;
}

/**
 * The pool as columns over shared memory, one row a slot.
 *
 * One isolate, the owner, adds and removes endpoints, sets states and writes load; the others mirror the metadata it
 * tells them of. In-flight columns are changed by atomics from every isolate, and each keeps a ledger of its own share,
 * so that the share of an isolate that died can be given back. A slot keeps its number while the endpoint lives;
 * `generation` grows each time the slot is reused.
 */
export class EndpointTable {
  readonly capacity: number;
  /** Requests queued at the engine, in the last sample. */
  readonly waiting: Float64Array;
  /** Requests running at the engine, in the last sample. */
  readonly running: Float64Array;
  /** Share of KV cache in use, 0 to 1. */
  readonly kvUsage: Float64Array;
  /** Clock milliseconds of the last good sample; NaN when there was none. */
  readonly sampleAtMs: Float64Array;
  /** Engine blocks of KV cache; 0 when not reported. */
  readonly cacheBlocks: Float64Array;
  /** Tokens an engine block holds; 0 when not reported. */
  readonly cacheBlockTokens: Float64Array;
  /** Requests the endpoint may have, ours and others'; Infinity: not known. Flow control's, as are the next five. */
  readonly requestCapacity: Float64Array;
  /** Requests there that are not ours, as of the last sample. */
  readonly foreign: Float64Array;
  /** How full it is besides that, 1 is full: memory, or a sample that is missing. */
  readonly pressure: Float64Array;
  /** Prompt tokens it may have to compute at once; Infinity: without limit. */
  readonly tokenCapacity: Float64Array;
  /** Mean time our requests stay there; NaN: not known. */
  readonly serviceMs: Float64Array;
  /** Highest priority of requests that wait for it, `nobodyQueued` when none does. */
  readonly queued: Int32Array;
  /** Our requests at the endpoint that have not ended. */
  readonly requests: Int32Array;
  /** Uncached prompt tokens of our requests that have no first byte yet. */
  readonly prefillTokens: Int32Array;
  /** Of those, the ones that are taken to be computed although no first byte has told so. */
  readonly computedTokens: Int32Array;
  /** Prompt and expected output tokens of our requests. */
  readonly decodeTokens: Int32Array;
  /** Requests ever sent; wraps. */
  readonly totalRequests: Int32Array;
  readonly generation: Int32Array;
  /** Failed requests in a row. */
  readonly failures: Int32Array;
  /** State of the endpoint's circuit, a `BreakerState`. */
  readonly breaker: Int32Array;
  /** Requests that may still try a half-open circuit; see `takePermit`. */
  readonly permits: Int32Array;
  /** Tokens of a block that the endpoint's feed tells of; 0: it has none, or has not told. */
  readonly feedBlockTokens: Int32Array;
  readonly state: Uint8Array;
  /** `FeedState` of the endpoint's feed, or `noFeed`. */
  readonly feedState: Uint8Array;
  /** Which of the isolates that share it this is. */
  readonly isolate: number;
  readonly #ledgers: readonly (readonly Int32Array[])[];
  readonly #own: readonly Int32Array[];
  readonly #header: Int32Array;
  readonly #meta: (EndpointMeta | undefined)[];
  /** The generation each metadata is of. */
  readonly #metaOf: Int32Array;
  readonly #slots = new Map<string, number>();
  #high = 0;
  #mirrored = 0;
  /** Called after each change by this isolate. */
  onChange: (() => void) | undefined;
  /** A request of this isolate left a slot that others wait for. */
  onRoom: ((slot: number) => void) | undefined;

  /** Bytes a table of `capacity` slots takes. */
  static bytes(capacity: number, isolates = 1): number {
    return headerBytes + capacity * (8 * floatColumns + 4 * (intColumns + ledgerColumns * isolates)) +
      Math.ceil(capacity / 8) * 8 * byteColumns;
  }

  constructor(
    capacity: number,
    buffer?: ArrayBufferLike,
    byteOffset = 0,
    { isolates = 1, isolate = 0 }: TableShare = {},
  ) {
    buffer ??= new SharedArrayBuffer(EndpointTable.bytes(capacity, isolates));
    if (byteOffset % 8 !== 0) {
      throw new RangeError(`Cannot map the endpoint table at ${byteOffset}: must be a multiple of 8`);
    }
    this.capacity = capacity;
    this.isolate = isolate;
    this.#header = new Int32Array(buffer, byteOffset, 2);
    let at = byteOffset + headerBytes;
    const f64 = () => {
      const column = new Float64Array(buffer, at, capacity);
      at += 8 * capacity;
      return column;
    };
    const u8 = () => {
      const column = new Uint8Array(buffer, at, capacity);
      at += Math.ceil(capacity / 8) * 8;
      return column;
    };
    const i32 = () => {
      const column = new Int32Array(buffer, at, capacity);
      at += 4 * capacity;
      return column;
    };
    this.waiting = f64();
    this.running = f64();
    this.kvUsage = f64();
    this.sampleAtMs = f64();
    this.cacheBlocks = f64();
    this.cacheBlockTokens = f64();
    this.requestCapacity = f64();
    this.foreign = f64();
    this.pressure = f64();
    this.tokenCapacity = f64();
    this.serviceMs = f64();
    this.state = u8();
    this.feedState = u8();
    this.requests = i32();
    this.prefillTokens = i32();
    this.decodeTokens = i32();
    this.totalRequests = i32();
    this.generation = i32();
    this.failures = i32();
    this.breaker = i32();
    this.permits = i32();
    this.feedBlockTokens = i32();
    this.queued = i32();
    this.computedTokens = i32();
    this.#ledgers = Array.from({ length: isolates }, () => [i32(), i32(), i32(), i32()]);
    this.#own = this.#ledgers[isolate];
    this.#meta = new Array(capacity).fill(undefined);
    this.#metaOf = new Int32Array(capacity);
  }

  /** Changes whenever an endpoint, its state, its models or its labels change: what is derived from them is rebuilt then. */
  get version(): number {
    return Atomics.load(this.#header, 0) + this.#mirrored;
  }

  /** One past the highest slot in use. */
  get high(): number {
    return this.#high;
  }

  /** Endpoints in the table. */
  get size(): number {
    return this.#slots.size;
  }

  /** Takes a free slot, or -1 when the table is full or `id` is already present. */
  add(meta: EndpointMeta, state: EndpointState = EndpointState.Starting): number {
    if (this.#slots.has(meta.id)) return -1;
    let slot = 0;
    // A slot whose requests have not all ended is not reused: their releases would land on the newcomer.
    while (
      slot < this.capacity &&
      (this.state[slot] !== EndpointState.Free || Atomics.load(this.requests, slot) !== 0)
    ) slot++;
    if (slot === this.capacity) return -1;
    this.waiting[slot] = 0;
    this.running[slot] = 0;
    this.kvUsage[slot] = 0;
    this.sampleAtMs[slot] = NaN;
    this.cacheBlocks[slot] = 0;
    this.cacheBlockTokens[slot] = 0;
    this.requestCapacity[slot] = Infinity;
    this.foreign[slot] = 0;
    this.pressure[slot] = 0;
    this.tokenCapacity[slot] = Infinity;
    this.serviceMs[slot] = NaN;
    this.queued[slot] = nobodyQueued;
    this.feedBlockTokens[slot] = 0;
    this.feedState[slot] = noFeed;
    this.totalRequests[slot] = 0;
    this.failures[slot] = 0;
    this.breaker[slot] = 0;
    this.#metaOf[slot] = Atomics.add(this.generation, slot, 1) + 1;
    this.#put(slot, meta);
    this.state[slot] = state;
    this.touch();
    return slot;
  }

  /** Frees a slot; its in-flight counters go on until the requests there end. */
  remove(slot: number): void {
    if (!this.#meta[slot]) return;
    this.state[slot] = EndpointState.Free;
    this.#drop(slot);
    this.touch();
  }

  /** Takes over what the owner says of a slot: its metadata as of `generation`, or that it is free. */
  mirror(slot: number, generation: number, meta: EndpointMeta | undefined): void {
    this.#drop(slot);
    this.#metaOf[slot] = generation;
    if (meta) this.#put(slot, meta);
    this.#mirrored++;
  }

  setState(slot: number, state: EndpointState): void {
    if (this.state[slot] === state) return;
    this.state[slot] = state;
    this.touch();
  }

  /** Says that metadata of a slot was replaced in place. */
  touch(): void {
    Atomics.add(this.#header, 0, 1);
    this.onChange?.();
  }

  /** Swaps the metadata of a live slot, keeping its counters; the id must be the same. */
  replaceMeta(slot: number, meta: EndpointMeta): void {
    if (this.#meta[slot]?.id !== meta.id) throw new Error(`Cannot replace slot ${slot}: it does not hold ${meta.id}`);
    this.#meta[slot] = meta;
    this.touch();
  }

  /** Metadata of a slot in use; throws for a free one. */
  meta(slot: number): EndpointMeta {
    const meta = this.#meta[slot];
    if (!meta) throw new RangeError(`Cannot read endpoint slot ${slot}: it is free`);
    return meta;
  }

  peek(slot: number): EndpointMeta | undefined {
    return this.#meta[slot];
  }

  slotOf(id: string): number {
    return this.#slots.get(id) ?? -1;
  }

  /** Milliseconds since the last good load sample; Infinity when there was none. */
  sampleAgeMs(slot: number, nowMs: number): number {
    const at = this.sampleAtMs[slot];
    return Number.isNaN(at) ? Infinity : nowMs - at;
  }

  /** Slots in use, ascending; one that was given to another endpoint since it was mirrored is left out. */
  *slots(): Generator<number> {
    for (let slot = 0; slot < this.#high; slot++) {
      if (this.#meta[slot] && this.#metaOf[slot] === Atomics.load(this.generation, slot)) yield slot;
    }
  }

  /** Adds to a slot's in-flight load, and to this isolate's share of it. */
  inflight(slot: number, requests: number, prefillTokens: number, decodeTokens: number): void {
    const [ownRequests, ownPrefill, ownDecode] = this.#own;
    // V8 stops an isolate at function entries and ends of loops only: these lines run all or not at all.
    Atomics.add(ownRequests, slot, requests);
    Atomics.add(this.requests, slot, requests);
    Atomics.add(ownPrefill, slot, prefillTokens);
    Atomics.add(this.prefillTokens, slot, prefillTokens);
    Atomics.add(ownDecode, slot, decodeTokens);
    Atomics.add(this.decodeTokens, slot, decodeTokens);
    if (requests + prefillTokens < 0 && Atomics.load(this.queued, slot) !== nobodyQueued) this.onRoom?.(slot);
  }

  /** So many prefill tokens are taken to be computed; fewer again once a first byte tells it, or nobody asks any more. */
  computed(slot: number, tokens: number): void {
    Atomics.add(this.#own[3], slot, tokens);
    Atomics.add(this.computedTokens, slot, tokens);
    if (tokens > 0 && Atomics.load(this.queued, slot) !== nobodyQueued) this.onRoom?.(slot);
  }

  /** Prompt tokens of ours that an endpoint has to compute, as far as that can be told. */
  toCompute(slot: number): number {
    return this.prefillTokens[slot] - this.computedTokens[slot];
  }

  /** Share of an endpoint's capacity that is in use; 1 is full, beyond is overload. */
  saturation(slot: number): number {
    const requests = (Atomics.load(this.requests, slot) + this.foreign[slot]) / this.requestCapacity[slot];
    const tokens = this.toCompute(slot) / this.tokenCapacity[slot];
    return Math.max(0, requests, tokens, this.pressure[slot]);
  }

  /** Whether a request may enter that may use `ceiling` of the capacity. */
  hasRoom(slot: number, ceiling: number): boolean {
    // Plain reads: it is a look, made of every candidate, and `tryEnter` decides.
    return this.requests[slot] + this.foreign[slot] < this.requestCapacity[slot] * ceiling &&
      this.toCompute(slot) < this.tokenCapacity[slot] * ceiling && this.pressure[slot] < ceiling;
  }

  /**
   * Counts one request more at a slot, as a share of `isolate`, if it has room: several isolates never fill it beyond its
   * capacity. What entered is given back by `inflight`, or held on by a `Reservation`.
   */
  tryEnter(slot: number, ceiling: number, isolate: number = this.isolate, prefillTokens = 0): boolean {
    const [own, ownPrefill] = this.#ledgers[isolate];
    for (;;) {
      const requests = Atomics.load(this.requests, slot);
      if (!this.hasRoom(slot, ceiling) || requests + this.foreign[slot] >= this.requestCapacity[slot] * ceiling) {
        return false;
      }
      if (Atomics.compareExchange(this.requests, slot, requests, requests + 1) !== requests) continue;
      Atomics.add(own, slot, 1);
      Atomics.add(ownPrefill, slot, prefillTokens);
      Atomics.add(this.prefillTokens, slot, prefillTokens);
      return true;
    }
  }

  /** Gives back what an isolate that is gone had reserved; returns its requests. */
  releaseIsolate(isolate: number): number {
    const columns = [this.requests, this.prefillTokens, this.decodeTokens, this.computedTokens];
    let requests = 0;
    for (let slot = 0; slot < this.capacity; slot++) {
      const ended = this.#ledgers[isolate][0][slot];
      requests += ended;
      for (const [i, column] of columns.entries()) {
        Atomics.sub(column, slot, Atomics.exchange(this.#ledgers[isolate][i], slot, 0));
      }
      if (ended > 0 && Atomics.load(this.queued, slot) !== nobodyQueued) this.onRoom?.(slot);
    }
    return requests;
  }

  #put(slot: number, meta: EndpointMeta): void {
    this.#meta[slot] = meta;
    this.#slots.set(meta.id, slot);
    this.#high = Math.max(this.#high, slot + 1);
  }

  #drop(slot: number): void {
    const meta = this.#meta[slot];
    if (!meta) return;
    this.#meta[slot] = undefined;
    // In a mirror the endpoint may have been told of at another slot meanwhile.
    if (this.#slots.get(meta.id) === slot) this.#slots.delete(meta.id);
    while (this.#high > 0 && !this.#meta[this.#high - 1]) this.#high--;
  }
}
