import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { type KvTier, kvTiers, VirtualClock } from "../core/mod.ts";

import { tierOf, unpackHashes } from "../kv/mod.ts";
import type { warmpathFeed } from "../proto/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import { DeltaLog } from "./delta_log.ts";
import { JournalTree } from "./journal.ts";
import { snapshotMessages } from "./snapshot.ts";
import { heldOf } from "./testing.ts";
import { openBlockTree } from "./tree.ts";

/** A reader that follows a log, with snapshots where it must. */
class Follower {
  readonly blocks = new Set<string>();
  snapshots = 0;
  #seq = -1;

  constructor(readonly tree: BlockTreeApi, readonly log: DeltaLog) {}

  follow(): string[] {
    this.log.flush();
    if (this.#seq + 1 < this.log.oldestSeq) {
      this.snapshots++;
      this.blocks.clear();
      this.#seq = this.log.seq;
      for (const { message } of snapshotMessages(this.tree, 0, "life", this.log.seq)) {
        if (message.case === "snapshotPart") this.#put([message.value.blocks!], true);
      }
    }
    while (this.#seq < this.log.seq) {
      const { message } = this.log.read(++this.#seq)!;
      if (message.case !== "delta") continue;
      if (message.value.cleared) this.blocks.clear();
      this.#put(message.value.released, false);
      this.#put(message.value.held, true);
    }
    return [...this.blocks].sort();
  }

  #put(blocks: readonly warmpathFeed.Blocks[], held: boolean): void {
    for (const { tier, hashes } of blocks) {
      for (const hash of unpackHashes(hashes)!) {
        const key = `${kvTiers[tierOf(tier)!]}:${hash}`;
        if (held) this.blocks.add(key);
        else this.blocks.delete(key);
      }
    }
  }
}

const tree = await openBlockTree(1, 4 << 20, "");

function set() {
  tree.clear(0);
  const log = new DeltaLog(new VirtualClock(), () => {});
  return { log, journal: new JournalTree(tree, [log]), follower: new Follower(tree, log) };
}

type Step = [kind: string, tier: number, hash: number, content: number, count: number];

function act(journal: JournalTree, [kind, tierNumber, hash, content, count]: Step): void {
  const tier = tierNumber as KvTier;
  const hashes = BigUint64Array.from({ length: count }, (_, i) => BigInt(hash + i));
  if (kind === "store") {
    const tokens = Uint32Array.from({ length: count * 2 }, (_, i) => content * 1000 + i);
    // Half the chains go on from a block that may be known.
    const parent = content % 2 === 1 ? BigInt(hash + 20) : undefined;
    journal.store(0, { tier, hashes, parent, tokens, blockTokens: 2, lora: "" });
  } else if (kind === "locate") journal.locate(0, tier, hashes);
  else if (kind === "remove") journal.remove(0, tier, hashes);
  else if (kind === "hold") journal.hold(0, tier, hashes);
  else if (kind === "release") journal.release(0, tier, hashes);
  else if (kind === "clear") journal.clear(0);
  else if (kind === "doubt") journal.doubt(0);
  else journal.dropDoubted(0);
}

Deno.test("a reader that follows the log holds what the tree holds, whatever happens to the tree", () => {
  const kinds = ["store", "store", "store", "locate", "remove", "remove", "hold", "release", "clear", "doubt", "drop"];
  const step = fc.tuple(
    fc.constantFrom(...kinds),
    fc.nat(2),
    fc.nat(25),
    fc.nat(6),
    fc.integer({ min: 1, max: 5 }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 60 }), (steps) => {
      const { journal, follower } = set();
      for (const [step, looks] of steps) {
        act(journal, step);
        if (looks) deepStrictEqual(follower.follow(), heldOf(tree));
      }
      deepStrictEqual(follower.follow(), heldOf(tree));
    }),
    { seed: 11, numRuns: 400 },
  );
});

Deno.test("stores, moves and removals reach readers as deltas, without a second snapshot", () => {
  const { journal, follower } = set();
  follower.follow();
  for (let i = 0; i < 50; i++) {
    act(journal, ["store", 0, i * 10, i * 2, 5]);
    act(journal, ["locate", 1, i * 10, 0, 3]);
    act(journal, ["remove", 0, i * 10, 0, 5]);
    follower.follow();
  }
  equal(follower.snapshots, 1);
  equal(follower.blocks.size, 150);
});
