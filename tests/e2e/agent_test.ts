/** `warmpath agent` as a program: its flags, its port, its signals. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FeedState, Prng, systemClock } from "../../src/core/mod.ts";
import { startSimServer } from "../../src/sim/mod.ts";
import { AgentSource, EndpointFeed, type FeedSink, type LoadSample, seedCheck } from "../../src/kv/mod.ts";
import { openBlockTree } from "../../src/agent/mod.ts";
import { fact, model, post, until } from "./harness.ts";
import { endInOrder, type Program, runProgram, withFolder, withProgram } from "./program.ts";

const pem = (name: string) => fileURLToPath(new URL(`../golden/tls/${name}`, import.meta.url));

/** An agent of an engine that is not there. */
const alone = ["agent", "--engine-port", "1", "--host", "127.0.0.1", "--port", "0"];

async function urlOf(program: Program): Promise<string> {
  return JSON.parse(await program.err.find(/"message":"Serving routers"/)).url;
}

/** Ends on its own only by a failure. */
function watchLoad(url: string, check: bigint) {
  const loads: LoadSample[] = [];
  const stop = new AbortController();
  const sink: FeedSink = {
    connected() {},
    batch() {},
    snapshotBegin() {},
    snapshotPart() {},
    snapshotEnd() {},
    heartbeat() {},
    load: (sample) => void loads.push(sample),
  };
  const { hostname: host, port } = new URL(url);
  const ended = new AgentSource({ host, port: Number(port), seedCheck: check })
    .run(sink, { epoch: "", seq: -1 }, stop.signal).then(() => "", (error: Error) => error.message);
  return { loads, ended, stop: () => stop.abort() };
}

fact(
  "agent serves while its engine cannot be reached, and its health says so",
  () =>
    withProgram(alone, async (program) => {
      const url = await urlOf(program);
      const { status, live, feeds } = await (await fetch(`${url}/health`)).json();
      deepStrictEqual([status, live, feeds.length, feeds[0].state], ["ok", false, 1, "BLIND"]);
      const metrics = await (await fetch(`${url}/metrics`)).text();
      match(metrics, /^warmpath_agent_state\{rank="0"\} 0$/m);
      await endInOrder(program);
    }),
);

fact("agent tells routers of its seed the load on its engine's metrics page, and refuses others", async () => {
  const page = `vllm:num_requests_running{engine="0"} 4\nvllm:num_requests_waiting{engine="0"} 2\n`;
  const engine = createServer((_, response) => void response.end(page));
  await new Promise<void>((resolve) => engine.listen(0, "127.0.0.1", resolve));
  const { port } = engine.address() as AddressInfo;
  try {
    const flags = [...alone, "--metrics-url", `http://127.0.0.1:${port}/metrics`];
    await withProgram(flags, async (program) => {
      const url = await urlOf(program);
      const ours = watchLoad(url, seedCheck(await openBlockTree(1, 1 << 20, "fleet")));
      await until("load was told", () => ours.loads.length > 0);
      deepStrictEqual([ours.loads[0].running, ours.loads[0].waiting], [4, 2]);
      const theirs = watchLoad(url, seedCheck(await openBlockTree(1, 1 << 20, "other")));
      match(await theirs.ended, /hash seed/);
      await endInOrder(program);
      match(await ours.ended, /shutting down/);
    }, { WARMPATH_HASH_SEED: "fleet" });
  } finally {
    engine.closeAllConnections();
    engine.close();
  }
});

fact("a router knows by an agent what a simulated engine caches, and is LIVE while it does", async () => {
  const local = "tcp://127.0.0.1:0";
  const sim = startSimServer({ port: 0, speed: 20, kvEvents: { endpoint: local, replayEndpoint: local } });
  const { kvEvents, kvReplay } = await sim.feeds;
  const portOf = (endpoint: string) => endpoint.split(":").at(-1)!;
  const ask = (content: string) =>
    post(`${sim.url}/v1/chat/completions`, { model, max_tokens: 4, messages: [{ role: "user", content }] })
      .then((answer) => answer.json());
  const tree = await openBlockTree(1, 4 << 20, "");
  const cached = () => sim.models.ranks[0].trueCache().length;
  const flags = ["--engine-port", portOf(kvEvents[0]), "--replay-port", portOf(kvReplay[0])];
  try {
    // Before the agent is there: it has to ask for the past.
    await ask("one ".repeat(300));
    await withProgram(["agent", ...flags, "--host", "127.0.0.1", "--port", "0"], async (program) => {
      const { hostname: host, port } = new URL(await urlOf(program));
      const feed = new EndpointFeed({
        slot: 0,
        source: new AgentSource({ host, port: Number(port), seedCheck: seedCheck(tree) }),
        tree,
        clock: systemClock,
        rng: new Prng(1),
        clear: () => tree.clear(0),
      });
      feed.start();
      try {
        for (const text of ["two ", "three ", "two "]) await ask(text.repeat(400));
        await until(
          "the router is LIVE and knows all",
          () => feed.state === FeedState.Live && tree.slotStats(0).tiers[0] === cached(),
        );
        ok(cached() > 60, `${cached()} blocks`);
        sim.models.ranks[0].resetCache();
        await until("the router knows nothing", () => tree.slotStats(0).tiers[0] === 0);
        equal(feed.state, FeedState.Live);
      } finally {
        await feed.stop();
      }
      await endInOrder(program);
    });
  } finally {
    await sim.stop();
  }
});

fact("agent says which flag is wrong, and exits with 2", () =>
  withFolder(async (folder) => {
    const wrong: [args: string[], message: RegExp][] = [
      [["--engine", "grpc"], /^--engine: must be one of zmq, vllm-grpc, sglang-grpc: current value is "grpc"$/m],
      [["--port", "x"], /^--port: must be an integer from 0 to 65535: current value is "x"$/m],
      [["--metrics-url", "http://e", "--metrics-engine", "x"], /^--metrics-engine: must be one of vllm, sglang, /m],
      [["--tls-cert", join(folder, "c"), "--tls-key", join(folder, "k")], /^--tls-cert: must be a readable file: /m],
      [
        ["--tls-cert", pem("ca.pem"), "--tls-key", pem("server.key")],
        /^--tls-key: must be the key of the certificate/m,
      ],
      [["--tls-cert", pem("server.key"), "--tls-key", pem("server.key")], /^--tls-cert: must hold a PEM certificate/m],
      [["--tls-cert", pem("server.pem"), "--tls-key", pem("ca.pem")], /^--tls-key: must hold a PEM private key/m],
      [["--host", "192.0.2.1"], /^Cannot listen: .*Choose another address with --host and --port$/m],
    ];
    await Promise.all(wrong.map(async ([args, message]) => {
      const { code, err } = await runProgram(["agent", "--port", "0", ...args]);
      equal(code, 2, err);
      match(err, message);
    }));
  }));
