import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { EventLink, type EventLinkOptions } from "../../bench/replay/events.ts";
import { VirtualClock } from "../../src/core/mod.ts";
import type { FeedSink } from "../../src/kv/mod.ts";
import type { KvBatch } from "../../src/protocol/mod.ts";
import type { SimKvBatch } from "../../src/sim/mod.ts";

/** A link with a reader that notes what it gets. */
function setup(options: Partial<EventLinkOptions> = {}) {
  const clock = new VirtualClock();
  const link = new EventLink("sim-0", { clock, delayMs: 1, dropShare: 0, seed: 1, replays: true, ...options });
  const got: KvBatch[] = [];
  const nothing = () => {};
  const sink: FeedSink = {
    connected: nothing,
    batch: (batch) => void got.push(batch),
    snapshotBegin: nothing,
    snapshotPart: nothing,
    snapshotEnd: nothing,
    load: nothing,
    heartbeat: nothing,
  };
  const stop = new AbortController();
  const ended = link.run(sink, undefined, stop.signal);
  const end = () => {
    stop.abort();
    return ended;
  };
  return { clock, link, got, end };
}

const digest = (last: number) => Uint8Array.from([9, 9, 9, 0, 0, 0, 0, 0, 0, 1, last]);
const step = (n: number): SimKvBatch => ({
  atMs: n,
  rank: 0,
  events: [{ kind: "removed", tier: "cpu", hashes: [digest(n)] }],
});

Deno.test("EventLink brings an engine's events to the feed after the delay, in numbered batches", async () => {
  const { clock, link, got, end } = setup({ delayMs: 5 });
  const tokens = Uint32Array.of(1, 2, 3, 4);
  link.tell({
    atMs: 0,
    rank: 0,
    events: [
      {
        kind: "stored",
        tier: "gpu",
        hashes: [digest(2), digest(3)],
        parent: digest(1),
        tokens,
        blockSize: 2,
        extras: [],
      },
      { kind: "cleared" },
    ],
  });
  link.tell(step(7));
  clock.advance(4);
  equal(got.length, 0);
  clock.advance(1);
  deepStrictEqual(got.map(({ seq, events }) => ({ seq, events })), [
    {
      seq: 0,
      events: [
        { kind: "stored", tier: 0, hashes: BigUint64Array.of(258n, 259n), tokens, blockTokens: 2, parent: 257n },
        { kind: "cleared" },
      ],
    },
    { seq: 1, events: [{ kind: "removed", tier: 1, hashes: BigUint64Array.of(263n) }] },
  ]);
  ok(got[0].timestamp < got[1].timestamp);
  await end();
});

Deno.test("EventLink loses its share of batches, which a replay brings", async () => {
  const { clock, link, got, end } = setup({ dropShare: 0.25 });
  for (let i = 0; i < 800; i++) link.tell(step(i));
  clock.advance(1);
  // 600 expected, standard deviation 12.
  ok(Math.abs(got.length - 600) < 60, String(got.length));
  const seqs: number[] = [];
  for await (const batch of link.replay!(790, new AbortController().signal)) seqs.push(batch.seq);
  deepStrictEqual(seqs, [790, 791, 792, 793, 794, 795, 796, 797, 798, 799]);
  equal(setup({ replays: false }).link.replay, undefined);
  await end();
});
