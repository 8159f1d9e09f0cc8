/** The block tree for this room's tests, and what its index needs besides. */
import { noFeed } from "../core/mod.ts";
import { type BlockTreeApi, Hotpath } from "../hotpath/mod.ts";
import type { FeedColumns } from "./prefix_reader.ts";

const treeBytes = 1 << 21;
const { blockTree } = await Hotpath.load(
  { endpoints: 4, blockTreeBytes: treeBytes, bodyBytesMax: 64, prefixTokensMax: 1024 },
  7,
);

/** An empty tree of four slots. All tests of a file share its memory: the one before is empty then too. */
export function emptyTree(): BlockTreeApi {
  blockTree.init(treeBytes);
  return blockTree;
}

/** Columns of slots that have no feed. */
export function noFeeds(slots: number): FeedColumns {
  return { feedState: new Uint8Array(slots).fill(noFeed), feedBlockTokens: new Int32Array(slots) };
}
