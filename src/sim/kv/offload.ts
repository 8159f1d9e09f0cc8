import { type SimTier, simTiers } from "./events.ts";

/** A place blocks go to besides the accelerator. */
export interface OffloadTier {
  readonly tier: Exclude<SimTier, "gpu">;
  /** Blocks it holds. */
  readonly blocks: number;
  /** Nanoseconds to bring one token's KV back to the accelerator. */
  readonly loadNs: number;
}

/** The slower tiers of one engine. */
export interface OffloadOptions {
  /** Fastest first; a block that falls out of one goes to the next. Empty: there are none. */
  readonly tiers: readonly OffloadTier[];
  /** Whether a block is copied to the first tier when it is stored on the accelerator, or when it is evicted from it. */
  readonly policy: "store" | "evict";
}

/** Hears what enters and leaves the tiers. */
export interface OffloadWatch {
  tierStored(tier: SimTier, key: number): void;
  tierRemoved(tier: SimTier, key: number): void;
}

/** Least recently used caches of block keys, one a tier. */
export class OffloadTiers {
  readonly options: OffloadOptions;
  /** Keys in order of last use, the oldest first. */
  readonly #keys: readonly Set<number>[];
  readonly #watch: OffloadWatch | undefined;

  constructor(options: OffloadOptions, watch?: OffloadWatch) {
    this.options = options;
    this.#watch = watch;
    this.#keys = options.tiers.map(() => new Set<number>());
    for (const { tier, blocks, loadNs } of options.tiers) {
      if (!simTiers.includes(tier) || !(blocks >= 1) || !(loadNs >= 0)) {
        throw new RangeError(`Cannot make tier ${tier} as it must hold a block: current value is ${blocks}`);
      }
    }
  }

  /** Nanoseconds a token of `key` takes from the fastest tier that has it; -1 when none has. */
  loadNs(key: number): number {
    const at = this.#keys.findIndex((keys) => keys.has(key));
    return at < 0 ? -1 : this.options.tiers[at].loadNs;
  }

  /** Puts in the blocks of a chain, in chain order; its head is what stays longest. */
  store(keys: ArrayLike<number>): void {
    for (let i = 0; i < keys.length; i++) this.#put(0, keys[i]);
    this.touch(keys);
  }

  /** Marks blocks of a chain as used now, where they are. */
  touch(chain: ArrayLike<number>): void {
    for (let i = chain.length - 1; i >= 0; i--) {
      for (const keys of this.#keys) if (keys.delete(chain[i])) keys.add(chain[i]);
    }
  }

  #put(at: number, key: number): void {
    const keys = this.#keys[at];
    if (keys.delete(key)) {
      keys.add(key);
      return;
    }
    const { tier, blocks } = this.options.tiers[at];
    if (keys.size >= blocks) this.#drop(at);
    keys.add(key);
    this.#watch?.tierStored(tier, key);
  }

  #drop(at: number): void {
    const [oldest] = this.#keys[at];
    this.#keys[at].delete(oldest);
    if (at + 1 < this.#keys.length) this.#put(at + 1, oldest);
    this.#watch?.tierRemoved(this.options.tiers[at].tier, oldest);
  }

  /** Forgets everything without a word. */
  clear(): void {
    for (const keys of this.#keys) keys.clear();
  }
}
