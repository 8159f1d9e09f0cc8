import { deepStrictEqual, equal, notDeepStrictEqual, ok } from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { VirtualClock } from "../../core/mod.ts";
import { type Faults, noFaults } from "../faults.ts";
import type { SimKvEvent } from "./events.ts";
import { KvFeed } from "./kv_feed.ts";
import { bindsTo, defaultKvFeed, endpointOfRank, type KvFeedOptions } from "./kv_options.ts";

const removed = (last: number, tier: "gpu" | "cpu" = "gpu"): SimKvEvent => ({
  kind: "removed",
  tier,
  hashes: [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, last)],
});

function make(options: Partial<KvFeedOptions> = {}, faults: Partial<Faults> = {}, seed = 1) {
  const clock = new VirtualClock();
  const source = { clock, blockHash: "sha256-cbor", rank: 2, seed, name: "s" } as const;
  const feed = new KvFeed({ ...defaultKvFeed, ...options }, source, { ...noFaults, ...faults });
  const seqs: number[] = [];
  feed.listen(({ seq }) => seqs.push(seq));
  const publish = (...events: SimKvEvent[]) => feed.publish({ atMs: clock.now(), rank: 2, events });
  return { clock, feed, seqs, publish };
}

const kept = (feed: KvFeed, from = 0) => feed.replay(from)?.map(({ seq }) => seq);

Deno.test("KvFeed numbers batches from the first number and keeps the last of them", () => {
  const { feed, seqs, publish } = make({ bufferSteps: 3 });
  for (let i = 0; i < 5; i++) publish(removed(i));
  deepStrictEqual(seqs, [0, 1, 2, 3, 4]);
  deepStrictEqual(kept(feed), [2, 3, 4]);
  deepStrictEqual(kept(feed, 4), [4]);
  deepStrictEqual(kept(feed, 9), []);
  const [{ payload, batch }] = feed.replay(4)!;
  equal(batch.timestampS, 1_700_000_000);
  deepStrictEqual(decode(payload), [
    1_700_000_000,
    [{ type: "BlockRemoved", block_hashes: [Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 4)], medium: "GPU", group_idx: 0 }],
    2,
  ]);
});

Deno.test("KvFeed of llm-d's simulator gathers 16 events or a second, from number 1", () => {
  const { clock, feed, seqs, publish } = make({ dialect: "llm-d-array", firstSeq: 1, batchEvents: 16 });
  publish(...Array.from({ length: 20 }, (_, i) => removed(i)));
  deepStrictEqual(seqs, [1]);
  clock.advance(999);
  publish(removed(20), removed(21, "cpu"));
  deepStrictEqual(seqs, [1]);
  clock.advance(1);
  deepStrictEqual(seqs, [1, 2]);
  deepStrictEqual(feed.replay(0)!.map(({ batch }) => batch.events.length), [16, 5]);
  equal(clock.step(), false);
});

Deno.test("KvFeed publishes nothing of a batch its dialect has no words for", () => {
  const { seqs, publish } = make({ dialect: "llm-d-map" });
  publish(removed(1, "cpu"));
  deepStrictEqual(seqs, []);
});

Deno.test("faults touch the live messages at their rate and seed, and not the replay", () => {
  const run = (faults: Partial<Faults>, seed = 1) => {
    const { clock, feed, seqs, publish } = make({}, faults, seed);
    for (let i = 0; i < 200; i++) {
      publish(removed(i));
      clock.advance(10);
    }
    clock.advance(1000);
    equal(kept(feed)!.length, 200);
    return seqs;
  };
  const inOrder = Array.from({ length: 200 }, (_, i) => i);
  deepStrictEqual(run({}), inOrder);
  const dropped = run({ kvDropRate: 0.25 });
  ok(dropped.length > 120 && dropped.length < 180, `${dropped.length}`);
  deepStrictEqual(dropped, dropped.toSorted((a, b) => a - b));
  deepStrictEqual(run({ kvDropRate: 0.25 }), dropped);
  notDeepStrictEqual(run({ kvDropRate: 0.25 }, 2), dropped);
  const doubled = run({ kvDuplicateRate: 0.25 });
  ok(doubled.length > 220 && doubled.length < 280, `${doubled.length}`);
  deepStrictEqual([...new Set(doubled)], inOrder);
  for (const shuffled of [run({ kvReorderRate: 0.25 }), run({ kvDelayRate: 0.25, kvDelayMs: 35 })]) {
    notDeepStrictEqual(shuffled, inOrder);
    ok(shuffled.length >= 199, `${shuffled.length}`);
    deepStrictEqual(shuffled.toSorted((a, b) => a - b), inOrder.slice(0, shuffled.length));
    shuffled.forEach((seq, at) => ok(Math.abs(seq - at) <= 4, `${seq} at ${at}`));
  }
});

Deno.test("a stuck feed says nothing and replays nothing, then tells all in order", () => {
  const { feed, seqs, publish } = make();
  publish(removed(1));
  feed.changeFaults({ ...noFaults, kvStuck: true });
  publish(removed(2));
  publish(removed(3));
  deepStrictEqual(seqs, [0]);
  equal(feed.replay(0), undefined);
  feed.changeFaults(noFaults);
  deepStrictEqual(seqs, [0, 1, 2]);
  deepStrictEqual(kept(feed), [0, 1, 2]);
});

Deno.test("restart() numbers from the first again and keeps nothing of before, delayed or gathered", () => {
  const { clock, feed, seqs, publish } = make({}, { kvDelayRate: 1, kvDelayMs: 50 });
  publish(removed(1));
  feed.restart();
  clock.advance(100);
  deepStrictEqual(seqs, []);
  deepStrictEqual(kept(feed), []);
  publish(removed(2));
  clock.advance(100);
  deepStrictEqual(seqs, [0]);
});

Deno.test("endpointOfRank() and bindsTo() follow the engines", () => {
  equal(endpointOfRank("tcp://*:5557", 3), "tcp://*:5560");
  equal(endpointOfRank("tcp://127.0.0.1:0", 3), "tcp://127.0.0.1:0");
  equal(endpointOfRank("ipc:///run/kv", 1), "ipc:///run/kv");
  deepStrictEqual(
    ["tcp://*:1", "tcp://[::]:1", "ipc://x", "tcp://h:0"].map(bindsTo),
    Array(4).fill(true),
  );
  deepStrictEqual(["tcp://collector:5557", "tcp://10.0.0.1:50"].map(bindsTo), [false, false]);
});
