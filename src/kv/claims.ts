/**
 * What edges tell the one writer of the tree, as records in a ring each: which prompts went where, and what became of
 * them. The edge's side is `PrefixClaims`, the writer's `ClaimsInbox`.
 */
import { EndpointState, FeedState, type PrefixMatch, type PromptBlocks, RecordRing } from "../core/mod.ts";
import type { BlockTreeApi, TokenPrompt } from "../hotpath/mod.ts";
import { type CachePrediction, predictionOf } from "./calibration.ts";
import type { Ticket } from "./kv_index.ts";
import { type FeedColumns, PrefixReader } from "./prefix_reader.ts";

/** Kinds of records; those from 16 on are others'. */
const kinds = { claim: 1, confirm: 2, withdraw: 3, reported: 4 } as const;

/** Slots' metadata that records are checked by: a slot may be another endpoint's when a record is read. */
export interface ClaimColumns extends FeedColumns {
  readonly generation: Int32Array;
  /** `EndpointState`. */
  readonly state: Uint8Array;
}

/** A request's claim, and what its engine said of it. */
export interface CacheTicket extends Ticket {
  /** Prompt tokens the engine had in cache. */
  reported(cachedTokens: number): void;
}

/** The prefix index as an edge uses it: reads the tree, and tells its writer through the ring. */
export class PrefixClaims {
  readonly #tree: BlockTreeApi;
  readonly #columns: ClaimColumns;
  readonly #reader: PrefixReader;
  readonly #ring: RecordRing;
  readonly #rung: () => void;
  #claims = 0;

  /** `rung` is called after each record. `blockTokens`: see `PrefixReader`. */
  constructor(tree: BlockTreeApi, columns: ClaimColumns, blockTokens: number, ring: RecordRing, rung: () => void) {
    this.#tree = tree;
    this.#columns = columns;
    this.#reader = new PrefixReader(tree, columns, blockTokens);
    this.#ring = ring;
    this.#rung = rung;
  }

  match(blocks: PromptBlocks): PrefixMatch {
    return this.#reader.match(blocks);
  }

  chain(prompt: TokenPrompt): BigUint64Array {
    return this.#tree.chain(prompt);
  }

  feedBlockTokens(slots: Uint16Array, count: number): number {
    return this.#reader.feedBlockTokens(slots, count);
  }

  /** The request goes to `slot`, as `match` was taken for it. */
  speculate(
    slot: number,
    { hashes, blockTokens, exact = false }: PromptBlocks,
    match: PrefixMatch,
    { predictedMs = NaN }: { readonly predictedMs?: number } = {},
  ): CacheTicket {
    const id = ++this.#claims;
    const generation = this.#columns.generation[slot];
    const live = exact && this.#columns.feedState[slot] === FeedState.Live;
    const prediction = predictionOf(match, slot);
    // Blocks that a LIVE feed tells of need no claim: the tree would find each of them and do nothing.
    const depth = live && prediction.toldTokens === prediction.tokens ? match.blocks[slot] : 0;
    const numbers = [id, slot, generation, blockTokens, Number(exact), depth, predictedMs];
    let open = this.#push(kinds.claim, numbers, depth === 0 ? hashes : hashes.subarray(depth));
    const resolve = (kind: number) => {
      if (open) this.#push(kind, [id]);
      open = false;
    };
    return {
      confirm: () => resolve(kinds.confirm),
      withdraw: () => resolve(kinds.withdraw),
      reported: (cachedTokens) => {
        const { toldTokens, tokens } = prediction;
        this.#push(kinds.reported, [slot, generation, toldTokens, tokens, blockTokens, cachedTokens, Number(live)]);
      },
    };
  }

  #push(kind: number, numbers: readonly number[], hashes?: BigUint64Array): boolean {
    const pushed = this.#ring.push(kind, numbers, hashes);
    this.#rung();
    return pushed;
  }
}

/** What the inbox writes to; `Caches` is such. */
export interface ClaimsTarget {
  /** `depth` blocks of the prompt come before these. */
  claim(slot: number, blocks: PromptBlocks, depth: number, predictedMs: number | undefined): Ticket;
  reported(slot: number, prediction: CachePrediction, cachedTokens: number, live: boolean): void;
}

/** One edge's claims as the writer of the tree keeps them, so that all end when that edge does. */
export class ClaimsInbox {
  readonly #target: ClaimsTarget;
  readonly #columns: Pick<ClaimColumns, "generation" | "state">;
  readonly #ticketsMax: number;
  readonly #open = new Map<number, Ticket>();

  /** Beyond `ticketsMax` open tickets the oldest is let go: its end was lost, or its request is as old as the rest. */
  constructor(target: ClaimsTarget, columns: Pick<ClaimColumns, "generation" | "state">, ticketsMax = 16_384) {
    this.#target = target;
    this.#columns = columns;
    this.#ticketsMax = ticketsMax;
  }

  /** Claims that were neither confirmed nor withdrawn. */
  get open(): number {
    return this.#open.size;
  }

  /** Takes one record; false for a kind of somebody else's. */
  take(kind: number, numbers: Float64Array, hashes: BigUint64Array): boolean {
    switch (kind) {
      case kinds.claim:
        this.#claim(numbers, hashes);
        return true;
      case kinds.confirm:
        this.#open.get(numbers[0])?.confirm();
        this.#open.delete(numbers[0]);
        return true;
      case kinds.withdraw:
        this.#open.get(numbers[0])?.withdraw();
        this.#open.delete(numbers[0]);
        return true;
      case kinds.reported:
        this.#reported(numbers);
        return true;
      default:
        return false;
    }
  }

  /** The edge is gone: whether its prompts were computed will never be known. */
  abandon(): void {
    for (const ticket of this.#open.values()) ticket.withdraw();
    this.#open.clear();
  }

  #claim([id, slot, generation, blockTokens, exact, depth, predictedMs]: Float64Array, hashes: BigUint64Array): void {
    if (!this.#lives(slot, generation)) return;
    const blocks = { hashes, blockTokens, exact: exact === 1 };
    const expectedMs = Number.isNaN(predictedMs) ? undefined : predictedMs;
    this.#open.set(id, this.#target.claim(slot, blocks, depth, expectedMs));
    if (this.#open.size <= this.#ticketsMax) return;
    const [oldest, ticket] = this.#open.entries().next().value!;
    this.#open.delete(oldest);
    ticket.withdraw();
  }

  /** Whether the slot is still the endpoint's that the record is of. */
  #lives(slot: number, generation: number): boolean {
    return this.#columns.generation[slot] === generation && this.#columns.state[slot] !== EndpointState.Free;
  }

  #reported([slot, generation, toldTokens, tokens, blockTokens, cachedTokens, live]: Float64Array): void {
    if (!this.#lives(slot, generation)) return;
    this.#target.reported(slot, { toldTokens, tokens, blockTokens }, cachedTokens, live === 1);
  }
}

/** Words of a ring: the blocks of a few hundred long prompts. */
export const claimRingWords = 1 << 17;

/** Claims of the isolate that writes the tree itself: every record takes effect at once. */
export function localClaims(
  target: ClaimsTarget,
  tree: BlockTreeApi,
  columns: ClaimColumns,
  blockTokens: number,
): PrefixClaims {
  const ring = new RecordRing(claimRingWords);
  const inbox = new ClaimsInbox(target, columns);
  const take = inbox.take.bind(inbox);
  return new PrefixClaims(tree, columns, blockTokens, ring, () => ring.drain(take));
}
