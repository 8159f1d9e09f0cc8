import { deepStrictEqual, equal } from "node:assert/strict";
import type { KvBatch, KvEvent } from "../protocol/mod.ts";
import { removed, stored } from "./feed_testing.ts";
import { Mirror } from "./mirror.ts";
import { emptyTree } from "./tree_testing.ts";

function setup(limits = {}) {
  const tree = emptyTree();
  const tokens: number[] = [];
  const mirror = new Mirror(
    { slot: 1, tree, clear: () => tree.clear(1), onBlockTokens: (count) => tokens.push(count) },
    limits,
  );
  let seq = 0;
  const apply = (...events: KvEvent[]) => mirror.apply({ seq: seq++, timestamp: seq, events }, seq);
  /** Engine hashes with their references on GPU and CPU. */
  const held = () =>
    [...tree.held(1)].map(({ engineHash, tiers }) => `${engineHash}:${tiers[0]}${tiers[1]}`).sort().join(" ");
  return { tree, mirror, tokens, apply, held };
}

const located = (...ids: number[]): KvEvent => ({
  kind: "stored",
  tier: 1,
  hashes: BigUint64Array.from(ids, BigInt),
  tokens: new Uint32Array(),
  blockTokens: 0,
});

Deno.test("apply() counts references by tier and takes them back", () => {
  const { apply, held } = setup();
  apply(stored(1), stored(2, 1), stored(2, 1));
  equal(held(), "1:10 2:20");
  apply(located(2), removed(2), removed(1));
  equal(held(), "2:11");
  apply(removed(2), removed(2, 1));
  equal(held(), "");
});

Deno.test("apply() tells the block size, and again when it grows", () => {
  const { apply, tokens } = setup();
  apply(stored(1), stored(2, 1), stored(3, 2, { tokens: new Uint32Array(2), blockTokens: 2 }));
  apply(stored(4, undefined, { tokens: new Uint32Array(16), blockTokens: 16 }));
  deepStrictEqual(tokens, [4, 16]);
});

Deno.test("changes to unknown blocks wait, and are done in order once the block is known", () => {
  const { apply, held, mirror } = setup();
  apply(stored(3, 2), removed(3), stored(3, 2), located(2), stored(2, 1));
  equal(held(), "");
  equal(mirror.waiting, 5);
  apply(stored(1));
  equal(held(), "1:10 2:11 3:10");
  equal(mirror.waiting, 0);
  equal(mirror.counters.orphans, 5);
});

Deno.test("a removal of a block that nobody told of is counted and nothing else", () => {
  const { apply, mirror, held } = setup();
  deepStrictEqual(apply(stored(1), removed(8)), { cleared: false, hole: undefined });
  apply(stored(3, 2), removed(9));
  equal(mirror.counters.unknownRemovals, 2);
  equal(held(), "1:10");
});

Deno.test("what waits is bounded in number and time", () => {
  const { apply, mirror, held } = setup({ max: 2, ttlMs: 10 });
  equal(apply(stored(3, 2), stored(5, 4)).hole, undefined);
  equal(apply(stored(7, 6)).hole, "too many blocks wait for an unknown parent");
  equal(mirror.waiting, 2);
  apply(stored(2));
  equal(held(), "2:10", "the oldest was given up");
  equal(mirror.expire(10), 0);
  equal(mirror.waitingUntilMs, 11);
  equal(mirror.expire(11), 1);
  equal(mirror.expire(12), 1);
  equal(mirror.waitingUntilMs, undefined);
  equal(mirror.counters.orphansLost, 3);
});

Deno.test("a clear empties the slot and forgets what waits; what follows counts", () => {
  const { apply, mirror, held } = setup();
  deepStrictEqual(apply(stored(1), stored(3, 2), { kind: "cleared" }, stored(4)), { cleared: true, hole: undefined });
  equal(held(), "4:10");
  equal(mirror.waiting, 0);
});

Deno.test("only the first group that keeps every block is mirrored", () => {
  const { apply, mirror, held } = setup();
  const inGroup = (index: number, kind?: string) => ({ group: { index, kind } });
  const gone = (id: number, index: number): KvEvent => ({
    ...removed(id) as KvEvent & { kind: "removed" },
    ...inGroup(index),
  });
  apply(
    stored(1, undefined, inGroup(1, "sliding_window")),
    stored(1, undefined, inGroup(0, "mla_attention")),
    stored(1, undefined, inGroup(2, "full_attention")),
    stored(2, 1, inGroup(0)),
  );
  equal(held(), "1:10 2:10");
  apply(gone(2, 1), gone(2, 2), gone(2, 5));
  equal(held(), "1:10 2:10");
  apply(gone(2, 0));
  equal(held(), "1:10");
  deepStrictEqual(Object.fromEntries(mirror.skipped), {
    "unsupported-cache-kind": 2,
    "second-group": 2,
    "unknown-group": 1,
  });
});

Deno.test("the groups learned and the block size survive in the mirror's state", () => {
  const { apply, mirror } = setup();
  apply(stored(1, undefined, { group: { index: 3, kind: "full_attention" } }));
  const tree = emptyTree();
  const tokens: number[] = [];
  const parts = { slot: 1, tree, clear: () => tree.clear(1), onBlockTokens: (count: number) => tokens.push(count) };
  const next = new Mirror(parts, {}, JSON.parse(JSON.stringify(mirror.state)));
  deepStrictEqual(tokens, [4]);
  const batch: KvBatch = { seq: 0, timestamp: 0, events: [stored(1, undefined, { group: { index: 3 } })] };
  next.apply(batch, 0);
  equal(tree.slotStats(1).blocks, 1);
});

Deno.test("blocks of an adapter known by number only, and of uneven spans, are left out", () => {
  const { apply, mirror, held } = setup();
  apply(stored(1, undefined, { loraId: 3 }), stored(2, 1, { loraId: 3 }), stored(3, undefined, { blockTokens: 3 }));
  equal(held(), "");
  equal(mirror.waiting, 0);
  deepStrictEqual(Object.fromEntries(mirror.skipped), { "unnamed-adapter": 2, "uneven-span": 1 });
  apply(stored(1, undefined, { loraId: 3, lora: "adapter" }));
  equal(held(), "1:10");
});

Deno.test("a rebuild keeps what is told again and drops the rest at its end", () => {
  const { apply, mirror, held } = setup();
  apply(stored(1), stored(2, 1), stored(2, 1), located(1));
  mirror.beginRebuild();
  apply(stored(1), stored(2, 1));
  equal(held(), "1:11 2:10");
  mirror.endRebuild();
  equal(held(), "1:10 2:10");
});
