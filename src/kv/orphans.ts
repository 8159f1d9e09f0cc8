/** Changes to blocks that are not known yet, kept for a while until the block they wait for is stored. */
import type { KvStored } from "../protocol/mod.ts";
import type { KvTier } from "../core/mod.ts";

/** What is to be done once the block it waits for is known. */
export type WaitingChange =
  | { readonly kind: "stored"; readonly event: KvStored }
  | { readonly kind: "located" | "removed"; readonly tier: KvTier; readonly hash: bigint };

interface Waiting {
  readonly on: bigint;
  readonly change: WaitingChange;
  readonly untilMs: number;
}

/** Bounds of what waits. */
export interface OrphanLimits {
  /** @default {1024} */
  readonly max: number;
  /** @default {5000} */
  readonly ttlMs: number;
}

export const orphanDefaults: OrphanLimits = { max: 1024, ttlMs: 5000 };

/** Changes in order of arrival, found by the engine hash they wait for. */
export class Orphans {
  readonly #limits: OrphanLimits;
  /** Oldest first. */
  readonly #all = new Set<Waiting>();
  readonly #byHash = new Map<bigint, Waiting[]>();
  /** Blocks that a waiting store will make known, by how many such stores. */
  readonly #promised = new Map<bigint, number>();

  constructor(limits: Partial<OrphanLimits> = {}) {
    this.#limits = { ...orphanDefaults, ...limits };
  }

  get size(): number {
    return this.#all.size;
  }

  /** When the oldest expires; undefined when none waits. */
  get dueMs(): number | undefined {
    return this.#all.values().next().value?.untilMs;
  }

  /** Whether a block is about to become known, or has something waiting for it. */
  expects(hash: bigint): boolean {
    return this.#promised.has(hash) || this.#byHash.has(hash);
  }

  /** Keeps `change` until `on` is known; returns how many older ones were given up for room. */
  add(on: bigint, change: WaitingChange, nowMs: number): number {
    const waiting: Waiting = { on, change, untilMs: nowMs + this.#limits.ttlMs };
    this.#all.add(waiting);
    const same = this.#byHash.get(on);
    if (same) same.push(waiting);
    else this.#byHash.set(on, [waiting]);
    if (change.kind === "stored") this.#promise(change.event.hashes, 1);
    let given = 0;
    for (; this.#all.size > this.#limits.max; given++) this.#drop(this.#all.values().next().value!);
    return given;
  }

  /** Takes what waited for `hash`, oldest first. */
  take(hash: bigint): WaitingChange[] {
    const found = this.#byHash.get(hash);
    if (!found) return [];
    this.#byHash.delete(hash);
    for (const waiting of found) {
      this.#all.delete(waiting);
      if (waiting.change.kind === "stored") this.#promise(waiting.change.event.hashes, -1);
    }
    return found.map(({ change }) => change);
  }

  /** Gives up what waited too long; returns how many. */
  expire(nowMs: number): number {
    let given = 0;
    for (const waiting of this.#all) {
      if (waiting.untilMs > nowMs) break;
      this.#drop(waiting);
      given++;
    }
    return given;
  }

  clear(): void {
    this.#all.clear();
    this.#byHash.clear();
    this.#promised.clear();
  }

  #drop(waiting: Waiting): void {
    this.#all.delete(waiting);
    const same = this.#byHash.get(waiting.on)!;
    same.splice(same.indexOf(waiting), 1);
    if (same.length === 0) this.#byHash.delete(waiting.on);
    if (waiting.change.kind === "stored") this.#promise(waiting.change.event.hashes, -1);
  }

  #promise(hashes: BigUint64Array, by: number): void {
    for (const hash of hashes) {
      const count = (this.#promised.get(hash) ?? 0) + by;
      if (count > 0) this.#promised.set(hash, count);
      else this.#promised.delete(hash);
    }
  }
}
