/**
 * A router restarts under load: how soon does it know again exactly what every endpoint caches?
 *
 *     deno task bench restart [--endpoints 8] [--blocks 60000] [--batches 200] [--requests 50] [--rounds 3] [--json]
 *
 * Processes, all on one machine over loopback: `--endpoints` engines (simulated: caches of `--blocks` blocks of 16 tokens on
 * the GPU tier and an eighth of that on the CPU tier, told over ZeroMQ as vLLM does, `--batches` batches a second over all
 * that store 16 blocks and remove as many; HTTP servers that answer at once); an agent beside each engine, all agents in one
 * process; routers, `serve` with all defaults but `tokens: {source: none}`. This process sends `--requests` chats a second
 * to the routers that are up and asks /debug/endpoints. The engines keep `ringSteps` batches for replay: their rings begin
 * later than their caches' histories, which only what is restored can make whole.
 *
 * A round ends the router (SIGTERM), waits until it is gone and starts it again. Time counts from the start of the new process
 * until all endpoints are LIVE. Then the engines pause, and what the router knows is compared with the engines' own caches:
 * blocks by tier, and in the last round every block by its chained hash, as the router tells another one.
 *
 * Figures:
 *   agent_live_s, snapshot_live_s, peer_live_s   to all LIVE: feeds by agents; ZeroMQ feeds that go on from the router's own
 *                                snapshot file; the same from the snapshot of a second router that runs under the same load
 *   *_ready_s                    of that, until the router takes requests
 *   *_stop_s                     before that, from SIGTERM until the old process was gone; it writes the snapshot meanwhile
 *   *_held_ms                    longest wait for an answer of /livez meanwhile, asked every 10 ms: how long the new router's
 *                                event loop was held
 *   blocks                       on the GPU tiers of all engines
 *   requests_answered, requests_cut, requests_lost   cut: sent right before the router ended, their connection closed without
 *                                an answer; lost: not answered with 200 by a router that was up. What was sent to a router
 *                                that was told to end or not ready yet counts in none of them
 *   differing_blocks             that the router and the engine do not agree on, over all comparisons
 *   gather_held_ms               longest time the event loop of a router is held while its snapshot is gathered, of
 *                                `--endpoints` endpoints with `--blocks` each; in this process, of 3 snapshots
 *   gather_held_ms_500k          the same with 500,000 blocks at each of two endpoints
 */
import { gatherHeldMs } from "./restart/gather.ts";
import { Engines, type LiveTimes, RestartedRouter, startAgents, type Truth } from "./restart/fleet.ts";
import { SteadyLoad } from "./restart/load.ts";
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { Child } from "./lib/child.ts";
import { pause } from "./lib/load.ts";
import { Figures } from "./lib/stats.ts";

interface Setting {
  readonly endpoints: number;
  readonly blocks: number;
  /** Batches a second over all engines. */
  readonly batches: number;
  readonly requests: number;
  readonly rounds: number;
  /** Batches an engine keeps. */
  readonly ringSteps: number;
  /** Between the load's beginning, a restart and what is asked afterwards. */
  readonly pauseMs: number;
  /** Blocks at each of two endpoints whose gathering is timed besides. */
  readonly manyBlocks: number;
}

const restarts = ["agent", "snapshot", "peer"] as const;
type Restart = (typeof restarts)[number];

export const restart: Bench = {
  name: "restart",
  summary: "How soon does a router that restarts under load know again exactly what every endpoint caches?",
  flags: [
    { flag: "--endpoints <n>", about: "engines", fallback: "8" },
    { flag: "--blocks <n>", about: "of each engine's cache", fallback: "60000" },
    { flag: "--batches <n>", about: "of changes a second, over all engines", fallback: "200" },
    { flag: "--requests <n>", about: "chats a second", fallback: "50" },
    { flag: "--rounds <n>", about: "restarts of each kind", fallback: "3" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting: Setting = context.smoke
      ? {
        endpoints: 2,
        blocks: 1000,
        batches: 40,
        requests: 20,
        rounds: 1,
        ringSteps: 300,
        pauseMs: 100,
        manyBlocks: 2000,
      }
      : {
        endpoints: positiveInteger(flags, "endpoints"),
        blocks: positiveInteger(flags, "blocks"),
        batches: positiveInteger(flags, "batches"),
        requests: positiveInteger(flags, "requests"),
        rounds: positiveInteger(flags, "rounds"),
        ringSteps: 500,
        pauseMs: 500,
        manyBlocks: 500_000,
      };
    const folder = await Deno.makeTempDir({ prefix: "warmpath-bench-" });
    const world = new World(setting, context, folder);
    try {
      await world.open();
      for (const kind of restarts) await world.measure(kind);
      return { setting, figures: await world.finish() };
    } finally {
      await world.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
};

class World {
  readonly #setting: Setting;
  readonly #context: BenchContext;
  readonly #folder: string;
  readonly #figures = new Figures();
  readonly #children: Child[] = [];
  readonly #routers = {} as Record<Restart, RestartedRouter>;
  #engines!: Engines;
  #load: SteadyLoad | undefined;
  #differing = 0;
  #blocks = 0;

  constructor(setting: Setting, context: BenchContext, folder: string) {
    this.#setting = setting;
    this.#context = context;
    this.#folder = folder;
  }

  /** Everything runs, every router is LIVE, and the rings no longer reach back to the first batch. */
  async open(): Promise<void> {
    const { endpoints, blocks, batches, requests, ringSteps } = this.#setting;
    this.#engines = await Engines.start([endpoints, blocks, batches, ringSteps]);
    this.#children.push(this.#engines.child);
    const { places } = this.#engines;
    const agents = await startAgents(places);
    this.#children.push(agents.child);
    const zmq = places.map(({ url, port, replayPort }) => ({ url, feed: { kind: "zmq", port, replayPort } }));
    const byAgent = places.map(({ url }, i) => ({ url, feed: { kind: "agent", port: agents.ports[i] } }));
    const prepare = (kind: Restart, config: Record<string, unknown>) =>
      RestartedRouter.prepare(`${this.#folder}/${kind}.yaml`, config);
    const snapshot = await prepare("snapshot", { endpoints: zmq, snapshot: { file: `${this.#folder}/caches` } });
    this.#routers.snapshot = snapshot;
    this.#routers.peer = await prepare("peer", { endpoints: zmq, snapshot: { peers: [snapshot.admin] } });
    this.#routers.agent = await prepare("agent", { endpoints: byAgent });
    // It has to be there from the beginning: nothing but its own memory reaches back so far later on.
    await this.#start("snapshot");
    const full = await this.#engines.tell("fill");
    this.#blocks = full.reduce((sum, { gpu }) => sum + gpu, 0);
    await this.#engines.tell("resume");
    this.#load = new SteadyLoad(requests);
    this.#load.add(this.#routers.snapshot);
  }

  async measure(kind: Restart): Promise<void> {
    const { rounds, pauseMs } = this.#setting;
    const router = this.#routers[kind];
    if (kind !== "snapshot") await this.#start(kind);
    this.#load!.add(router);
    for (let round = 0; round < rounds; round++) {
      this.#context.progress.update(
        `restart by ${kind}`,
        restarts.indexOf(kind) * rounds + round,
        restarts.length * rounds,
      );
      // Some of the load comes before the end and some after.
      await pause(pauseMs);
      const endMs = performance.now();
      await router.stop();
      this.#figures.add(`${kind}_stop_s`, (performance.now() - endMs) / 1000);
      const { readyMs, liveMs, heldMs } = await this.#start(kind);
      this.#figures.add(`${kind}_ready_s`, readyMs / 1000);
      this.#figures.add(`${kind}_live_s`, liveMs / 1000);
      this.#figures.add(`${kind}_held_ms`, heldMs);
      await pause(pauseMs);
      await this.#compare(router, round === rounds - 1);
    }
    this.#load!.remove(router);
    if (kind !== "snapshot") await router.stop();
  }

  async finish(): Promise<Record<string, number>> {
    const load = this.#load!;
    await load.stop();
    if (load.firstLoss !== "") this.#context.progress.note(`first request lost: ${load.firstLoss}`);
    this.#context.progress.update("gathering", 0, 2);
    const { endpoints, blocks, manyBlocks } = this.#setting;
    this.#figures.add("gather_held_ms", await gatherHeldMs(endpoints, blocks, 3));
    this.#figures.add("gather_held_ms_500k", await gatherHeldMs(2, manyBlocks, 3));
    return {
      ...this.#figures.toRecord(),
      blocks: this.#blocks,
      requests_answered: load.answered,
      requests_cut: load.cut,
      requests_lost: load.lost,
      differing_blocks: this.#differing,
    };
  }

  async close(): Promise<void> {
    const { note } = this.#context.progress;
    await this.#load?.stop();
    const routers = Object.values(this.#routers);
    for (const { lastWords } of [...routers, ...this.#children]) if (lastWords !== undefined) note(lastWords);
    await Promise.all(routers.map((router) => router.stop()));
    await Promise.all(this.#children.map((child) => child.stop()));
  }

  async #start(kind: Restart): Promise<LiveTimes> {
    const startMs = performance.now();
    const started = this.#routers[kind].start();
    const [times] = await Promise.all([this.#routers[kind].untilLive(startMs), started]);
    return times;
  }

  /** Adds what the router and the engines do not agree on once nothing changes; `wholly`: block by block. */
  async #compare(router: RestartedRouter, wholly: boolean): Promise<void> {
    const truth = await this.#engines.tell("pause");
    const apart = await settled(router, this.#engines, truth);
    if (apart > 0) this.#context.progress.note(`blocks by tier differ by ${apart}`);
    this.#differing += apart;
    if (wholly) this.#differing += await differingBlocks(router, this.#engines);
    await this.#engines.tell("resume");
  }
}

/** By how much the counts of blocks by tier still differ when the last batches must have arrived. */
async function settled(router: RestartedRouter, { places }: Engines, truth: readonly Truth[]): Promise<number> {
  const endMs = performance.now() + 2000;
  for (;;) {
    const rows = await router.rows();
    const apart = truth.map(({ gpu, cpu }, i) => {
      const { blocks } = rows.find(({ id }) => id === places[i].url.slice("http://".length))!.held;
      return Math.abs(blocks.gpu - gpu) + Math.abs(blocks.cpu - cpu) + blocks.disk + blocks.shared;
    });
    const sum = apart.reduce((a, b) => a + b, 0);
    if (sum === 0 || performance.now() > endMs) return sum;
    await pause(20);
  }
}

/** Blocks that are not on the same tiers here and there. */
async function differingBlocks(router: RestartedRouter, engines: Engines): Promise<number> {
  const known = await router.known();
  let differing = 0;
  for (const [i, { url }] of engines.places.entries()) {
    const held = await engines.held(i);
    for (const { hash, tiers } of known.get(url.slice("http://".length))!.blocks) {
      const here = tiers.reduce((bits, count, tier) => count > 0 ? bits | 1 << tier : bits, 0);
      if (held.get(hash) !== here) differing++;
      held.delete(hash);
    }
    differing += held.size;
  }
  return differing;
}
