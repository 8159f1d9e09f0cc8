// The prefix tree kernel in TypeScript: maps, no memory limit, nothing deferred. For differential tests.
import type { KvTier } from "../core/mod.ts";
import { mask, p1, p2, p3, p4, rotl, xxh64Twin } from "./hash_twin.ts";
import type {
  BlockMatch,
  BlockStore,
  BlockTreeApi,
  BlockTreeStats,
  HeldBlock,
  SlotStats,
  TokenPrompt,
} from "./block_tree_types.ts";
import type { HeldBlocks } from "./held_blocks.ts";

/** References to one tier, and the doubt they were last confirmed after. */
interface Evidence {
  refs: number;
  age: number;
}

/** What one source tells of one block. */
interface Told {
  readonly hash: bigint;
  readonly tiers: (Evidence | undefined)[];
}

interface Routed {
  claims: number;
  kept: boolean;
}

class Slot {
  /** By engine hash. */
  readonly records = new Map<bigint, Told>();
  /** By chained hash. */
  readonly direct = new Map<bigint, Told>();
  /** Everything told of a block, by chained hash. */
  readonly told = new Map<bigint, Set<Told>>();
  /** By chained hash; the kept ones least recent first. */
  readonly routed = new Map<bigint, Routed>();
  capacity = 0;
  /** Grows with each doubt. */
  age = 0;
  doubting = false;

  on(hash: bigint, tier: number): boolean {
    for (const { tiers } of this.told.get(hash) ?? []) if (tiers[tier]) return true;
    return false;
  }

  /** Whether there is engine evidence that was confirmed since `doubt`. */
  sure(hash: bigint): boolean {
    for (const { tiers } of this.told.get(hash) ?? []) if (tiers.some((e) => e && this.fresh(e))) return true;
    return false;
  }

  fresh(evidence: Evidence): boolean {
    return !this.doubting || evidence.age === this.age;
  }

  /** One more reference, or the first one since `doubt`. True when the block was not on the tier before. */
  gain(told: Told, tier: number, once: boolean): boolean {
    const gained = !this.on(told.hash, tier);
    const evidence = told.tiers[tier];
    if (!evidence) told.tiers[tier] = { refs: 1, age: this.age };
    else if (!this.fresh(evidence)) Object.assign(evidence, { refs: 1, age: this.age });
    else if (!once) evidence.refs++;
    let all = this.told.get(told.hash);
    if (!all) this.told.set(told.hash, all = new Set());
    all.add(told);
    this.routed.delete(told.hash);
    return gained;
  }

  /** Ends a tier's evidence. True when the block is no longer on the tier. */
  end(told: Told, tier: number): boolean {
    told.tiers[tier] = undefined;
    const all = this.told.get(told.hash)!;
    if (told.tiers.every((e) => !e)) all.delete(told);
    if (all.size === 0) this.told.delete(told.hash);
    return !this.on(told.hash, tier);
  }
}

export class BlockTreeTwin implements BlockTreeApi {
  readonly #slots: Slot[];
  readonly #seed: bigint;
  readonly #match: BlockMatch;
  #changed: bigint[] = [];
  #trimmed = 0;

  constructor(readonly slots: number, seed: bigint) {
    this.#seed = BigInt.asUintN(64, seed);
    this.#slots = Array.from({ length: slots }, () => new Slot());
    this.#match = { blocks: new Int32Array(slots), tiers: new Int32Array(slots * 4) };
  }

  get changed(): BigUint64Array {
    return BigUint64Array.from(this.#changed);
  }

  chain({ tokens, blockTokens, lora, extras }: TokenPrompt): BigUint64Array {
    const hashes: bigint[] = [];
    let state = this.#root(lora);
    for (let at = 0; at + blockTokens <= tokens.length; at += blockTokens) {
      state = this.#extend(state, tokens.subarray(at, at + blockTokens), extras?.get(at / blockTokens));
      hashes.push(state);
    }
    return BigUint64Array.from(hashes);
  }

  match(hashes: BigUint64Array): BlockMatch {
    this.#match.tiers.fill(0);
    this.#slots.forEach((slot, index) => {
      let count = 0;
      for (const hash of hashes) {
        const tier = [0, 1, 2, 3].find((tier) => slot.on(hash, tier));
        if (tier === undefined && !slot.routed.has(hash)) break;
        if (tier !== undefined) this.#match.tiers[index * 4 + tier]++;
        count++;
      }
      this.#match.blocks[index] = count;
    });
    return this.#match;
  }

  store(slotIndex: number, { tier, hashes, parent, tokens, blockTokens, lora, extras }: BlockStore): boolean {
    const slot = this.#slots[slotIndex];
    this.#changed = [];
    const before = parent === undefined ? undefined : slot.records.get(parent);
    if (parent !== undefined && !before) return false;
    let state = before?.hash ?? this.#root(lora);
    hashes.forEach((engineHash, i) => {
      state = this.#extend(state, tokens.subarray(i * blockTokens, (i + 1) * blockTokens), extras?.[i]);
      let told = slot.records.get(engineHash);
      if (told && told.hash !== state) {
        for (let t = 0; t < 4; t++) if (told.tiers[t]) slot.end(told, t);
        told = undefined;
      }
      if (!told) slot.records.set(engineHash, told = { hash: state, tiers: [] });
      if (slot.gain(told, tier, false)) this.#changed.push(state);
    });
    return true;
  }

  locate(slotIndex: number, tier: KvTier, engineHashes: BigUint64Array): number {
    const slot = this.#slots[slotIndex];
    this.#changed = [];
    let known = 0;
    for (const engineHash of engineHashes) {
      const told = slot.records.get(engineHash);
      if (!told) continue;
      known++;
      if (slot.gain(told, tier, false)) this.#changed.push(told.hash);
    }
    return known;
  }

  remove(slotIndex: number, tier: KvTier, engineHashes: BigUint64Array): number {
    const slot = this.#slots[slotIndex];
    this.#changed = [];
    let known = 0;
    for (const engineHash of engineHashes) {
      const told = slot.records.get(engineHash);
      const evidence = told?.tiers[tier];
      if (!told || !evidence) continue;
      known++;
      if (--evidence.refs > 0) continue;
      if (slot.end(told, tier)) this.#changed.push(told.hash);
      if (told.tiers.every((e) => !e)) slot.records.delete(engineHash);
    }
    return known;
  }

  knows(slot: number, engineHash: bigint): boolean {
    return this.#slots[slot].records.has(engineHash);
  }

  hold(slotIndex: number, tier: KvTier, hashes: BigUint64Array): number {
    const slot = this.#slots[slotIndex];
    let changed = 0;
    for (const hash of hashes) {
      let told = slot.direct.get(hash);
      if (!told) slot.direct.set(hash, told = { hash, tiers: [] });
      if (slot.gain(told, tier, true)) changed++;
    }
    return changed;
  }

  release(slotIndex: number, tier: KvTier, hashes: BigUint64Array): number {
    const slot = this.#slots[slotIndex];
    let changed = 0;
    for (const hash of hashes) {
      const told = slot.direct.get(hash);
      if (!told?.tiers[tier]) continue;
      if (slot.end(told, tier)) changed++;
      if (told.tiers.every((e) => !e)) slot.direct.delete(hash);
    }
    return changed;
  }

  clear(slot: number): void {
    const { capacity } = this.#slots[slot];
    this.#slots[slot] = new Slot();
    this.#slots[slot].capacity = capacity;
  }

  doubt(slotIndex: number): void {
    const slot = this.#slots[slotIndex];
    slot.age++;
    slot.doubting = true;
  }

  trust(slotIndex: number): void {
    const slot = this.#slots[slotIndex];
    slot.doubting = false;
    for (const all of slot.told.values()) {
      for (const { tiers } of all) for (const e of tiers) if (e) e.age = slot.age;
    }
  }

  dropDoubted(slotIndex: number): void {
    const slot = this.#slots[slotIndex];
    if (!slot.doubting) return;
    for (const source of [slot.records, slot.direct]) {
      for (const [key, told] of source) {
        told.tiers.forEach((e, tier) => e && !slot.fresh(e) && slot.end(told, tier));
        if (told.tiers.every((e) => !e)) source.delete(key);
      }
    }
    slot.doubting = false;
  }

  claim(slotIndex: number, hashes: BigUint64Array): void {
    const slot = this.#slots[slotIndex];
    for (const hash of hashes) {
      if (slot.sure(hash)) continue;
      const routed = slot.routed.get(hash);
      if (routed) routed.claims++;
      else slot.routed.set(hash, { claims: 1, kept: false });
    }
    this.#trim(slot, slot.capacity);
  }

  settle(slotIndex: number, hashes: BigUint64Array, keep: boolean): void {
    const slot = this.#slots[slotIndex];
    for (const hash of hashes.toReversed()) {
      const routed = slot.routed.get(hash);
      if (!routed) continue;
      routed.claims = Math.max(0, routed.claims - 1);
      if (keep && slot.capacity > 0) {
        routed.kept = true;
        slot.routed.delete(hash);
        slot.routed.set(hash, routed);
      } else if (routed.claims === 0 && !routed.kept) slot.routed.delete(hash);
    }
    this.#trim(slot, slot.capacity);
  }

  forgetRouted(slot: number): void {
    this.#trim(this.#slots[slot], 0, false);
  }

  setCapacity(slot: number, blocks: number): void {
    this.#slots[slot].capacity = blocks;
    this.#trim(this.#slots[slot], blocks);
  }

  reap(_budget: number): number {
    return 0;
  }

  slotStats(index: number): SlotStats {
    const slot = this.#slots[index];
    const tiers: [number, number, number, number] = [0, 0, 0, 0];
    let doubted = 0;
    for (const hash of slot.told.keys()) {
      for (let tier = 0; tier < 4; tier++) if (slot.on(hash, tier)) tiers[tier]++;
      if (!slot.sure(hash)) doubted++;
    }
    return { tiers, blocks: slot.told.size, doubted, routed: slot.routed.size };
  }

  routedBlocks(slot: number): number {
    return this.#slots[slot].routed.size;
  }

  /** `sets`, `bytesUsed`, `bytesMax` and `evicted` are 0. */
  stats(): BlockTreeStats {
    const blocks = new Set<bigint>();
    let pairs = 0;
    for (const { told, routed } of this.#slots) {
      const held = new Set([...told.keys(), ...routed.keys()]);
      pairs += held.size;
      for (const hash of held) blocks.add(hash);
    }
    return { blocks: blocks.size, pairs, sets: 0, bytesUsed: 0, bytesMax: 0, evicted: 0, trimmed: this.#trimmed };
  }

  *held(slot: number): Iterable<HeldBlock> {
    const { records, direct } = this.#slots[slot];
    const refs = ({ tiers }: Told) => [0, 1, 2, 3].map((t) => tiers[t]?.refs ?? 0) as unknown as HeldBlock["tiers"];
    for (const [engineHash, told] of records) yield { hash: told.hash, engineHash, tiers: refs(told) };
    for (const [hash, told] of direct) yield { hash, tiers: refs(told) };
  }

  heldPart(slot: number, _from: number, into: HeldBlocks): undefined {
    for (const block of this.held(slot)) into.add(block);
  }

  restore(slotIndex: number, held: Iterable<HeldBlock>): number {
    const slot = this.#slots[slotIndex];
    let restored = 0;
    for (const { hash, engineHash, tiers } of held) {
      const told: Told = { hash, tiers: [] };
      if (engineHash === undefined) slot.direct.set(hash, told);
      else slot.records.set(engineHash, told);
      tiers.forEach((refs, tier) => {
        for (let i = 0; i < refs; i++) slot.gain(told, tier, false);
      });
      restored++;
    }
    return restored;
  }

  /** Gives up the least recent kept blocks until what is kept or claimed is within `limit`. */
  #trim(slot: Slot, limit: number, counts = true): void {
    for (const [hash, routed] of slot.routed) {
      if (slot.routed.size <= limit) return;
      if (!routed.kept) continue;
      routed.kept = false;
      if (routed.claims === 0) slot.routed.delete(hash);
      if (counts) this.#trimmed++;
    }
  }

  #root(lora: string): bigint {
    return this.#xxh64(`${lora.length}:${lora}`);
  }

  #xxh64(text: string): bigint {
    return xxh64Twin(new TextEncoder().encode(text), this.#seed);
  }

  #extend(state: bigint, tokens: Uint32Array, extras: readonly string[] = []): bigint {
    for (const extra of extras) {
      const lane = (rotl((this.#xxh64(extra) * p2) & mask, 31n) * p1) & mask;
      state = (rotl(state ^ lane, 27n) * p1 + p4) & mask;
    }
    for (const token of tokens) {
      state = (rotl(state ^ ((BigInt(token) * p1) & mask), 23n) * p2 + p3) & mask;
    }
    return state;
  }
}
