import { deepStrictEqual, equal } from "node:assert/strict";
import { type EndpointMeta, endpointMeta, FeedState, Prng, VirtualClock } from "../core/mod.ts";
import { batch, ScriptedSource, settled } from "./feed_testing.ts";
import { Feeds } from "./feeds.ts";
import { KvIndex } from "./kv_index.ts";
import { PrefixReader } from "./prefix_reader.ts";
import { emptyTree, noFeeds } from "./tree_testing.ts";

function setup() {
  const clock = new VirtualClock();
  const tree = emptyTree();
  const columns = noFeeds(tree.slots);
  const index = new KvIndex(tree, { clock, blockTokens: 64, columns });
  const reader = new PrefixReader(tree, columns, 64);
  const sources = new Map<string, ScriptedSource>();
  const told: string[] = [];
  const feeds = new Feeds({
    tree,
    index,
    clock,
    rng: new Prng(1),
    source: ({ id, labels }: EndpointMeta) => {
      if (labels.feed === "none") return undefined;
      const source = new ScriptedSource();
      sources.set(id, source);
      return source;
    },
    onLoad: (slot, { waiting }) => told.push(`${slot} waiting ${waiting}`),
    onState: (slot, state) => told.push(`${slot} state ${state}`),
  });
  const meta = (port: number, feed = "zmq") => endpointMeta({ host: "h", port, labels: { feed } });
  const sourceOf = (port: number) => sources.get(`h:${port}`)!;
  return { clock, tree, index, reader, feeds, meta, sourceOf, told };
}

Deno.test("add() starts a feed where there is a source, and the index learns its state and block size", async () => {
  const { reader, feeds, index, meta, sourceOf, told } = setup();
  equal(feeds.add(0, meta(1)), true);
  equal(feeds.add(1, meta(2, "none")), false);
  equal(feeds.state(1), FeedState.Blind);
  await settled();
  sourceOf(1).sink.connected();
  sourceOf(1).sink.load({ waiting: 3 });
  sourceOf(1).sink.batch(batch(0));
  deepStrictEqual(told, ["0 waiting 3", `0 state ${FeedState.Live}`]);
  equal(feeds.state(0), FeedState.Live);
  equal(index.feedState(0), FeedState.Live);
  equal(reader.stride([0, 1]), 16);
  equal(reader.stride([1]), 64);
  deepStrictEqual([...feeds.status().keys()], [0]);
  const hold = feeds.hold(0, () => {});
  equal(hold!.checkpoint.seq, 0);
  hold!.release();
  equal(feeds.hold(1, () => {}), undefined);
  await feeds.stop();
  equal(sourceOf(1).stopped, 1);
});

Deno.test("remove() empties the slot at once; a late word of the old source does not reach the newcomer", async () => {
  const { reader, feeds, index, meta, sourceOf } = setup();
  feeds.add(0, meta(1));
  await settled();
  const old = sourceOf(1).sink;
  old.connected();
  old.batch(batch(0));
  equal(index.slotBlocks(0), 1);
  feeds.remove(0);
  equal(index.slotBlocks(0), 0);
  equal(index.feedState(0), FeedState.Blind);
  equal(reader.stride([0]), 64);
  feeds.add(0, meta(2));
  old.batch(batch(1));
  equal(index.slotBlocks(0), 0);
  await settled();
  equal(sourceOf(1).stopped, 1);
  await feeds.stop();
});

Deno.test("calibration has the feed of an endpoint that keeps disagreeing told anew", async () => {
  const { feeds, meta, sourceOf } = setup();
  feeds.add(2, meta(1));
  await settled();
  sourceOf(1).sink.connected();
  sourceOf(1).sink.batch(batch(0));
  for (let i = 0; i < 8; i++) {
    feeds.calibration.compare(2, { toldTokens: 640, tokens: 640, blockTokens: 16 }, 0, true);
  }
  equal(feeds.state(2), FeedState.Suspect);
  equal(feeds.status().get(2)!.counters.distrusts, 1);
  feeds.restartHint(2, 99_999);
  equal(feeds.status().get(2)!.counters.restarts, 1);
  await feeds.stop();
});
