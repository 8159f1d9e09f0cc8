import { BlockPool } from "./block_pool.ts";
import type { CacheWatch, EngineOptions, EngineRequest } from "./engine_types.ts";
import { OffloadTiers } from "./kv/offload.ts";
import { lengthOf, noBlocks, type Sequence } from "./sequence.ts";

/** What one engine caches: the accelerator's blocks, the slower tiers behind them, and who watches both. */
export class EngineCache {
  readonly pool: BlockPool;
  /** Whether someone has to learn of each eviction in the step it happens. */
  readonly heeded: boolean;
  readonly #blockSize: number;
  readonly #watch: CacheWatch | undefined;
  readonly #offload: OffloadTiers | undefined;
  #loadMs = 0;

  constructor({ cacheBlocks, blockSize, offload }: EngineOptions, watch?: CacheWatch) {
    this.#blockSize = blockSize;
    this.#watch = watch;
    this.#offload = offload.tiers.length > 0 ? new OffloadTiers(offload, watch) : undefined;
    this.heeded = watch !== undefined || this.#offload !== undefined;
    this.pool = new BlockPool(cacheBlocks, this.heeded ? (key) => this.#evicted(key) : undefined);
  }

  /** Blocks `request` needs at its longest. */
  blocksNeeded(request: EngineRequest): number {
    return Math.ceil((request.prompt.tokens + Math.max(0, request.outputTokens - 1)) / this.#blockSize);
  }

  /** Milliseconds of loading from slower tiers since the last call. */
  takeLoadMs(): number {
    const ms = this.#loadMs;
    this.#loadMs = 0;
    return ms;
  }

  stepEnded(atMs: number): void {
    this.#watch?.stepEnded(atMs);
  }

  /** Empties every tier and tells it. No request may hold blocks. */
  reset(atMs: number): void {
    this.forget();
    this.#watch?.cleared(atMs);
  }

  /** Empties every tier without a word. */
  forget(): void {
    this.pool.clear();
    this.#offload?.clear();
  }

  /** Gives back what a sequence holds. The end of a chain is released first, so that its head lives longest. */
  release(sequence: Sequence): void {
    while (sequence.held > 0) this.pool.release(sequence.blocks[--sequence.held]);
    sequence.published = 0;
  }

  /** Tokens of the sequence that it would find in the cache, were it started now. */
  cachedTokens(sequence: Sequence): number {
    const { keys } = sequence.request.prompt;
    const reusable = Math.min(keys.length, Math.floor((lengthOf(sequence) - 1) / this.#blockSize));
    let hits = 0;
    while (hits < reusable && (this.pool.find(keys[hits]) >= 0 || (this.#offload?.loadNs(keys[hits]) ?? -1) >= 0)) {
      hits++;
    }
    return hits * this.#blockSize;
  }

  /** Takes the cached prefix and blocks for the first chunk; returns the chunk's tokens, 0 when blocks are short. */
  start(sequence: Sequence, budget: number): number {
    const { keys } = sequence.request.prompt;
    const blockSize = this.#blockSize;
    const pool = this.pool;
    // The last token is always computed, as its result is the next token.
    const reusable = Math.min(keys.length, Math.floor((lengthOf(sequence) - 1) / blockSize));
    if (sequence.blocks === noBlocks) sequence.blocks = new Int32Array(this.blocksNeeded(sequence.request));
    const { blocks } = sequence;
    let hits = 0, revived = 0, loads = 0, loadNs = 0;
    for (; hits < reusable; hits++) {
      const block = blocks[hits] = pool.find(keys[hits]);
      if (block >= 0) {
        if (pool.isFree(block)) revived++;
        continue;
      }
      const ns = this.#offload?.loadNs(keys[hits]) ?? -1;
      if (ns < 0) break;
      loads++;
      loadNs += ns * blockSize;
    }
    const cached = hits * blockSize;
    const tokens = Math.min(lengthOf(sequence) - cached, budget);
    const fresh = Math.ceil((cached + tokens) / blockSize) - hits + loads;
    if (fresh + revived > pool.free) return 0;
    for (let i = 0; i < hits; i++) if (blocks[i] >= 0) pool.hold(blocks[i]);
    for (let i = 0; i < hits; i++) if (blocks[i] < 0) blocks[i] = pool.take();
    this.#loadMs += loadNs / 1e6;
    sequence.held = hits;
    sequence.published = 0;
    if (loads > 0) this.#publish(sequence, hits);
    else sequence.published = hits;
    this.#offload?.touch(keys.subarray(0, hits));
    sequence.computed = cached;
    this.grow(sequence, cached + tokens);
    return tokens;
  }

  /**
   * Makes the sequence hold blocks for its first `tokens` tokens and offers those that will be full to the index; false,
   * changing nothing, when too few are free. Full blocks are found by others from the moment they are scheduled, as the
   * same batch computes them.
   */
  grow(sequence: Sequence, tokens: number): boolean {
    const blockSize = this.#blockSize;
    const { keys } = sequence.request.prompt;
    const need = Math.ceil(tokens / blockSize);
    if (need - sequence.held > this.pool.free) return false;
    while (sequence.held < need) sequence.blocks[sequence.held++] = this.pool.take();
    const full = Math.min(Math.floor(tokens / blockSize), keys.length);
    this.#publish(sequence, full);
    return true;
  }

  /** Puts the sequence's blocks up to `full` under their keys, and tells of each run of them that was new. */
  #publish(sequence: Sequence, full: number): void {
    const { keys } = sequence.request.prompt;
    let from = sequence.published;
    for (; sequence.published < full; sequence.published++) {
      const at = sequence.published;
      if (this.pool.publish(sequence.blocks[at], keys[at]) || !this.heeded) continue;
      this.#stored(sequence.request, from, at);
      from = at + 1;
    }
    if (this.heeded) this.#stored(sequence.request, from, full);
  }

  #stored(request: EngineRequest, from: number, to: number): void {
    if (from >= to) return;
    this.#watch?.stored(request, from, to);
    if (this.#offload?.options.policy === "store") this.#offload.store(request.prompt.keys.subarray(from, to));
  }

  /** The accelerator reuses a block. A tier takes it over first, so that its content is always known to someone. */
  #evicted(key: number): void {
    if (this.#offload?.options.policy === "evict") this.#offload.store([key]);
    this.#watch?.evicted(key);
  }
}
