/** A cache as a list of messages. */
import { create } from "@bufbuild/protobuf";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import { packHashes, wireTier } from "../kv/mod.ts";
import { warmpathFeed } from "../proto/mod.ts";

/** Hashes a part holds: with its frame it stays below 64 KiB. */
const partHashesMax = 8000;

/** Everything the slot holds by engine evidence, as it is now: begin, parts, end. A block on two tiers is in two parts. */
export function snapshotMessages(
  tree: Pick<BlockTreeApi, "held" | "slotStats">,
  slot: number,
  epoch: string,
  seq: number,
): warmpathFeed.FeedMessage[] {
  const tiers = tree.slotStats(slot).tiers.map((blocks) => new Hashes(blocks));
  for (const { hash, tiers: references } of tree.held(slot)) {
    references.forEach((count, tier) => count > 0 && tiers[tier].add(hash));
  }
  const blocks = tiers.reduce((sum, { length }) => sum + length, 0);
  const messages = [message({
    case: "snapshotBegin",
    value: create(warmpathFeed.SnapshotBeginSchema, { epoch, seq: BigInt(seq), blocks: BigInt(blocks) }),
  })];
  tiers.forEach((hashes, tier) => {
    for (let at = 0; at < hashes.length; at += partHashesMax) {
      const part = { tier: wireTier[tier], hashes: packHashes(hashes.slice(at, at + partHashesMax)) };
      messages.push(message({
        case: "snapshotPart",
        value: create(warmpathFeed.SnapshotPartSchema, { blocks: part }),
      }));
    }
  });
  messages.push(message({ case: "snapshotEnd", value: create(warmpathFeed.SnapshotEndSchema) }));
  return messages;
}

function message(value: warmpathFeed.FeedMessage["message"]): warmpathFeed.FeedMessage {
  return create(warmpathFeed.FeedMessageSchema, { message: value });
}

/** A list of hashes without an object each. */
class Hashes {
  #hashes: BigUint64Array;
  length = 0;

  constructor(expected: number) {
    this.#hashes = new BigUint64Array(expected);
  }

  add(hash: bigint): void {
    if (this.length === this.#hashes.length) {
      const longer = new BigUint64Array(Math.max(1024, this.length * 2));
      longer.set(this.#hashes);
      this.#hashes = longer;
    }
    this.#hashes[this.length++] = hash;
  }

  slice(from: number, to: number): BigUint64Array {
    return this.#hashes.subarray(from, Math.min(to, this.length));
  }
}
