/**
 * What do a hundred idle endpoints cost a router, told by agents or scraped, and how soon does it know of a change?
 *
 *     deno task bench idle [--endpoints 100] [--seconds 10] [--rounds 3] [--changes 400] [--json]
 *
 * Processes, all on one machine over loopback: one with `--endpoints` agents that have no engine and say what idle agents
 * say (every 5 s that their load still holds); one with as many idle engines (simulated: health, models, metrics pages); one
 * at a time, the router: `serve`, all defaults, the same endpoints with `feed: {kind: agent}` or without a feed. Both check
 * health every 5 s; without a feed an idle endpoint is scraped every 2 s, with one every 8 s. CPU is user + system time of all
 * threads of the router's process from `/proc/PID/stat`, `--seconds` a round, the two taking turns.
 *
 * Freshness: this process is engine and router. It changes the number of running requests on a metrics page (simulated) at
 * random moments 25 to 75 ms apart; `warmpath agent`, a process of its own, reads that page and pushes; the clock stops in
 * the router's feed.
 *
 * Figures:
 *   cores_100_endpoints_feed, cores_100_endpoints_scrape   CPU of the idle router, in cores
 *   freshness_ms_p50, freshness_ms_p99   from a change of the page to the router's knowing it, while requests run
 *   freshness_idle_ms_p50                the same for the first request after 1.2 s without any, where no event of the
 *                                        engine's cache tells the agent sooner
 *   page_reads_per_s                     how often the agent reads the page while requests run
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Prng } from "../src/core/mod.ts";
import { AgentSource, type FeedSink, seedCheck } from "../src/kv/mod.ts";
import { openTree } from "./idle/tree.ts";
import { idlePage } from "./idle/page.ts";
import { type Bench, type BenchContext, type Flags, positive, positiveInteger, type Report } from "./lib/bench.ts";
import { Child } from "./lib/child.ts";
import { pause } from "./lib/load.ts";
import { orderOf } from "./lib/measure.ts";
import { startCpuWatch } from "./lib/procfs.ts";
import { member } from "./lib/programs.ts";
import { Figures, quantile } from "./lib/stats.ts";

interface Setting {
  readonly endpoints: number;
  readonly seconds: number;
  readonly rounds: number;
  /** Load changes in a round. */
  readonly changes: number;
  /** Changes in a round that end a pause. */
  readonly firsts: number;
  /** Until a router that has heard from all has settled. */
  readonly settleMs: number;
}

export const idle: Bench = {
  name: "idle",
  summary: "What do a hundred idle endpoints cost the router, and how soon does it know of a change of load?",
  flags: [
    { flag: "--endpoints <n>", about: "agents, and metrics pages", fallback: "100" },
    { flag: "--seconds <n>", about: "length of one CPU measurement", fallback: "10" },
    { flag: "--rounds <n>", about: "measurements of each kind", fallback: "3" },
    { flag: "--changes <n>", about: "load changes a round", fallback: "400" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting: Setting = context.smoke
      ? { endpoints: 3, seconds: 0.3, rounds: 1, changes: 5, firsts: 1, settleMs: 50 }
      : {
        endpoints: positiveInteger(flags, "endpoints"),
        seconds: positive(flags, "seconds"),
        rounds: positiveInteger(flags, "rounds"),
        changes: positiveInteger(flags, "changes"),
        firsts: 5,
        settleMs: 12_000,
      };
    const children: Child[] = [];
    try {
      return { setting, figures: await measureAll(setting, context, children) };
    } finally {
      for (const { lastWords } of children) if (lastWords !== undefined) context.progress.note(lastWords);
      await Promise.all(children.map((child) => child.stop()));
    }
  },
};

async function measureAll(
  setting: Setting,
  { progress }: BenchContext,
  children: Child[],
): Promise<Record<string, number>> {
  const { endpoints, rounds } = setting;
  const figures = new Figures();
  const start = async (file: string): Promise<number[]> => {
    const { child, said } = await Child.start([file, String(endpoints)], member<number[]>("ports"));
    children.push(child);
    return said;
  };
  const agents = await start("bench/idle/agents.ts"), engines = await start("bench/idle/engines.ts");
  const config = (feed: (i: number) => string) =>
    ["endpoints:", ...engines.map((port, i) => `  - {url: "http://127.0.0.1:${port}"${feed(i)}}`)].join("\n") + "\n";
  const configs: [kind: string, config: string][] = [
    ["feed", config((i) => `, feed: {kind: agent, port: ${agents[i]}}`)],
    ["scrape", config(() => "")],
  ];
  for (let round = 0; round < rounds; round++) {
    for (const [kind, text] of orderOf(configs, round)) {
      progress.update(`CPU by ${kind}`, round, rounds);
      figures.add(`cores_100_endpoints_${kind}`, await measureCores(text, setting));
    }
  }
  await measureFreshness(setting, figures, progress, children);
  return figures.toRecord();
}

/** CPU of a router that has nothing to do, once it has heard from all its endpoints. */
async function measureCores(config: string, { endpoints, seconds, settleMs }: Setting): Promise<number> {
  const file = await Deno.makeTempFile({ prefix: "warmpath-bench-", suffix: ".yaml" });
  try {
    await Deno.writeTextFile(file, config);
    const args = ["src/main.ts", "serve", "--config", file, "--port", "0", "--admin-port", "0"];
    const { child, said: admin } = await Child.start(args, adminUrlIn);
    try {
      await untilKnown(admin, endpoints, config.includes("feed"));
      await pause(settleMs);
      const watch = startCpuWatch(child.pid);
      await pause(seconds * 1000);
      const { cpuS, wallS } = watch();
      return cpuS / wallS;
    } finally {
      await child.stop();
    }
  } finally {
    await Deno.remove(file);
  }
}

/** Every endpoint is ready, and connected to its agent where it has one. */
async function untilKnown(admin: string, endpoints: number, feeds: boolean): Promise<void> {
  const endMs = performance.now() + 30_000;
  for (;;) {
    const answer = await fetch(`${admin}/debug/endpoints`);
    const list: { state: string; held?: { feed?: { connected: boolean } } }[] = await answer.json();
    const known = list.filter(({ state, held }) => state === "ready" && (!feeds || held?.feed?.connected));
    if (known.length === endpoints) return;
    if (performance.now() > endMs) throw new Error(`${known.length} of ${endpoints} endpoints are known after 30 s`);
    await pause(100);
  }
}

async function measureFreshness(
  setting: Setting,
  figures: Figures,
  progress: BenchContext["progress"],
  children: Child[],
): Promise<void> {
  const engine = await startEngine();
  const args = ["src/main.ts", "agent", "--engine-port", "1", "--metrics-url", engine.url, "--host", "127.0.0.1"];
  const { child, said: port } = await Child.start([...args, "--port", "0"], agentPortIn);
  children.push(child);
  const router = await subscribe(port, engine);
  const prng = new Prng(7);
  try {
    for (let round = 0; round < setting.rounds; round++) {
      progress.update("freshness", round, setting.rounds);
      const firsts: number[] = [];
      for (let i = 0; i < setting.firsts; i++) {
        await engine.set(0);
        await pause(1200 + prng.float() * 100);
        firsts.push(await engine.set(1));
      }
      figures.add("freshness_idle_ms_p50", quantile(firsts.sort((a, b) => a - b), 0.5));
      const reads = engine.reads, startMs = performance.now();
      const delays: number[] = [];
      for (let i = 0; i < setting.changes; i++) {
        await pause(25 + prng.float() * 50);
        delays.push(await engine.set(1 + (i + 1) % 9));
      }
      figures.add("page_reads_per_s", (engine.reads - reads) * 1000 / (performance.now() - startMs));
      delays.sort((a, b) => a - b);
      figures.add("freshness_ms_p50", quantile(delays, 0.5));
      figures.add("freshness_ms_p99", quantile(delays, 0.99));
    }
  } finally {
    await router.stop();
    engine.stop();
  }
}

/** A metrics page whose number of running requests is changed by hand. */
interface Engine {
  readonly url: string;
  readonly reads: number;
  /** Changes the number; resolves with the milliseconds until `known` was told it. */
  set(running: number): Promise<number>;
  /** The router knows this number. */
  known(running: number): void;
  stop(): void;
}

async function startEngine(): Promise<Engine> {
  let current = 0, page = idlePage(current), reads = 0;
  let waiting: { running: number; resolve: () => void } | undefined;
  const server = createServer((_, response) => {
    reads++;
    response.end(page);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`,
    get reads() {
      return reads;
    },
    async set(running) {
      if (running === current) return 0;
      current = running;
      const told = new Promise<void>((resolve) => waiting = { running, resolve });
      page = idlePage(running);
      const startMs = performance.now();
      await told;
      return performance.now() - startMs;
    },
    known(running) {
      if (waiting?.running === running) waiting.resolve();
    },
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A router's subscription to the agent's load. */
async function subscribe(port: number, engine: Engine): Promise<{ stop(): Promise<void> }> {
  const source = new AgentSource({ host: "127.0.0.1", port, seedCheck: seedCheck(await openTree(1)) });
  const stop = new AbortController();
  const first = Promise.withResolvers<void>();
  const sink: FeedSink = {
    connected() {},
    batch() {},
    snapshotBegin() {},
    snapshotPart() {},
    snapshotEnd() {},
    heartbeat() {},
    load({ running }) {
      first.resolve();
      if (running !== undefined) engine.known(running);
    },
  };
  const ended = source.run(sink, { epoch: "", seq: -1 }, stop.signal);
  await Promise.race([first.promise, ended]);
  return {
    async stop() {
      stop.abort();
      await ended;
    },
  };
}

function adminUrlIn(line: string): string | undefined {
  return line.includes('"Serving"') ? JSON.parse(line).admin : undefined;
}

function agentPortIn(line: string): number | undefined {
  return line.includes('"Serving routers"') ? Number(new URL(JSON.parse(line).url).port) : undefined;
}
