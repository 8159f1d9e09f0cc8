/**
 * Which endpoint probably holds which prompt prefix, learned from where requests were sent.
 *
 * A slot holds a block when a request with that block was confirmed there, or while such a request is under way:
 *
 *   speculate   at the decision: the prompt's blocks are held as long as the ticket is open, so that the next request
 *               of a burst already finds them
 *   confirm     the endpoint computed the prompt: its blocks stay until they are the slot's least recent
 *   withdraw    it did not: blocks go unless another request confirmed them or holds an open ticket for them
 *
 * A ticket is resolved once; further calls do nothing. One that is not resolved within `ticketTtlMs`, or when more than
 * `ticketsMax` are open, loses its claim as by `withdraw`; a `confirm` after that still counts, as it tells a fact.
 * Clearing a slot voids its tickets. Capacity and memory bound everything: the least recently used tails go first,
 * open tickets or not.
 */
import { type PrefixMatch, type PromptBlocks } from "../core/mod.ts";
import { type PrefixTree, type PrefixTreeStats } from "../hotpath/mod.ts";

export interface ApproximateIndexOptions {
  /** Tokens a block of the router stands for. */
  readonly blockTokens: number;
  /** Blocks of the router a slot holds while its engine's cache size is unknown. Default 31,250, as llm-d's. */
  readonly capacityBlocks?: number;
  /** Open tickets. Default 16,384: each keeps its prompt's hashes, 8 bytes a block. */
  readonly ticketsMax?: number;
  /** Longest life of an open ticket. Default 600,000. */
  readonly ticketTtlMs?: number;
}

export interface ApproximateIndexStats extends PrefixTreeStats {
  readonly openTickets: number;
  /** Tickets that lost their claim by age or number. */
  readonly expiredTickets: number;
}

/** A request's claim on its prompt's blocks at one slot. */
export interface Ticket {
  confirm(): void;
  withdraw(): void;
}

interface Claim {
  readonly slot: number;
  readonly epoch: number;
  readonly hashes: BigUint64Array;
  /** The same bytes as halves, which compare without making BigInts. */
  readonly halves: Uint32Array;
  readonly openedAtMs: number;
  resolved: boolean;
}

/** Leading blocks two paths share. Hashes are chained, so that equality at a position means equality before it. */
function sharedBlocks(a: Claim, b: Claim): number {
  let low = 0;
  let high = Math.min(a.hashes.length, b.hashes.length);
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const at = middle * 2 - 2;
    if (a.halves[at] === b.halves[at] && a.halves[at + 1] === b.halves[at + 1]) low = middle;
    else high = middle - 1;
  }
  return low;
}

export class ApproximateIndex {
  readonly #tree: PrefixTree;
  readonly #blockTokens: number;
  readonly #capacityBlocks: number;
  readonly #ticketsMax: number;
  readonly #ticketTtlMs: number;
  /** Open claims, oldest first: of all slots, and of each. */
  readonly #open = new Set<Claim>();
  readonly #openAt: Set<Claim>[];
  /** Grows when a slot is cleared. */
  readonly #epochs: Uint32Array;
  #expired = 0;

  /** Takes over `tree`: nothing else may write to it. */
  constructor(tree: PrefixTree, options: ApproximateIndexOptions) {
    this.#tree = tree;
    this.#blockTokens = options.blockTokens;
    this.#capacityBlocks = options.capacityBlocks ?? 31_250;
    this.#ticketsMax = options.ticketsMax ?? 16_384;
    this.#ticketTtlMs = options.ticketTtlMs ?? 600_000;
    this.#openAt = Array.from({ length: tree.slots }, () => new Set());
    this.#epochs = new Uint32Array(tree.slots);
    for (let slot = 0; slot < tree.slots; slot++) tree.setCapacity(slot, this.#capacityBlocks);
  }

  /** Leading blocks each slot holds. The array is reused: valid until the next call. */
  match(blocks: PromptBlocks): PrefixMatch {
    return { blocks: this.#tree.match(blocks.hashes), total: blocks.hashes.length, blockTokens: blocks.blockTokens };
  }

  /** Holds the prompt's blocks at `slot` until the ticket is resolved. `blocks.hashes` must not change meanwhile. */
  speculate(slot: number, blocks: PromptBlocks, nowMs: number): Ticket {
    this.expire(nowMs);
    const { hashes } = blocks;
    const claim: Claim = {
      slot,
      epoch: this.#epochs[slot],
      hashes,
      halves: new Uint32Array(hashes.buffer, hashes.byteOffset, hashes.length * 2),
      openedAtMs: nowMs,
      resolved: false,
    };
    this.#tree.insert(slot, hashes, false);
    this.#open.add(claim);
    this.#openAt[slot].add(claim);
    if (this.#open.size > this.#ticketsMax) this.#expireOldest();
    return { confirm: () => this.#confirm(claim), withdraw: () => this.#withdraw(claim) };
  }

  /** Ends the claims of tickets older than the limit; done by `speculate` as well. */
  expire(nowMs: number): void {
    for (const claim of this.#open) {
      if (nowMs - claim.openedAtMs < this.#ticketTtlMs) return;
      this.#expireOldest();
    }
  }

  /**
   * Sizes a slot by its engine's KV cache: `engineBlocks` blocks of `engineBlockTokens` tokens hold that many tokens,
   * whatever the router's block size. With either 0, not reported, the default holds.
   */
  setCapacity(slot: number, engineBlocks: number, engineBlockTokens: number): void {
    const tokens = engineBlocks * engineBlockTokens;
    // 32 bits hold the kernel's capacity.
    const blocks = tokens > 0 ? Math.min(Math.floor(tokens / this.#blockTokens), 0x7fff_ffff) : this.#capacityBlocks;
    this.#tree.setCapacity(slot, blocks);
  }

  /** Forgets a slot whose endpoint is gone or has lost its cache, and voids its tickets. */
  clear(slot: number): void {
    this.#epochs[slot]++;
    for (const claim of this.#openAt[slot]) this.#close(claim);
    this.#tree.clearSlot(slot);
  }

  /** Blocks a slot holds. */
  slotBlocks(slot: number): number {
    return this.#tree.slotBlocks(slot);
  }

  stats(): ApproximateIndexStats {
    return { ...this.#tree.stats(), openTickets: this.#open.size, expiredTickets: this.#expired };
  }

  #confirm(claim: Claim): void {
    if (claim.resolved || claim.epoch !== this.#epochs[claim.slot]) return;
    claim.resolved = true;
    this.#close(claim);
    this.#tree.insert(claim.slot, claim.hashes, true);
  }

  #withdraw(claim: Claim): void {
    if (claim.resolved) return;
    claim.resolved = true;
    if (this.#close(claim)) this.#takeBack(claim);
  }

  #expireOldest(): void {
    const claim = this.#open.values().next().value!;
    this.#expired++;
    this.#close(claim);
    this.#takeBack(claim);
  }

  #close(claim: Claim): boolean {
    this.#openAt[claim.slot].delete(claim);
    return this.#open.delete(claim);
  }

  /** Removes what only the closed `claim` held; the tree itself keeps what is confirmed. */
  #takeBack(claim: Claim): void {
    let shared = 0;
    for (const other of this.#openAt[claim.slot]) {
      shared = Math.max(shared, sharedBlocks(claim, other));
      if (shared === claim.hashes.length) return;
    }
    this.#tree.withdraw(claim.slot, claim.hashes, shared);
  }
}
