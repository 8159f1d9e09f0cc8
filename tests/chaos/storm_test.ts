/**
 * One router of two edges under steady load, while everything around it breaks in turn: servers killed, stalled, reset,
 * refusing, answering garbage, flapping; edges killed; configurations broken and mended; hostile clients; too much load.
 * No token may be lost or come twice, no request may fail that could have been sent elsewhere, and nothing may stay held.
 */
import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { Prng, sleep, systemClock } from "../../src/core/mod.ts";
import { loadConfigText, resolveConfig } from "../../src/config/mod.ts";
import { Router } from "../../src/commands/mod.ts";
import { defaultCost } from "../../src/sim/mod.ts";
import { until } from "../e2e/harness.ts";
import { type CheckedFate, CheckedLoad } from "./checked_load.ts";
import { MortalServers } from "./mortal_servers.ts";
import { type RogueMode, RogueServer } from "./rogue_server.ts";
import { AnswerBook } from "./truth.ts";

const model = "sim/model-8b";
const seed = 5;
const requestsPerS = 30;
/** Above what the engines and the router are asked for in the storm, below what they are in the overload. */
const requestsMax = 40;

interface World {
  readonly router: Router;
  readonly servers: MortalServers;
  readonly rogue: RogueServer;
  readonly load: CheckedLoad;
  readonly prng: Prng;
  config(change?: object): ReturnType<typeof resolveConfig>;
}

interface Phase {
  readonly name: string;
  run(world: World): Promise<void>;
  /** Whether a request that began in the phase may fail so. @default {none may} */
  readonly mayFail?: (fate: CheckedFate) => boolean;
}

const pause = (ms: number) => sleep(systemClock, ms);

/** Repeats a step for a while. */
async function every(stepMs: number, forMs: number, step: (i: number) => void | Promise<void>): Promise<void> {
  const endMs = systemClock.now() + forMs;
  for (let i = 0; systemClock.now() < endMs; i++) {
    await step(i);
    await pause(stepMs);
  }
}

/** Faults of some servers for a while. */
async function faulty({ servers }: World, indices: readonly number[], change: Record<string, unknown>, forMs: number) {
  for (const index of indices) await servers.setFaults(index, change);
  await pause(forMs);
  const none = Object.fromEntries(Object.keys(change).map((key) => [key, key.endsWith("-rate") ? 0 : change[key]]));
  for (const index of indices) await servers.setFaults(index, none);
}

const rogueModes: readonly RogueMode[] = ["garbage", "hang-up", "half-chunk", "bad-chunk", "two-lengths", "silent"];

const phases: readonly Phase[] = [
  { name: "calm", run: () => pause(2_000) },
  {
    name: "servers are killed",
    run: ({ servers, prng }) => every(900, 6_000, () => servers.killAndRestart(prng.below(servers.urls.length))),
  },
  {
    name: "heads do not come",
    run: (world) => faulty(world, [0], { "stall-rate": 0.5, "stall-after": -1 }, 3_000),
  },
  {
    name: "streams stop in the middle",
    run: (world) => faulty(world, [1], { "stall-rate": 0.3, "stall-after": 4 }, 4_000),
  },
  { name: "streams are reset", run: (world) => faulty(world, [0, 1], { "reset-rate": 0.3, "reset-after": 4 }, 4_000) },
  { name: "servers refuse", run: (world) => faulty(world, [2], { "status-rate": 0.7, "status-code": 503 }, 3_000) },
  {
    name: "a server answers garbage",
    async run({ rogue }) {
      rogue.healthy = true;
      await every(700, 5_000, (i) => void (rogue.mode = rogueModes[i % rogueModes.length]));
      rogue.healthy = false;
      ok(rogue.asked > 0, "it was asked");
    },
  },
  {
    name: "health flaps",
    async run({ rogue }) {
      rogue.mode = "hang-up";
      await every(130, 2_500, (i) => void (rogue.healthy = i % 2 === 0));
      rogue.healthy = false;
    },
  },
  {
    name: "edges are killed",
    async run({ router }) {
      for (const edge of [1, 2]) {
        await pause(700);
        await router.edges.kill(edge);
        await until("the edge is replaced", () => router.edges.listening === 2, 2_000);
      }
      await pause(700);
    },
    // Its connections go with an edge; nobody else's.
    mayFail: ({ problem, status }) => problem !== undefined && (status === 0 || status === 200),
  },
  {
    name: "configurations are broken and mended",
    run: ({ router, config }) =>
      every(250, 2_500, async (i) => {
        await rejects(router.reload(config({ scheduling: { plugins: [{ type: "none" }], schedulingProfiles: [] } })));
        await router.reload(config({ models: { aliases: { [`alias-${i}`]: model } } }));
      }),
  },
  { name: "clients are hostile", run: hostile },
  {
    name: "there is too much to do",
    async run({ load }) {
      load.requestsPerS = 20 * requestsPerS;
      await pause(4_000);
      load.requestsPerS = requestsPerS;
    },
    mayFail: ({ status, retryAfter, said }) => (status === 503 || status === 429) && retryAfter !== null && said === 0,
  },
  // What was refused is over within two seconds.
  {
    name: "recovery",
    run: () => pause(2_000),
    mayFail: ({ status, retryAfter }) => status === 503 && retryAfter !== null,
  },
  { name: "calm again", run: () => pause(2_000) },
];

/** Slow senders, oversized heads and connections that say nothing, beside the load. */
async function hostile({ router, prng }: World): Promise<void> {
  const open: Deno.TcpConn[] = [];
  const encoder = new TextEncoder();
  try {
    for (let i = 0; i < 300; i++) open.push(await Deno.connect({ hostname: "127.0.0.1", port: router.port }));
    const send = (i: number, text: string) => open[i].write(encoder.encode(text)).catch(() => 0);
    for (let i = 0; i < 20; i++) {
      await send(i, `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-long: ${"a".repeat(70_000)}`);
    }
    for (let i = 20; i < 60; i++) {
      await send(i, "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{");
    }
    for (let i = 60; i < 100; i++) await send(i, "GET / HTTP/1.1\r\nho");
    await every(50, 2_500, () => void send(20 + prng.below(80), " "));
  } finally {
    for (const connection of open) {
      try {
        connection.close();
      } catch {
        // The router closed it.
      }
    }
  }
}

Deno.test("no token is lost, doubled or wrong and nothing stays held while everything breaks in turn", async () => {
  const cost = { ...defaultCost, stepPerRequestMs: 0.02, prefillTokensPerS: 200_000 };
  await using servers = await MortalServers.start(3, { model, cost, seed });
  using rogue = new RogueServer(model, "garbage");
  rogue.healthy = false;
  await using book = new AnswerBook(model, seed);
  await CheckedLoad.learn(book);
  const errors: string[] = [];
  const config = (change: object = {}) =>
    resolveConfig(loadConfigText(JSON.stringify(stormConfig([...servers.urls, rogue.url], change)), "storm.yaml"));
  const router = await Router.start(config(), {
    out() {},
    err: (line) => void (JSON.parse(line).level === "error" && errors.push(line)),
    errIsTerminal: false,
  });
  try {
    await until("three servers are ready", () => router.pool.readiness().ready === 3);
    const load = new CheckedLoad(`http://127.0.0.1:${router.port}`, model, book, { requestsPerS, seed });
    const world: World = { router, servers, rogue, load, prng: new Prng(seed), config };
    for (const phase of phases) {
      load.phase = phase.name;
      await phase.run(world);
    }
    await load.stop();
    check(load.fates, errors);
    await nothingHeld(router);
  } finally {
    await router.stop(0);
  }
});

function stormConfig(endpoints: readonly string[], change: object): object {
  return {
    server: { host: "127.0.0.1", port: 0, overload: { requestsMax } },
    admin: { host: "127.0.0.1", port: 0 },
    workers: 2,
    memory: { prefixTree: "16MiB" },
    scheduling: { seed: 1 },
    observe: { accessLog: false, logLevel: "error" },
    pool: { health: { interval: "250ms", timeout: "250ms" } },
    upstream: {
      connectTimeout: "500ms",
      firstByteTimeout: "1s",
      idleTimeout: "1s",
      attemptsMax: 8,
      // The budget is shown elsewhere; here every request that can be saved is to be saved.
      retryBudget: { ratio: 1, burst: 1000 },
      continuation: true,
    },
    endpoints,
    ...change,
  };
}

function check(fates: readonly CheckedFate[], errors: readonly string[]): void {
  const report = phases.map(({ name }) => {
    const of = fates.filter(({ phase }) => phase === name);
    return `${name}: ${of.filter(({ complete }) => complete).length} of ${of.length}`;
  });
  console.log(report.join("\n"));
  deepStrictEqual(fates.filter(({ true: right }) => !right), [], "answers with a token lost, doubled or wrong");
  const mayFail = new Map(phases.map(({ name, mayFail }) => [name, mayFail]));
  const lost = fates.filter((fate) => !fate.complete && !mayFail.get(fate.phase)?.(fate));
  deepStrictEqual(lost, [], "requests that failed and could have been saved");
  for (const { name } of phases) ok(fates.some(({ phase }) => phase === name), `requests were sent while ${name}`);
  ok(fates.some(({ phase, complete }) => phase.startsWith("edges") && !complete), "the edges' deaths were felt");
  ok(fates.some(({ phase, status }) => phase.startsWith("there is") && status === 503), "the load was too much");
  const refused = fates.filter(({ status }) => status === 503).map(({ startedAtMs, endedAtMs }) =>
    endedAtMs - startedAtMs
  );
  ok(Math.max(...refused) < 1_000, `refusals come at once: ${Math.max(...refused)} ms`);
  deepStrictEqual(errors.filter((line) => !line.includes("An edge ended")), []);
}

async function nothingHeld(router: Router): Promise<void> {
  await until("every request has ended", () => router.edges.active === 0, 5_000);
  await until("every claim is settled", () => router.edges.openClaims === 0, 5_000);
  for (const { id, inFlight } of router.pool.snapshot()) {
    deepStrictEqual(inFlight, { requests: 0, prefillTokens: 0, decodeTokens: 0 }, id);
  }
  equal(router.edges.listening, 2);
}
