/**
 * Which endpoint holds which prompt prefix, from two kinds of evidence in one tree: what an endpoint's feed told, and
 * where requests were sent.
 *
 *   speculate   at the decision: the prompt's blocks count as held while the ticket is open, so that the next request of
 *               a burst already finds them
 *   confirm     the endpoint computed the prompt. Where its feed is LIVE the claim ends a little later, as the feed has
 *               told of the blocks by then; elsewhere the blocks stay until they are the slot's least recent
 *   withdraw    it did not: the claim ends
 *
 * A ticket is resolved once; further calls do nothing. One that is not resolved by the time its request should long have
 * been served, or when more than `ticketsMax` are open, loses its claim as by `withdraw`; a `confirm` after that still
 * counts, as it tells a fact. Clearing a slot voids its tickets.
 */
import { type Clock, FeedState, noFeed, type PromptBlocks } from "../core/mod.ts";
import type { BlockTreeApi, BlockTreeStats, SlotStats } from "../hotpath/mod.ts";
import { DueQueue } from "./due_queue.ts";
import type { FeedColumns } from "./prefix_reader.ts";

export interface KvIndexOptions {
  readonly clock: Clock;
  /** Tokens from one hash of a prompt to the next where no endpoint told of its blocks. */
  readonly blockTokens: number;
  /** Blocks of `blockTokens` that routing history may keep at a slot whose cache size is unknown. @default {31_250}, as llm-d's */
  readonly capacityBlocks?: number;
  /** Tickets not resolved. @default {16_384}: each keeps its prompt's hashes, 8 bytes a block */
  readonly ticketsMax?: number;
  /** Longest life of a ticket whose request has no predicted time. @default {600_000} */
  readonly ticketTtlMs?: number;
  /** How long after a confirm a LIVE feed must have told of the blocks. @default {2000} */
  readonly confirmGraceMs?: number;
  /** Where readers see the state of the feeds. */
  readonly columns: FeedColumns;
}

export interface SpeculateOptions {
  /** Time until the endpoint should have computed the prompt: the ticket lives four times as long, at least 2 s. */
  readonly predictedMs?: number;
  /** The hashes are of the very tokens the engine will see, so that its feed will tell of them. @default {true} */
  readonly exact?: boolean;
  /** Blocks of the prompt before the first of the hashes, which need no claim. @default {0} */
  readonly depth?: number;
}

/** A request's claim on its prompt's blocks at one slot. */
export interface Ticket {
  confirm(): void;
  withdraw(): void;
}

export interface KvIndexStats extends BlockTreeStats {
  readonly openTickets: number;
  /** Tickets that lost their claim by age or number. */
  readonly expiredTickets: number;
  /** Prompts computed at an endpoint whose LIVE feed did not tell of all their blocks in time. */
  readonly unconfirmed: number;
}

/** Shortest life of a ticket with a predicted time, and how many times that time it lives. */
const predictedLifeMinMs = 2000;
const predictedLifeTimes = 4;
const dueBucketMs = 250;
/** Dead pairs freed in one upkeep. */
const reapBudget = 20_000;

interface Claim {
  readonly slot: number;
  readonly epoch: number;
  readonly hashes: BigUint64Array;
  readonly exact: boolean;
  readonly depth: number;
  state: "open" | "confirmed" | "expired" | "ended";
}

export class KvIndex {
  readonly #tree: BlockTreeApi;
  readonly #clock: Clock;
  readonly #options: Required<KvIndexOptions>;
  /** Claims in the tree, oldest first: of all slots, and of each. */
  readonly #claims = new Set<Claim>();
  readonly #claimsAt: Set<Claim>[];
  readonly #due = new DueQueue<Claim>(dueBucketMs);
  /** Grows when a slot is cleared. */
  readonly #epochs: Uint32Array;
  readonly #columns: FeedColumns;
  /** Of the engine's cache; 0: not reported. */
  readonly #capacityTokens: Float64Array;
  /** Tokens of the blocks that the routing history's size is counted in. */
  readonly #sizedFor: Uint32Array;
  #expired = 0;
  #unconfirmed = 0;

  constructor(tree: BlockTreeApi, options: KvIndexOptions) {
    this.#tree = tree;
    this.#clock = options.clock;
    const { capacityBlocks = 31_250, ticketsMax = 16_384, ticketTtlMs = 600_000, confirmGraceMs = 2000 } = options;
    this.#options = { ...options, capacityBlocks, ticketsMax, ticketTtlMs, confirmGraceMs };
    this.#claimsAt = Array.from({ length: tree.slots }, () => new Set());
    this.#epochs = new Uint32Array(tree.slots);
    this.#columns = options.columns;
    this.#capacityTokens = new Float64Array(tree.slots);
    this.#sizedFor = new Uint32Array(tree.slots);
    for (let slot = 0; slot < tree.slots; slot++) this.#size(slot, options.blockTokens);
  }

  /** Holds the prompt's blocks at `slot` until the ticket is resolved. `blocks.hashes` must not change meanwhile. */
  speculate(slot: number, blocks: PromptBlocks, nowMs: number, options: SpeculateOptions = {}): Ticket {
    const { predictedMs, exact = true, depth = 0 } = options;
    const { hashes, blockTokens } = blocks;
    if (blockTokens !== this.#sizedFor[slot]) this.#size(slot, blockTokens);
    const claim: Claim = { slot, epoch: this.#epochs[slot], hashes, exact, depth, state: "open" };
    this.#tree.claim(slot, hashes, depth);
    this.#claims.add(claim);
    this.#claimsAt[slot].add(claim);
    const lifeMs = predictedMs === undefined
      ? this.#options.ticketTtlMs
      : Math.max(predictedLifeMinMs, predictedLifeTimes * predictedMs);
    this.#due.set(claim, nowMs + lifeMs);
    if (this.#claims.size > this.#options.ticketsMax) this.#overdue(this.#claims.values().next().value!);
    return { confirm: () => this.#confirm(claim), withdraw: () => this.#withdraw(claim) };
  }

  /** Ends the claims that are due. Not to be called between a match and the last use of its arrays. */
  expire(nowMs: number): void {
    for (const claim of this.#due.take(nowMs)) this.#overdue(claim);
  }

  /** What has to be done now and then, several times a second: ends claims, frees memory. */
  upkeep(nowMs: number): void {
    this.expire(nowMs);
    this.#tree.reap(reapBudget);
  }

  /** How far the slot's feed can be relied on. Where it becomes LIVE, routing history has nothing to add. */
  setFeedState(slot: number, state: FeedState): void {
    if (state === FeedState.Live && this.#columns.feedState[slot] !== state) this.#tree.forgetRouted(slot);
    this.#columns.feedState[slot] = state;
  }

  /** The slot has no feed, or none any more. */
  endFeed(slot: number): void {
    this.#columns.feedState[slot] = noFeed;
    this.#columns.feedBlockTokens[slot] = 0;
  }

  /** BLIND for a slot without a feed. */
  feedState(slot: number): FeedState {
    const state = this.#columns.feedState[slot];
    return state === noFeed ? FeedState.Blind : state as FeedState;
  }

  /** The slot's feed tells of blocks of so many tokens; 0: it has not told. */
  setBlockTokens(slot: number, tokens: number): void {
    this.#columns.feedBlockTokens[slot] = tokens;
  }

  /** 0: not known. */
  blockTokens(slot: number): number {
    return this.#columns.feedBlockTokens[slot];
  }

  /**
   * Sizes a slot's routing history by its engine's KV cache: `engineBlocks` blocks of `engineBlockTokens` tokens hold that
   * many tokens, in blocks of the size that the last prompt routed there had. With either 0, not reported, the default holds.
   */
  setCapacity(slot: number, engineBlocks: number, engineBlockTokens: number): void {
    this.#capacityTokens[slot] = engineBlocks * engineBlockTokens;
    this.#size(slot, this.#sizedFor[slot]);
  }

  /** Forgets a slot whose endpoint is gone or has lost its cache, and voids its tickets. */
  clear(slot: number): void {
    this.#epochs[slot]++;
    for (const claim of this.#claimsAt[slot]) this.#end(claim, "ended");
    this.#tree.clear(slot);
  }

  /** Blocks a slot holds, by either evidence. */
  slotBlocks(slot: number): number {
    const { blocks, routed } = this.#tree.slotStats(slot);
    return blocks + routed;
  }

  slotStats(slot: number): SlotStats {
    return this.#tree.slotStats(slot);
  }

  stats(): KvIndexStats {
    return {
      ...this.#tree.stats(),
      openTickets: this.#claims.size,
      expiredTickets: this.#expired,
      unconfirmed: this.#unconfirmed,
    };
  }

  /** Routing history of `slot` is kept in blocks of `blockTokens` tokens. */
  #size(slot: number, blockTokens: number): void {
    this.#sizedFor[slot] = blockTokens;
    const tokens = this.#capacityTokens[slot] || this.#options.capacityBlocks * this.#options.blockTokens;
    // 32 bits hold the kernel's capacity.
    this.#tree.setCapacity(slot, Math.min(Math.floor(tokens / blockTokens), 0x7fff_ffff));
  }

  #confirm(claim: Claim): void {
    const { slot, hashes, depth, state } = claim;
    if ((state !== "open" && state !== "expired") || claim.epoch !== this.#epochs[slot]) return;
    if (this.#feedTells(claim)) {
      if (state === "expired") return;
      claim.state = "confirmed";
      this.#due.set(claim, this.#clock.now() + this.#options.confirmGraceMs);
      return;
    }
    if (state === "expired") this.#tree.claim(slot, hashes, depth);
    this.#end(claim, "ended");
    this.#tree.settle(slot, hashes, true);
  }

  #withdraw(claim: Claim): void {
    if (claim.state !== "open") return;
    this.#end(claim, "ended");
    this.#tree.settle(claim.slot, claim.hashes, false);
  }

  /** The time of an open claim, or the grace of a confirmed one, is over. */
  #overdue(claim: Claim): void {
    const { slot, hashes } = claim;
    if (claim.state === "open") {
      this.#expired++;
      this.#end(claim, "expired");
      this.#tree.settle(slot, hashes, false);
      return;
    }
    const told = this.#feedTells(claim);
    this.#end(claim, "ended");
    this.#tree.settle(slot, hashes, !told);
    if (told && !this.#engineHolds(slot, hashes)) this.#unconfirmed++;
  }

  /** Whether the endpoint's feed will tell of the claim's blocks, so that the claim need not be kept. */
  #feedTells({ slot, exact }: Claim): boolean {
    return exact && this.#columns.feedState[slot] === FeedState.Live;
  }

  #engineHolds(slot: number, hashes: BigUint64Array): boolean {
    const { tiers } = this.#tree.match(hashes);
    let told = 0;
    for (let tier = 0; tier < 4; tier++) told += tiers[slot * 4 + tier];
    return told === hashes.length;
  }

  #end(claim: Claim, state: "expired" | "ended"): void {
    claim.state = state;
    this.#claims.delete(claim);
    this.#claimsAt[claim.slot].delete(claim);
    this.#due.delete(claim);
  }
}
