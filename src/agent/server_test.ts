import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { FeedState } from "../core/mod.ts";
import { BlockTreeTwin } from "../hotpath/block_tree_twin.ts";
import { AgentRig, Reading, TestSink } from "./testing.ts";

const newTree = (seed = 1n) => new BlockTreeTwin(1, seed);

Deno.test("a reader without a position gets a snapshot equal to the agent's tree, then each change", async () => {
  const rig = await AgentRig.start(newTree());
  const chain = rig.store(300);
  rig.cache.locate(0, 1, chain.slice(0, 100));
  const reading = new Reading(rig.source(), new TestSink());
  const { sink } = reading;
  try {
    await sink.until(() => sink.snapshots === 1);
    deepStrictEqual(sink.held(), rig.held());
    equal(sink.held().length, 400);
    rig.store(5);
    rig.cache.remove(0, 0, chain.slice(250));
    await sink.until(() => sink.position.seq > 1);
    deepStrictEqual(sink.held(), rig.held());
    rig.cache.clear(0);
    rig.store(2);
    const { seq } = sink.position;
    await sink.until(() => sink.position.seq > seq);
    deepStrictEqual(sink.held(), rig.held());
    equal(sink.held().length, 2);
    equal(sink.snapshots, 1);
  } finally {
    await reading.stop();
    await rig.server.stop();
  }
});
