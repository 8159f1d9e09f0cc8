import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { FeedState, feedStateNames, Prng, sleep, systemClock } from "../core/mod.ts";

import type { BlockTreeApi } from "../hotpath/mod.ts";
import { AgentSource, EndpointFeed, type FeedSink, type FeedSource, type LoadSample, seedCheck } from "../kv/mod.ts";
import { Dialects, HttpFetcher } from "../pool/mod.ts";
import type { KvBatch, KvEvent } from "../protocol/mod.ts";
import { Logger } from "../telemetry/mod.ts";
import { Agent, type AgentParts } from "./agent.ts";
import { heldOf } from "./testing.ts";
import { openBlockTree } from "./tree.ts";

const log = new Logger({ write: () => {}, clock: systemClock });

/** An engine's publisher without a network: what it lost live it can tell again, when it may. */
class TestEngine implements FeedSource {
  readonly kind = "zmq";
  readonly address = "test";
  readonly replay?: FeedSource["replay"];
  #history: KvBatch[] = [];
  #sink?: FeedSink;
  #nextHash = 1n;

  constructor(replays: boolean) {
    if (replays) {
      this.replay = async function* (this: TestEngine, from: number) {
        yield* this.#history.filter(({ seq }) => seq >= from);
      };
    }
  }

  run(sink: FeedSink, _from: unknown, signal: AbortSignal): Promise<void> {
    this.#sink = sink;
    sink.connected();
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  publish(events: readonly KvEvent[], { lose = false } = {}): void {
    const batch = { seq: this.#history.length, timestamp: systemClock.wallMs() / 1000, events };
    this.#history.push(batch);
    if (!lose) this.#sink?.batch(batch);
  }

  /** A chain of new blocks. */
  stored(count: number): KvEvent {
    const hashes = BigUint64Array.from({ length: count }, () => this.#nextHash++);
    const tokens = Uint32Array.from({ length: count * 16 }, (_, i) => Number(hashes[0]) * 1009 + i);
    return { kind: "stored", tier: 0, hashes, tokens, blockTokens: 16 };
  }

  load(sample: LoadSample): void {
    this.#sink?.load(sample);
  }
}

/** An agent beside an engine, and a router that reads it. */
class Pair {
  readonly states: string[] = [];
  readonly loads: LoadSample[] = [];
  readonly feed: EndpointFeed;

  private constructor(
    readonly engine: TestEngine,
    readonly agentTree: BlockTreeApi,
    readonly agent: Agent,
    readonly tree: BlockTreeApi,
  ) {
    this.feed = new EndpointFeed({
      slot: 0,
      source: new AgentSource({ host: "127.0.0.1", port: agent.port, seedCheck: seedCheck(this.tree) }),
      tree: this.tree,
      clock: systemClock,
      rng: new Prng(1),
      clear: () => this.tree.clear(0),
      onState: (state, _, reason) => this.states.push(`${feedStateNames[state]} ${reason}`),
      onLoad: (sample) => this.loads.push(sample),
    });
    this.feed.start();
  }

  static async start(replays: boolean, parts: Partial<AgentParts> = {}): Promise<Pair> {
    const engine = new TestEngine(replays);
    const [agentTree, tree] = await Promise.all([1, 2].map(() => openBlockTree(1, 4 << 20, "seed")));
    const agent = await Agent.start({
      clock: systemClock,
      rng: new Prng(1),
      log,
      version: "0.0.0",
      tree: agentTree,
      sources: [engine],
      server: { host: "127.0.0.1", port: 0 },
      ...parts,
    });
    return new Pair(engine, agentTree, agent, tree);
  }

  async stop(): Promise<void> {
    await this.feed.stop();
    await this.agent.stop();
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = systemClock.now() + 5000;
  while (!condition()) {
    ok(systemClock.now() < endMs, `${what} within 5 s`);
    await sleep(systemClock, 2);
  }
}

Deno.test("the router's tree follows the engine's cache through the agent, and is LIVE", async () => {
  const pair = await Pair.start(true);
  const { engine, feed, tree, agentTree } = pair;
  try {
    engine.publish([engine.stored(40)]);
    await until("LIVE", () => feed.state === FeedState.Live);
    deepStrictEqual(heldOf(tree), heldOf(agentTree));
    engine.publish([engine.stored(10)]);
    engine.publish([{ kind: "removed", tier: 0, hashes: BigUint64Array.of(40n, 39n) }]);
    await until("48 blocks", () => heldOf(tree).length === 48);
    deepStrictEqual(heldOf(tree), heldOf(agentTree));
    engine.publish([{ kind: "cleared" }, engine.stored(3)]);
    await until("3 blocks", () => heldOf(tree).length === 3);
    deepStrictEqual(heldOf(tree), heldOf(agentTree));
    equal(feed.state, FeedState.Live);
  } finally {
    await pair.stop();
  }
});

Deno.test("a gap the agent can replay is healed there and passes by the router", async () => {
  const pair = await Pair.start(true);
  const { engine, feed, tree, agentTree, states } = pair;
  try {
    engine.publish([engine.stored(5)]);
    await until("LIVE", () => feed.state === FeedState.Live);
    engine.publish([engine.stored(7)], { lose: true });
    engine.publish([engine.stored(2)]);
    await until("14 blocks", () => heldOf(tree).length === 14);
    await until("LIVE again", () => feed.state === FeedState.Live);
    deepStrictEqual(heldOf(tree), heldOf(agentTree));
    ok(states.some((state) => state.startsWith("RESYNC")), states.join("; "));
    ok(!states.some((state) => state.startsWith("SUSPECT")), states.join("; "));
  } finally {
    await pair.stop();
  }
});

Deno.test("a gap the agent cannot heal makes the router's feed SUSPECT, with the agent's reason", async () => {
  const pair = await Pair.start(false);
  const { engine, feed, tree, agentTree, states } = pair;
  try {
    engine.publish([engine.stored(5)]);
    await until("LIVE", () => feed.state === FeedState.Live);
    engine.publish([engine.stored(7)], { lose: true });
    engine.publish([engine.stored(2)]);
    await until("SUSPECT", () => feed.state === FeedState.Suspect);
    match(states.at(-1)!, /batches? 1/);
    await until("7 blocks", () => heldOf(tree).length === 7);
    deepStrictEqual(heldOf(tree), heldOf(agentTree));
    engine.publish([{ kind: "cleared" }]);
    await until("LIVE", () => feed.state === FeedState.Live);
    equal(heldOf(tree).length, 0);
  } finally {
    await pair.stop();
  }
});

Deno.test("load reaches the router from the engine's feed and from its metrics page", async () => {
  let running = 2;
  const engine = createServer((_, response) => {
    response.end(`vllm:num_requests_running{engine="0"} ${running}\nvllm:num_requests_waiting{engine="0"} 0\n`);
  });
  await new Promise<void>((resolve) => engine.listen(0, "127.0.0.1", resolve));
  const fetcher = new HttpFetcher();
  const target = { scheme: "http" as const, host: "127.0.0.1", port: (engine.address() as AddressInfo).port };
  const dialect = new Dialects().of({}, "vllm");
  const pair = await Pair.start(true, { metrics: { target, path: "/metrics", dialect, fetchText: fetcher.fetch } });
  try {
    await until("first load", () => pair.loads.at(-1)?.running === 2);
    running = 5;
    await until("a change", () => pair.loads.at(-1)?.running === 5);
    pair.engine.load({ waitingUncachedTokens: 700 });
    await until("queued tokens", () => pair.loads.at(-1)?.waitingUncachedTokens === 700);
    equal(pair.loads.at(-1)!.running, 5);
    const metrics = await (await fetch(`http://127.0.0.1:${pair.agent.port}/metrics`)).text();
    match(metrics, /\nwarmpath_agent_load_reads_total [1-9]/);
  } finally {
    await pair.stop();
    fetcher.close();
    engine.closeAllConnections();
    engine.close();
  }
});
