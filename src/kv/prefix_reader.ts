/** Looks up prompts in the block tree, from any isolate that maps it. */
import { FeedState, noFeed, type PrefixMatch, type PromptBlocks } from "../core/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";

/** What readers must know of each slot's feed; an `EndpointTable` has such columns. */
export interface FeedColumns {
  /** `FeedState`, or `noFeed`. */
  readonly feedState: Uint8Array;
  /** Tokens of a block that the feed tells of; 0: not known. */
  readonly feedBlockTokens: Int32Array;
}

/** No prompt is hashed in steps smaller than this: engines may have pages of one token. */
const strideTokensMin = 16;

export class PrefixReader {
  readonly #tree: BlockTreeApi;
  readonly #columns: FeedColumns;
  readonly #blockTokens: number;
  readonly #pendingTokens: Int32Array;

  /** `blockTokens`: from one hash of a prompt to the next where no endpoint told of its blocks. */
  constructor(tree: BlockTreeApi, columns: FeedColumns, blockTokens: number) {
    this.#tree = tree;
    this.#columns = columns;
    this.#blockTokens = blockTokens;
    this.#pendingTokens = new Int32Array(tree.slots).fill(-1);
  }

  /**
   * Leading blocks each slot holds, and on which tier; and what is claimed at slots with a LIVE feed and not told of yet,
   * as if all claims were in blocks like these. The arrays are reused: valid until the next call.
   */
  match(blocks: PromptBlocks): PrefixMatch {
    const pendingTokens = this.#pendingTokens;
    const { feedState } = this.#columns;
    for (let slot = 0; slot < pendingTokens.length; slot++) {
      const live = feedState[slot] === FeedState.Live;
      pendingTokens[slot] = live ? this.#tree.routedBlocks(slot) * blocks.blockTokens : -1;
    }
    const { blocks: held, tiers } = this.#tree.match(blocks.hashes);
    return { blocks: held, tiers, pendingTokens, total: blocks.hashes.length, blockTokens: blocks.blockTokens };
  }

  /** Tokens from one hash to the next for a prompt that may go to `slots`: every one with a feed has a hash there. */
  stride(slots: Iterable<number>): number {
    let largest = 0;
    for (const slot of slots) largest = Math.max(largest, this.#columns.feedBlockTokens[slot]);
    if (largest === 0) return this.#blockTokens;
    return largest * Math.ceil(strideTokensMin / largest);
  }

  /** As `stride`; 0 when none of the slots has a feed. */
  feedBlockTokens(slots: Uint16Array, count: number): number {
    for (let i = 0; i < count; i++) {
      if (this.#columns.feedState[slots[i]] !== noFeed) return this.stride(slots.subarray(0, count));
    }
    return 0;
  }
}
