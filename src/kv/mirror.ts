/** Applies what one endpoint's feed tells to its slot of the tree. */
import type { KvTier } from "../core/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import type { KvBatch, KvEvent, KvRemoved, KvStored, SkipReason } from "../protocol/mod.ts";
import { GroupCatalog, type GroupCatalogState, type GroupSkip } from "./groups.ts";
import { type OrphanLimits, Orphans, type WaitingChange } from "./orphans.ts";

/** The part of the tree that events change. */
export type MirrorTree = Pick<
  BlockTreeApi,
  "store" | "locate" | "remove" | "knows" | "hold" | "release" | "doubt" | "dropDoubted"
>;

export interface MirrorParts {
  readonly slot: number;
  readonly tree: MirrorTree;
  /** Empties the slot: evidence of every kind, and what is built upon it. */
  readonly clear: () => void;
  /** The engine's block size became known or changed. */
  readonly onBlockTokens?: (tokens: number) => void;
  /** The slot is about to change. */
  readonly beforeChange?: () => void;
}

/** Why an event was left out: by the decoder, or as it cannot be matched. */
export type EventSkip = SkipReason | GroupSkip | "unnamed-adapter" | "uneven-span";

export interface MirrorCounters {
  events: number;
  /** Changes that waited for an unknown block, and those given up. */
  orphans: number;
  orphansLost: number;
  /** Removals of blocks that were not known. */
  unknownRemovals: number;
}

/** What a batch means for how far the slot can be relied on. */
export interface Applied {
  /** The cache was dropped as a whole: from there on all is known. */
  readonly cleared: boolean;
  /** After that, something was lost: what. */
  readonly hole?: string;
}

/** The state of a mirror that outlives a restart of the router. */
export interface MirrorState {
  readonly blockTokens: number;
  readonly groups: GroupCatalogState;
}

export class Mirror {
  readonly counters: MirrorCounters = { events: 0, orphans: 0, orphansLost: 0, unknownRemovals: 0 };
  readonly skipped = new Map<EventSkip, number>();
  readonly #parts: MirrorParts;
  readonly #groups: GroupCatalog;
  readonly #orphans: Orphans;
  #blockTokens: number;
  /** Of the batch being applied. */
  #nowMs = 0;
  #hole: string | undefined;

  constructor(parts: MirrorParts, limits: Partial<OrphanLimits> = {}, state?: MirrorState) {
    this.#parts = parts;
    this.#orphans = new Orphans(limits);
    this.#groups = new GroupCatalog(state?.groups);
    this.#blockTokens = state?.blockTokens ?? 0;
    if (this.#blockTokens > 0) parts.onBlockTokens?.(this.#blockTokens);
  }

  get state(): MirrorState {
    return { blockTokens: this.#blockTokens, groups: this.#groups.state };
  }

  /** Changes that wait for an unknown block. */
  get waiting(): number {
    return this.#orphans.size;
  }

  /** When the first of them is given up; undefined when none waits. */
  get waitingUntilMs(): number | undefined {
    return this.#orphans.dueMs;
  }

  apply(batch: KvBatch, nowMs: number): Applied {
    this.#parts.beforeChange?.();
    this.#nowMs = nowMs;
    this.#hole = undefined;
    let cleared = false;
    for (const event of batch.events) {
      this.counters.events++;
      if (event.kind === "cleared") {
        this.reset();
        cleared = true;
        this.#hole = undefined;
      } else this.#event(event);
    }
    for (const [reason, count] of Object.entries(batch.skipped ?? {})) this.#skip(reason as SkipReason, count);
    if (batch.unreadable) this.#hole = "a batch could not be read";
    else if (batch.skipped?.malformed) this.#hole = "an event could not be read";
    return { cleared, hole: this.#hole };
  }

  /** Empties the slot and forgets what waits. */
  reset(): void {
    this.#parts.beforeChange?.();
    this.#orphans.clear();
    this.#parts.clear();
  }

  /** The engine is another: nothing learned of it holds. */
  renew(): void {
    this.reset();
    this.#groups.forget();
    this.#blockTokens = 0;
  }

  /** What follows describes the whole cache anew: what is not in it goes when `endRebuild` is called. */
  beginRebuild(): void {
    this.#parts.beforeChange?.();
    this.#orphans.clear();
    this.#parts.tree.doubt(this.#parts.slot);
  }

  endRebuild(): void {
    this.#parts.beforeChange?.();
    this.#parts.tree.dropDoubted(this.#parts.slot);
  }

  /** Something was missed: what is known may be stale. */
  doubt(): void {
    this.#parts.beforeChange?.();
    this.#parts.tree.doubt(this.#parts.slot);
  }

  /** Drops what has stayed doubtful. */
  dropDoubted(): void {
    this.#parts.beforeChange?.();
    this.#parts.tree.dropDoubted(this.#parts.slot);
  }

  /** Gives up what has waited too long; returns how many changes that lost. */
  expire(nowMs: number): number {
    const lost = this.#orphans.expire(nowMs);
    this.counters.orphansLost += lost;
    return lost;
  }

  #event(event: Exclude<KvEvent, { kind: "cleared" }>): void {
    const { slot, tree } = this.#parts;
    switch (event.kind) {
      case "stored":
        return this.#stored(event);
      case "removed":
        return this.#removed(event);
      case "held":
        return void tree.hold(slot, event.tier, event.hashes);
      case "released":
        return void tree.release(slot, event.tier, event.hashes);
    }
  }

  #stored(event: KvStored): void {
    if (event.loraId !== undefined && event.lora === undefined) return this.#skip("unnamed-adapter");
    const skip = event.group && this.#groups.store(event.group);
    if (skip) return this.#skip(skip);
    if (event.tokens.length === 0) return this.#located(event);
    const { hashes, tokens, blockTokens } = event;
    if (hashes.length === 0) return;
    if (blockTokens <= 0 || tokens.length !== blockTokens * hashes.length) return this.#skip("uneven-span");
    // A page that ends a chain may be shorter than the others.
    if (blockTokens > this.#blockTokens) {
      this.#blockTokens = blockTokens;
      this.#parts.onBlockTokens?.(blockTokens);
    }
    if (!this.#store(event)) this.#wait(event.parent!, { kind: "stored", event });
  }

  /** Stores, and lets go what waited for these blocks; false when the parent is unknown. */
  #store(event: KvStored): boolean {
    if (!this.#place(event)) return false;
    if (this.#orphans.size > 0) this.#release(event.hashes);
    return true;
  }

  #located({ tier, hashes }: KvStored): void {
    const { slot, tree } = this.#parts;
    if (tree.locate(slot, tier, hashes) === hashes.length) return;
    for (const hash of hashes) {
      if (!tree.knows(slot, hash)) this.#wait(hash, { kind: "located", tier, hash });
    }
  }

  #removed(event: KvRemoved): void {
    const { slot, tree } = this.#parts;
    const skip = event.group && this.#groups.remove(event.group);
    if (skip) return this.#skip(skip);
    const { tier, hashes } = event;
    if (this.#orphans.size === 0) {
      this.counters.unknownRemovals += hashes.length - tree.remove(slot, tier, hashes);
      return;
    }
    for (let i = 0; i < hashes.length; i++) {
      // The reference to take may be one that is yet to come.
      if (this.#orphans.expects(hashes[i])) this.#wait(hashes[i], { kind: "removed", tier, hash: hashes[i] });
      else if (tree.remove(slot, tier, hashes.subarray(i, i + 1)) === 0) this.counters.unknownRemovals++;
    }
  }

  #wait(on: bigint, change: WaitingChange): void {
    this.counters.orphans++;
    const lost = this.#orphans.add(on, change, this.#nowMs);
    this.counters.orphansLost += lost;
    if (lost > 0) this.#hole = "too many blocks wait for an unknown parent";
  }

  /** Does what waited for blocks that are now known, and for those that this makes known. */
  #release(known: BigUint64Array): void {
    const queue = [known];
    for (let next = queue.shift(); next; next = queue.shift()) {
      for (const hash of next) {
        for (const change of this.#orphans.take(hash)) {
          if (change.kind !== "stored") this.#move(change.kind, change.tier, change.hash);
          else if (this.#place(change.event)) queue.push(change.event.hashes);
          else this.#wait(change.event.parent!, change);
        }
      }
    }
  }

  #place(event: KvStored): boolean {
    const { tier, hashes, parent, tokens, blockTokens, lora = "", extras } = event;
    return this.#parts.tree.store(this.#parts.slot, { tier, hashes, parent, tokens, blockTokens, lora, extras });
  }

  #move(kind: "located" | "removed", tier: KvTier, hash: bigint): void {
    const { slot, tree } = this.#parts;
    const hashes = BigUint64Array.of(hash);
    if (kind === "located") tree.locate(slot, tier, hashes);
    else if (tree.remove(slot, tier, hashes) === 0) this.counters.unknownRemovals++;
  }

  #skip(reason: EventSkip, count = 1): void {
    this.skipped.set(reason, (this.skipped.get(reason) ?? 0) + count);
  }
}
