/**
 * What the engines of a fleet say: blocks stored in turns of conversations, removed from the end of the oldest ones when
 * a cache is full. All of it follows from numbers, so that what the caches hold at any moment is known without the tree.
 */
import { Prng } from "../../src/core/mod.ts";

export const blockTokens = 16;
/** Blocks of a system prompt. */
const systemBlocks = 32;

export interface TrafficShape {
  readonly slots: number;
  /** Blocks all caches hold together. */
  readonly pairs: number;
  /** Distinct system prompts; 0: conversations begin with their own first block. */
  readonly systems: number;
  /** Chances that a conversation is computed at a second and at a third slot too. */
  readonly again: readonly [number, number];
  readonly seed: number;
}

/** A stretch of a conversation, or of a system prompt, that one engine stored or removed. */
export interface TrafficEvent {
  readonly kind: "store" | "remove";
  readonly slot: number;
  readonly source: Source;
  readonly from: number;
  readonly count: number;
}

/** Something that has blocks of its own: a conversation's own part, or a system prompt. */
export interface Source {
  readonly id: number;
  /** What comes before it. */
  readonly system?: Source;
  readonly turns: readonly number[];
  readonly blocks: number;
  /** Caches that hold it. */
  copies: number;
}

interface Cache {
  blocks: number;
  /** Conversations, the oldest first from `head` on. */
  readonly held: Source[];
  head: number;
  /** Conversations below a system prompt. */
  readonly below: Map<Source, number>;
}

function mix(a: number, b: number): number {
  let x = Math.imul(a ^ (b + 0x9e3779b9), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 15), 0xc2b2ae35);
  x ^= x >>> 13;
  return Math.imul(x ^ (b << 7), 0x27d4eb2f) ^ (x >>> 16);
}

export class Traffic {
  readonly caches: readonly Cache[];
  readonly #shape: TrafficShape;
  readonly #prng: Prng;
  readonly #systems: readonly Source[];
  #conversations = 0;

  constructor(shape: TrafficShape) {
    this.#shape = shape;
    this.#prng = new Prng(shape.seed);
    this.caches = Array.from({ length: shape.slots }, () => ({ blocks: 0, held: [], head: 0, below: new Map() }));
    this.#systems = Array.from(
      { length: shape.systems },
      (_, i) => ({ id: 0x4000_0000 + i, turns: [systemBlocks], blocks: systemBlocks, copies: 0 }),
    );
  }

  /** Blocks all caches hold. */
  get pairs(): number {
    return this.caches.reduce((sum, { blocks }) => sum + blocks, 0);
  }

  /** Different blocks among them. */
  get blocks(): number {
    const sources = new Set<Source>();
    for (const { held, head, below } of this.caches) {
      for (const source of below.keys()) sources.add(source);
      for (let i = head; i < held.length; i++) sources.add(held[i]);
    }
    let sum = 0;
    for (const { blocks } of sources) sum += blocks;
    return sum;
  }

  /** The next conversation at every slot that computes it, and what the full caches give up for it. */
  next(): TrafficEvent[] {
    const { systems, again, slots, pairs } = this.#shape;
    const prng = this.#prng;
    const turns = [
      128 - (systems ? systemBlocks : 0),
      ...Array.from({ length: prng.below(4) }, () => 4 + prng.below(20)),
    ];
    const conversation: Source = {
      id: this.#conversations++,
      system: systems ? this.#systems[Math.floor(systems * prng.float() ** 2)] : undefined,
      turns,
      blocks: turns.reduce((sum, turn) => sum + turn),
      copies: 0,
    };
    const events: TrafficEvent[] = [];
    const first = prng.below(slots);
    this.#compute(first, conversation, events);
    for (const [i, chance] of again.entries()) {
      if (prng.float() < chance) this.#compute((first + 7 * (i + 1)) % slots, conversation, events);
    }
    for (let slot = 0; slot < slots; slot++) {
      while (this.caches[slot].blocks > pairs / slots) this.#forget(slot, events);
    }
    return events;
  }

  /** Leaves the past alone: what was stored so far is not looked at again. */
  forgetAll(): void {
    for (const cache of this.caches) {
      cache.held.length = 0;
      cache.head = 0;
      cache.below.clear();
    }
  }

  /** A conversation that some cache holds, and where. */
  sample(): { slot: number; source: Source } {
    const slot = this.#prng.below(this.#shape.slots);
    const { held, head } = this.caches[slot];
    return { slot, source: held[head + this.#prng.below(held.length - head)] };
  }

  #compute(slot: number, source: Source, events: TrafficEvent[]): void {
    const cache = this.caches[slot];
    const { system } = source;
    if (system) {
      const below = cache.below.get(system) ?? 0;
      if (below === 0) this.#store(slot, system, events);
      cache.below.set(system, below + 1);
    }
    this.#store(slot, source, events);
    cache.held.push(source);
  }

  #store(slot: number, source: Source, events: TrafficEvent[]): void {
    let from = 0;
    for (const count of source.turns) {
      events.push({ kind: "store", slot, source, from, count });
      from += count;
    }
    source.copies++;
    this.caches[slot].blocks += source.blocks;
  }

  /** The oldest conversation goes, its end first. */
  #forget(slot: number, events: TrafficEvent[]): void {
    const cache = this.caches[slot];
    const source = cache.held[cache.head++];
    if (cache.head > 1000 && cache.head * 2 > cache.held.length) {
      cache.held.splice(0, cache.head);
      cache.head = 0;
    }
    this.#remove(slot, source, events);
    const { system } = source;
    if (!system) return;
    const below = cache.below.get(system)! - 1;
    if (below > 0) return void cache.below.set(system, below);
    cache.below.delete(system);
    this.#remove(slot, system, events);
  }

  #remove(slot: number, source: Source, events: TrafficEvent[]): void {
    let end = source.blocks;
    for (const count of source.turns.toReversed()) {
      events.push({ kind: "remove", slot, source, from: end - count, count });
      end -= count;
    }
    source.copies--;
    this.caches[slot].blocks -= source.blocks;
  }
}

/** Token ids of `count` blocks of a source. */
export function fillTokens(out: Uint32Array, at: number, { id }: Source, from: number, count: number): void {
  for (let i = from * blockTokens, end = (from + count) * blockTokens; i < end; i++) out[at++] = mix(id, i) & 0x1ffff;
}

/** All tokens of a prompt that ends with `source`. */
export function promptTokens(source: Source): Uint32Array {
  const before = source.system?.blocks ?? 0;
  const tokens = new Uint32Array((before + source.blocks) * blockTokens);
  if (source.system) fillTokens(tokens, 0, source.system, 0, before);
  fillTokens(tokens, before * blockTokens, source, 0, source.blocks);
  return tokens;
}

/** An engine's own hashes of `count` blocks, written as 32-bit halves; a slot's are unlike any other's. */
export function fillHashes(out: Uint32Array, at: number, event: Omit<TrafficEvent, "kind">): void {
  const { slot, source, from, count } = event;
  for (let i = from; i < from + count; i++) {
    out[at++] = mix(source.id ^ 0x5bd1e995, i * 1024 + slot);
    out[at++] = mix(source.id, i * 1024 + slot) ^ source.id;
  }
}
