/** Why an endpoint may or may not take requests. */
export const EndpointState = {
  Free: 0,
  /** Known, not yet seen healthy. */
  Starting: 1,
  Ready: 2,
  /** Takes no new requests; running ones finish. */
  Draining: 3,
  /** Ejected by a health check or by failures. */
  Unhealthy: 4,
} as const;
export type EndpointState = (typeof EndpointState)[keyof typeof EndpointState];

export const endpointStateNames = ["free", "starting", "ready", "draining", "unhealthy"] as const;

/** A model name an endpoint answers to. */
export interface ServedModel {
  readonly id: string;
  /** The base model when `id` is a LoRA adapter. */
  readonly parent?: string;
  readonly maxModelLen?: number;
  readonly created?: number;
  readonly ownedBy?: string;
}

/** The adapters an engine reports, from `vllm:lora_requests_info`. */
export interface AdapterLoad {
  readonly running: ReadonlySet<string>;
  readonly waiting: ReadonlySet<string>;
  /** Adapters the engine can run at once; 0 when not reported. */
  readonly max: number;
}

/** Which metric names an endpoint's engine uses. */
export type EngineKind =
  | "vllm"
  | "sglang"
  | "trtllm-serve"
  | "triton-tensorrt-llm"
  | "triton"
  | (string & Record<never, never>);

/** What is known of one endpoint beyond numbers: one data-parallel rank of one model server. */
export interface EndpointMeta {
  /** `host:port`, with `#rank` where several ranks share the port. Unique in the table. */
  readonly id: string;
  /** Name from discovery (pod name, file entry); equals `id` when none was given. */
  readonly name: string;
  readonly namespace: string;
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  /** Data-parallel rank behind the port, where an endpoint is one of several; absent: the port is the endpoint. */
  readonly rank?: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly engine: EngineKind;
  /** Replaced as a whole when the endpoint reports a new list; empty means not known yet. */
  models: readonly ServedModel[];
  adapters: AdapterLoad;
  /** Named numbers from custom metrics, read by the attribute plugins. */
  readonly attributes: Map<string, number>;
}

const noAdapters: AdapterLoad = { running: new Set(), waiting: new Set(), max: 0 };

/** Everything optional filled: discovery sources give the parts they know. */
export function endpointMeta(part: Partial<EndpointMeta> & Pick<EndpointMeta, "host" | "port">): EndpointMeta {
  const { rank } = part;
  const id = part.id ?? `${part.host}:${part.port}${rank === undefined ? "" : `#${rank}`}`;
  return {
    id,
    name: part.name ?? id,
    namespace: part.namespace ?? "default",
    scheme: part.scheme ?? "http",
    host: part.host,
    port: part.port,
    rank,
    labels: part.labels ?? {},
    engine: part.engine ?? "vllm",
    models: part.models ?? [],
    adapters: part.adapters ?? noAdapters,
    attributes: part.attributes ?? new Map(),
  };
}

// A row is a set of columns at one index. Float columns first, so that every column is aligned:
//   8 B × 6  waiting, running, kvUsage, sampleAtMs, cacheBlocks, cacheBlockTokens
//   4 B × 8  requests, prefillTokens, decodeTokens, totalRequests, generation, failures, breaker, permits
//   1 B × 1  state (padded to 8 B for the next region)
const floatColumns = 6;
const intColumns = 8;

/**
 * The pool as columns over shared memory, one row a slot.
 *
 * Load columns have one writer (the scraper); in-flight columns are changed by atomics from every isolate. A slot
 * keeps its number while the endpoint lives; `generation` grows each time the slot is reused.
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
  /** Our requests at the endpoint that have not ended. */
  readonly requests: Int32Array;
  /** Uncached prompt tokens of our requests that have no first byte yet. */
  readonly prefillTokens: Int32Array;
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
  readonly state: Uint8Array;
  readonly #meta: (EndpointMeta | undefined)[];
  readonly #slots = new Map<string, number>();
  #high = 0;
  #version = 0;

  /** Bytes a table of `capacity` slots takes. */
  static bytes(capacity: number): number {
    return capacity * (8 * floatColumns + 4 * intColumns) + Math.ceil(capacity / 8) * 8;
  }

  constructor(
    capacity: number,
    buffer: ArrayBufferLike = new SharedArrayBuffer(EndpointTable.bytes(capacity)),
    byteOffset = 0,
  ) {
    if (byteOffset % 8 !== 0) {
      throw new RangeError(`Cannot map the endpoint table at ${byteOffset}: must be a multiple of 8`);
    }
    this.capacity = capacity;
    let at = byteOffset;
    const f64 = () => {
      const column = new Float64Array(buffer, at, capacity);
      at += 8 * capacity;
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
    this.requests = i32();
    this.prefillTokens = i32();
    this.decodeTokens = i32();
    this.totalRequests = i32();
    this.generation = i32();
    this.failures = i32();
    this.breaker = i32();
    this.permits = i32();
    this.state = new Uint8Array(buffer, at, capacity);
    this.#meta = new Array(capacity).fill(undefined);
  }

  /** Grows whenever an endpoint, its state, its models or its labels change: what is derived from them is rebuilt then. */
  get version(): number {
    return this.#version;
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
    while (slot < this.capacity && (this.state[slot] !== EndpointState.Free || this.requests[slot] !== 0)) slot++;
    if (slot === this.capacity) return -1;
    this.waiting[slot] = 0;
    this.running[slot] = 0;
    this.kvUsage[slot] = 0;
    this.sampleAtMs[slot] = NaN;
    this.cacheBlocks[slot] = 0;
    this.cacheBlockTokens[slot] = 0;
    this.totalRequests[slot] = 0;
    this.failures[slot] = 0;
    this.breaker[slot] = 0;
    this.generation[slot]++;
    this.#meta[slot] = meta;
    this.#slots.set(meta.id, slot);
    this.#high = Math.max(this.#high, slot + 1);
    this.state[slot] = state;
    this.#version++;
    return slot;
  }

  /** Frees a slot; its in-flight counters go on until the requests there end. */
  remove(slot: number): void {
    const meta = this.#meta[slot];
    if (!meta) return;
    this.#slots.delete(meta.id);
    this.#meta[slot] = undefined;
    this.state[slot] = EndpointState.Free;
    while (this.#high > 0 && this.state[this.#high - 1] === EndpointState.Free) this.#high--;
    this.#version++;
  }

  setState(slot: number, state: EndpointState): void {
    if (this.state[slot] === state) return;
    this.state[slot] = state;
    this.#version++;
  }

  /** Says that metadata of a slot was replaced in place. */
  touch(): void {
    this.#version++;
  }

  /** Swaps the metadata of a live slot, keeping its counters; the id must be the same. */
  replaceMeta(slot: number, meta: EndpointMeta): void {
    if (this.#meta[slot]?.id !== meta.id) throw new Error(`Cannot replace slot ${slot}: it does not hold ${meta.id}`);
    this.#meta[slot] = meta;
    this.#version++;
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

  /** Slots in use, ascending. */
  *slots(): Generator<number> {
    for (let slot = 0; slot < this.#high; slot++) if (this.#meta[slot]) yield slot;
  }
}
