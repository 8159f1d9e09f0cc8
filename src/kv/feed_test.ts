import { FeedUnsupported } from "./feeds/errors.ts";
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { FeedState } from "../core/mod.ts";
import { batch, FeedWorld, removed, ScriptedSource, settled, stored } from "./feed_testing.ts";

const replaying = (batches: ScriptedSource["buffer"] = []) => {
  const source = new ScriptedSource({ replays: true });
  source.buffer = batches;
  return source;
};

Deno.test("a feed is BLIND until something is told, and LIVE from the publisher's first batch on", async () => {
  const world = new FeedWorld(new ScriptedSource());
  equal(world.state, "BLIND");
  await world.connect();
  equal(world.state, "BLIND");
  world.tell(batch(0), batch(1));
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2]);
  deepStrictEqual(world.blockTokens, [4]);
  await world.feed.stop();
  equal(world.source.stopped, 1);
});

Deno.test("a feed that joins late without replay is SUSPECT and applies what it is told", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(7), batch(8));
  equal(world.state, "SUSPECT");
  equal(world.feed.status().reason, "what came before batch 7 is unknown");
  deepStrictEqual(world.held, [8, 9]);
  await world.feed.stop();
});

Deno.test("a first connect replays the history: LIVE when it reaches back to the first batch", async () => {
  const world = new FeedWorld(replaying([batch(0), batch(1), batch(2)]));
  await world.connect();
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2, 3]);
  deepStrictEqual(world.states, ["RESYNC", "LIVE"]);
  deepStrictEqual(world.source.replayedFrom, [0]);
  await world.feed.stop();
});

Deno.test("a first connect to an engine that has told nothing is LIVE with nothing held", async () => {
  const world = new FeedWorld(replaying());
  await world.connect();
  equal(world.state, "LIVE");
  world.tell(batch(0));
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1]);
  await world.feed.stop();
});

Deno.test("a history that begins later leaves the feed SUSPECT", async () => {
  const world = new FeedWorld(replaying([batch(5), batch(6)]));
  await world.connect();
  equal(world.state, "SUSPECT");
  deepStrictEqual(world.held, [6, 7]);
  world.tell(batch(7, [{ kind: "cleared" }, stored(50)]));
  equal(world.state, "LIVE", "the whole cache was dropped: all is known again");
  deepStrictEqual(world.held, [50]);
  await world.feed.stop();
});

Deno.test("live batches that come during a replay wait for it", async () => {
  const world = new FeedWorld(replaying([batch(0), batch(1)]));
  world.source.sink.connected();
  world.tell(batch(1), batch(2));
  deepStrictEqual(world.held, []);
  await settled();
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2, 3]);
  equal(world.feed.status().counters.duplicates, 1);
  await world.feed.stop();
});

Deno.test("batches out of order are put in order within the window", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0), batch(2), batch(3));
  equal(world.state, "RESYNC");
  deepStrictEqual(world.held, [1]);
  world.tell(batch(1));
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2, 3, 4]);
  await world.pass(1000);
  equal(world.state, "LIVE");
  await world.feed.stop();
});

Deno.test("a gap that stays is filled by a replay from the last batch applied", async () => {
  const world = new FeedWorld(replaying());
  await world.connect();
  world.tell(batch(0), batch(1));
  world.source.buffer = [0, 1, 2, 3, 4].map((seq) => batch(seq));
  world.tell(batch(4));
  equal(world.state, "RESYNC");
  await world.pass(60);
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2, 3, 4, 5]);
  deepStrictEqual(world.source.replayedFrom, [0, 1]);
  equal(world.feed.status().counters.gaps, 1);
  await world.feed.stop();
});

Deno.test("a gap that cannot be filled leaves what is known, doubtful, and the feed SUSPECT", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0), batch(1), batch(4));
  await world.pass(60);
  equal(world.state, "SUSPECT");
  equal(world.feed.status().reason, "batches 2 to 3 are lost");
  deepStrictEqual(world.held, [1, 2, 5]);
  equal(world.tree.slotStats(0).doubted, 2);
  world.tell(batch(5, [stored(1)]));
  equal(world.tree.slotStats(0).doubted, 1, "what is told again is not doubtful");
  await world.feed.stop();
});

Deno.test("a full hold ends the wait for what is missing at once", async () => {
  const world = new FeedWorld(new ScriptedSource(), { heldBatchesMax: 2 });
  await world.connect();
  world.tell(batch(0), batch(2), batch(3));
  equal(world.state, "SUSPECT");
  deepStrictEqual(world.held, [1, 3, 4]);
  await world.feed.stop();
});

Deno.test("a replay that has dropped what is missing is not taken for complete", async () => {
  const world = new FeedWorld(replaying());
  await world.connect();
  world.tell(batch(0));
  world.source.buffer = [batch(3), batch(4)];
  world.tell(batch(4));
  await world.pass(60);
  equal(world.state, "SUSPECT");
  equal(world.feed.status().reason, "batches 1 to 2 are lost");
  deepStrictEqual(world.held, [1, 4, 5]);
  await world.feed.stop();
});

Deno.test("a feed whose first replay fails says so, before anything is told", async () => {
  const world = new FeedWorld(replaying());
  world.source.buffer = new Error("refused");
  await world.connect();
  await world.pass(5000);
  deepStrictEqual([world.state, world.feed.status().reason], ["BLIND", "a replay failed: refused"]);
  ok(world.troubles.includes("a replay failed: refused"));
  await world.feed.stop();
});

Deno.test("replays that fail are tried again, then the feed goes on as SUSPECT and heals later", async () => {
  const world = new FeedWorld(replaying());
  await world.connect();
  world.tell(batch(0));
  world.source.buffer = new Error("refused");
  world.tell(batch(2, [removed(1), stored(3)]));
  await world.pass(100);
  equal(world.state, "RESYNC");
  await world.pass(2000);
  equal(world.state, "SUSPECT");
  equal(world.feed.status().reason, "a replay failed: refused");
  deepStrictEqual(world.troubles, ["a replay failed: refused"]);
  equal(world.source.replayedFrom.length, 4);
  world.source.buffer = [batch(0), batch(1), batch(2, [removed(1), stored(3)])];
  await world.pass(31_000);
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [2, 3]);
  equal(world.tree.slotStats(0).doubted, 0);
  await world.feed.stop();
});

Deno.test("a silent replay is given up, and stop() ends while one hangs", async () => {
  const world = new FeedWorld(replaying(), { replayIdleMs: 1000, replayAttemptsMax: 1 });
  await world.connect();
  world.tell(batch(0));
  world.source.buffer = undefined;
  world.tell(batch(2));
  await world.pass(60);
  equal(world.state, "RESYNC");
  await world.pass(1000);
  equal(world.state, "SUSPECT");
  await world.pass(30_000);
  equal(world.state, "RESYNC", "it tries to heal");
  await world.feed.stop();
});

Deno.test("a repeated batch changes nothing", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0), batch(1), batch(0), batch(1));
  equal(world.state, "LIVE");
  equal(world.feed.status().counters.duplicates, 2);
  deepStrictEqual([...world.tree.held(0)].map(({ tiers }) => tiers[0]), [1, 1]);
  await world.feed.stop();
});

Deno.test("a publisher that starts over is noticed by its timestamps, and its cache taken for empty", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0), batch(1), batch(2));
  world.tell(batch(0, [stored(70)], 5000));
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [70]);
  equal(world.feed.status().counters.restarts, 1);
  world.tell(batch(1, [stored(71)], 5000), batch(0, [stored(72)], 9000));
  deepStrictEqual(world.held, [72]);
  await world.feed.stop();
});

Deno.test("a late batch of the same life is not taken for a restart", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0), batch(2));
  await world.pass(60);
  world.tell(batch(1));
  equal(world.feed.status().counters.restarts, 0);
  deepStrictEqual(world.held, [1, 3]);
  await world.feed.stop();
});

Deno.test("a lost link changes the state after a grace; data is kept and the link dialled again", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0));
  world.source.lose();
  await world.pass(1900);
  equal(world.state, "LIVE");
  await world.pass(200);
  equal(world.state, "SUSPECT");
  equal(world.feed.status().reason, "the link is down: connection reset");
  deepStrictEqual(world.held, [1]);
  equal(world.source.dials.length, 2);
  await world.connect();
  equal(world.state, "SUSPECT", "nothing shows yet that nothing was missed");
  world.tell(batch(1));
  equal(world.state, "LIVE");
  await world.feed.stop();
});

Deno.test("without replay a batch that follows is proof only together with the process's start time", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.feed.restartHint(900);
  world.tell(batch(0));
  world.source.lose();
  await world.pass(2500);
  await world.connect();
  world.tell(batch(1));
  equal(world.state, "SUSPECT");
  equal(world.feed.status().reason, "it is not known whether the engine restarted");
  world.feed.restartHint(900);
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2]);
  await world.feed.stop();
});

Deno.test("restartHint() of a later start empties the slot; one that fits what was told does not", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0), batch(1));
  world.feed.restartHint(990);
  world.feed.restartHint(1000.5);
  deepStrictEqual(world.held, [1, 2]);
  world.feed.restartHint(3000);
  deepStrictEqual(world.held, []);
  equal(world.state, "SUSPECT");
  world.tell(batch(0, [stored(9)], 3010));
  world.feed.restartHint(3000);
  deepStrictEqual(world.held, [9]);
  equal(world.state, "LIVE");
  await world.feed.stop();
});

Deno.test("a reconnect verifies by replay that the publisher is the same", async () => {
  const world = new FeedWorld(replaying());
  await world.connect();
  world.tell(batch(0), batch(1));
  world.source.lose();
  await world.pass(2500);
  equal(world.state, "SUSPECT");
  world.source.buffer = [batch(0), batch(1), batch(2)];
  await world.connect();
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2, 3]);
  deepStrictEqual(world.source.replayedFrom, [0, 1]);
  equal(world.cleared, 0);
  await world.feed.stop();
});

Deno.test("a gap that is open when the link is lost leaves no grace", async () => {
  const world = new FeedWorld(replaying());
  await world.connect();
  world.tell(batch(0), batch(2));
  world.source.lose();
  await world.pass(10);
  equal(world.state, "SUSPECT");
  world.source.buffer = [batch(0), batch(1), batch(2)];
  await world.pass(200);
  await world.connect();
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2, 3]);
  await world.feed.stop();
});

Deno.test("a reconnect to a publisher that started over clears and replays its history", async () => {
  for (const life of [[0, 1, 2], [0]]) {
    const world = new FeedWorld(replaying());
    await world.connect();
    world.tell(batch(0), batch(1));
    world.source.lose();
    await world.pass(2500);
    world.source.buffer = life.map((seq) => batch(seq, [stored(30 + seq)], 7000));
    await world.connect();
    equal(world.state, "LIVE");
    deepStrictEqual(world.held, life.map((seq) => 30 + seq));
    equal(world.feed.status().counters.restarts, 1);
    await world.feed.stop();
  }
});

Deno.test("a replay without the last batches told is not taken for complete, even after a restart and a lost link", async () => {
  const life = (...seqs: number[]) => seqs.map((seq) => batch(seq, [stored(30 + seq)], 7000));
  const world = new FeedWorld(replaying());
  await world.connect();
  world.tell(batch(0), batch(1));
  world.source.lose();
  await world.pass(3000);
  world.source.buffer = undefined;
  await world.connect();
  world.tell(...life(2));
  world.source.lose();
  await world.pass(200);
  world.source.buffer = life(0, 1);
  await world.connect();
  equal(world.state, "RESYNC");
  world.source.buffer = life(0, 1, 2);
  await world.pass(100);
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [30, 31, 32]);
  await world.feed.stop();
});

Deno.test("a publisher that counts from 1 is believed when its buffer has grown and begins there still", async () => {
  const world = new FeedWorld(replaying([batch(1), batch(2)]));
  await world.connect();
  await world.pass(31_000);
  equal(world.state, "SUSPECT", "a buffer of two batches may have dropped one");
  world.tell(batch(3));
  world.source.buffer = [batch(1), batch(2), batch(3)];
  await world.pass(30_000);
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [2, 3, 4]);
  await world.feed.stop();
});

Deno.test("a buffer that has lost its first batch is not asked for it again", async () => {
  const world = new FeedWorld(replaying([batch(1), batch(2)]));
  await world.connect();
  world.tell(batch(3));
  world.source.buffer = [batch(2), batch(3)];
  await world.pass(200_000);
  equal(world.state, "SUSPECT");
  equal(world.source.replayedFrom.length, 2);
  await world.feed.stop();
});

Deno.test("a child is kept until its parent is told; the feed is not LIVE meanwhile", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell(batch(0, [stored(2, 1)]));
  equal(world.state, "RESYNC");
  world.tell(batch(1, [stored(1)]));
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2]);
  world.tell(batch(2, [stored(9, 8)]));
  await world.pass(5100);
  equal(world.state, "SUSPECT");
  equal(world.feed.status().counters.orphansLost, 1);
  await world.feed.stop();
});

Deno.test("an event that could not be read makes the feed SUSPECT; one of no use does not", async () => {
  const world = new FeedWorld(new ScriptedSource());
  await world.connect();
  world.tell({ ...batch(0), skipped: { "unknown-medium": 2 } });
  equal(world.state, "LIVE");
  world.tell({ ...batch(1), skipped: { malformed: 1 } });
  equal(world.state, "SUSPECT");
  deepStrictEqual([...world.feed.status().counters.skipped], [["unknown-medium", 2], ["malformed", 1]]);
  await world.feed.stop();
});

Deno.test("an agent's snapshot replaces what was known, and deltas go on after it", async () => {
  const world = new FeedWorld(new ScriptedSource({ kind: "agent" }));
  await world.connect("life-1");
  equal(world.state, "RESYNC");
  const { sink } = world.source;
  const held = (...ids: bigint[]) => ({ kind: "held" as const, tier: 0 as const, hashes: BigUint64Array.from(ids) });
  sink.snapshotBegin({ epoch: "life-1", seq: 40 });
  sink.snapshotPart(batch(40, [held(5n, 6n)]));
  sink.snapshotEnd();
  equal(world.state, "LIVE");
  world.tell(batch(41, [{ kind: "released", tier: 0, hashes: BigUint64Array.of(5n) }, held(7n)]));
  const hashes = () => [...world.tree.held(0)].map(({ hash }) => hash).sort();
  deepStrictEqual(hashes(), [6n, 7n]);
  world.source.lose();
  await world.pass(3000);
  deepStrictEqual(world.source.dials.at(-1)!.from, { epoch: "life-1", seq: 41 });
  await world.connect("life-1");
  equal(world.state, "LIVE", "it resumes");
  world.source.lose();
  await world.pass(1000);
  await world.connect("life-2");
  world.source.sink.snapshotBegin({ epoch: "life-2", seq: 0 });
  world.source.sink.snapshotPart(batch(0, [held(6n, 9n)]));
  deepStrictEqual(hashes(), [6n, 7n, 9n], "nothing is dropped before the end");
  world.source.sink.snapshotEnd();
  deepStrictEqual(hashes(), [6n, 9n]);
  equal(world.state, "LIVE");
  await world.feed.stop();
});

Deno.test("a snapshot that breaks off leaves the feed SUSPECT, and the next link asks for another", async () => {
  const world = new FeedWorld(new ScriptedSource({ kind: "agent" }));
  await world.connect("life");
  world.source.sink.snapshotBegin({ epoch: "life", seq: 4 });
  world.source.lose();
  await world.pass(200);
  deepStrictEqual(world.source.dials.at(-1)!.from, { epoch: "", seq: -1 });
  equal(world.states.includes("LIVE"), false);
  await world.feed.stop();
});

Deno.test("a reader is in no better state than the agent says of itself", async () => {
  const world = new FeedWorld(new ScriptedSource({ kind: "agent" }));
  await world.connect("life");
  world.source.sink.snapshotBegin({ epoch: "life", seq: 0 });
  world.source.sink.snapshotEnd();
  world.source.sink.upstreamState!(FeedState.Suspect, "a gap");
  deepStrictEqual([world.state, world.feed.status().reason], ["SUSPECT", "a gap"]);
  world.source.sink.upstreamState!(FeedState.Live, "");
  equal(world.state, "LIVE");
  await world.feed.stop();
});

Deno.test("distrust() has the history told anew where it can, and not again soon", async () => {
  const world = new FeedWorld(replaying([batch(0), batch(1)]));
  await world.connect();
  equal(world.feed.distrust("figures differ"), true);
  equal(world.state, "RESYNC");
  await settled();
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2]);
  equal(world.feed.distrust("figures differ"), false);
  await world.pass(30_000);
  world.source.buffer = [batch(1)];
  equal(world.feed.distrust("figures differ"), true);
  await settled();
  deepStrictEqual([world.state, world.feed.status().reason], ["SUSPECT", "figures differ"]);
  deepStrictEqual(world.held, [1, 2]);
  await world.feed.stop();
});

Deno.test("distrust() that does not help brings a resync ever more rarely", async () => {
  const world = new FeedWorld(replaying([batch(0)]));
  await world.connect();
  const atS: number[] = [];
  for (let second = 0; second < 500; second++) {
    if (world.feed.distrust("figures differ")) atS.push(second);
    await world.pass(1000);
  }
  deepStrictEqual(atS, [0, 30, 90, 210, 450]);
  await world.pass(3_600_000);
  equal(world.feed.distrust("figures differ"), true);
  await world.pass(30_000);
  equal(world.feed.distrust("figures differ"), true, "the last one had helped");
  await world.feed.stop();
});

Deno.test("distrust() of an agent's feed asks it for a snapshot", async () => {
  const world = new FeedWorld(new ScriptedSource({ kind: "agent" }));
  await world.connect("life");
  world.source.sink.snapshotBegin({ epoch: "life", seq: 3 });
  world.source.sink.snapshotEnd();
  equal(world.feed.distrust("figures differ"), true);
  await world.pass(100);
  equal(world.state, "SUSPECT");
  deepStrictEqual(world.source.dials.at(-1)!.from, { epoch: "", seq: -1 });
  await world.feed.stop();
});

Deno.test("a feed goes on from a checkpoint: LIVE once a replay shows that nothing was missed", async () => {
  const before = new FeedWorld(replaying());
  await before.connect();
  before.tell(batch(0), batch(1));
  const checkpoint = before.feed.checkpoint();
  equal(checkpoint.whole, true);
  await before.feed.stop();
  const held = [...before.tree.held(0)];
  const source = replaying([batch(1), batch(2)]);
  const world = new FeedWorld(source, {}, checkpoint);
  world.tree.restore(0, held);
  equal(world.state, "SUSPECT");
  deepStrictEqual(source.dials[0].from, { epoch: "", seq: 1 });
  await world.connect();
  equal(world.state, "LIVE");
  deepStrictEqual(world.held, [1, 2, 3]);
  deepStrictEqual(world.blockTokens, [4]);
  await world.feed.stop();
});

Deno.test("doubtful blocks that nothing confirms are dropped when something is missed again much later", async () => {
  const world = new FeedWorld(new ScriptedSource(), { doubtTtlMs: 10_000 });
  await world.connect();
  world.tell(batch(0), batch(2));
  await world.pass(5000);
  world.tell(batch(4));
  await world.pass(5100);
  deepStrictEqual(world.held, [1, 3, 5]);
  world.tell(batch(6));
  await world.pass(100);
  deepStrictEqual(world.held, [3, 5, 7]);
  await world.feed.stop();
});

Deno.test("the pause between dials grows, also while links break at once, and is over once one has held", async () => {
  const world = new FeedWorld(new ScriptedSource());
  const pauses: number[] = [];
  for (let i = 0; i < 12; i++) {
    const dials = world.source.dials.length, atMs = world.clock.now();
    world.source.lose();
    while (world.source.dials.length === dials) await world.pass(5);
    pauses.push(world.clock.now() - atMs);
  }
  ok(pauses[0] >= 50 && pauses[0] <= 110, String(pauses[0]));
  ok(pauses[5] >= 1600 && pauses[5] <= 3210, String(pauses[5]));
  ok(pauses[11] >= 15_000 && pauses[11] <= 30_010, String(pauses[11]));
  await world.connect();
  world.tell(batch(0));
  const dials = world.source.dials.length;
  world.source.lose();
  await world.pass(10_000);
  equal(world.source.dials.length, dials, "what told something and broke is no good link");
  await world.pass(21_000);
  equal(world.source.dials.length, dials + 1);
  await world.connect();
  await world.pass(1000);
  world.source.lose();
  await world.pass(110);
  equal(world.source.dials.length, dials + 2);
  await world.feed.stop();
});

Deno.test("hold() keeps the slot as it is until release(): live batches wait, and the feed stays LIVE", async () => {
  const world = new FeedWorld(replaying());
  await world.connect();
  world.tell(batch(0));
  const finished: number[][] = [];
  const hold = world.feed.hold(() => finished.push(world.held));
  const other = world.feed.hold(() => finished.push(world.held));
  world.tell(batch(1), batch(2, [removed(1)]));
  equal(hold.checkpoint.seq, 0);
  deepStrictEqual([world.held, world.state, world.feed.status().held], [[1], "LIVE", 2]);
  hold.release();
  deepStrictEqual(world.held, [1], "another one still reads");
  other.release();
  other.release();
  deepStrictEqual([world.held, world.state, world.feed.status().held], [[2], "LIVE", 0]);
  deepStrictEqual(finished, []);
  await world.feed.stop();
});

Deno.test("a hold ends before anything but a live batch changes the slot", async () => {
  const ends: [what: string, act: (world: FeedWorld) => unknown][] = [
    ["link lost", (world) => world.source.lose()],
    ["restart", (world) => world.feed.restartHint(5000)],
    ["distrust", (world) => world.feed.distrust("wrong")],
    ["snapshot", (world) => world.source.sink.snapshotBegin({ epoch: "e", seq: 7 })],
    ["stop", (world) => world.feed.stop()],
  ];
  for (const [what, act] of ends) {
    const world = new FeedWorld(replaying([batch(0), batch(1)]));
    await world.connect();
    const finished: number[][] = [];
    const hold = world.feed.hold(() => finished.push(world.held));
    world.tell(batch(2));
    act(world);
    await settled();
    deepStrictEqual(finished, [[1, 2]], what);
    hold.release();
    deepStrictEqual(finished.length, 1);
    await world.feed.stop();
  }
});

Deno.test("hold() has the reading done at once while something is being fetched", async () => {
  const world = new FeedWorld(replaying([batch(0)]));
  await world.connect();
  world.source.buffer = undefined;
  world.tell(batch(3));
  await world.pass(60);
  equal(world.state, "RESYNC");
  let finished = 0;
  world.feed.hold(() => finished++).release();
  equal(finished, 1);
  await world.feed.stop();
});

Deno.test("a source that says it is unsupported is dialled again after the time it names", async () => {
  const source = new ScriptedSource();
  const world = new FeedWorld(source);
  source.dials[0].lose(new FeedUnsupported("no events here", 300_000));
  await world.pass(149_000);
  equal(source.dials.length, 1);
  await world.pass(152_000);
  equal(source.dials.length, 2);
  await world.feed.stop();
});

Deno.test("a link that cannot be made is told of once a minute at most", async () => {
  const source = new ScriptedSource();
  const world = new FeedWorld(source);
  for (let second = 0; second < 90; second++) {
    source.lose();
    await world.pass(1000);
  }
  deepStrictEqual(world.troubles, ["connection reset", "connection reset"]);
  await world.feed.stop();
});
