/**
 * `scale`: how many more requests does the router answer with more edge isolates?
 *
 *     deno task bench scale [--workers 1,2] [--connections 32] [--seconds 4] [--rounds 5] [--json]
 *
 * Three processes on one machine, over loopback: this one keeps `--connections` busy with short requests; one answers every chat
 * completion at once with 60 tokens (simulated, no model); the router is `serve --workers N`, all else default, started anew
 * for each N in every round. A number of workers that `serve` refuses is said and left out.
 *
 * Load and servers need cores too. Where `cpu_left_cores_N` is near zero the machine is the limit, not the router: then
 * `speedup_N` is a lower bound, and `cpu_us_per_request_N` says whether the work itself grew.
 *
 * Beside that, whole decisions (scan, hash, match, score, reserve, claim) over one shared memory by N threads, prompts of 8k
 * tokens, 16 endpoints, with nothing sent anywhere, while a writer applies KV events at 20,000 blocks a second and the
 * threads' claims: `text_` prompts matched by their text, `exact_` prompts given as token ids that LIVE feeds told of but for
 * their last turn (made up; reading ids from text is measured by the bench `tokens`).
 *
 * Figures:
 *   KIND_decisions_per_s_N   all threads together, by the wall clock: writer and threads share the machine's cores
 *   KIND_decisions_per_cpu_s_N   the same by the threads' own CPU time, added up: what a core for each would give
 *   KIND_decisions_speedup_N, KIND_decisions_cpu_speedup_N   each over that of one thread of the same round
 *   KIND_writer_cores_N      CPU of the writer meanwhile
 *   decisions_agree          share of decisions in which every thread chose as one alone did, on the same view
 *   rps_N                    requests a second
 *   speedup_N                rps_N over rps_1 of the same round
 *   router_cores_N           CPU seconds a second of the router
 *   cpu_us_per_request_N     the same by request
 *   cpu_left_cores_N         cores of the machine that nobody used meanwhile
 */
import {
  type Bench,
  type BenchContext,
  type Flags,
  list,
  positive,
  positiveInteger,
  type Report,
} from "./lib/bench.ts";
import { closedLoop } from "./lib/load.ts";
import { orderOf } from "./lib/measure.ts";
import { idleCoreSeconds, startCpuWatch } from "./lib/procfs.ts";
import { type Program, Programs } from "./lib/programs.ts";
import { shortBody } from "./lib/prompts.ts";
import { Figures } from "./lib/stats.ts";
import { type DecisionRate, DecisionWorld } from "./scale/decisions.ts";

interface Setting {
  readonly workers: readonly number[];
  readonly connections: number;
  readonly seconds: number;
  readonly rounds: number;
  /** Distinct conversations of the decisions. */
  readonly bodies: number;
}

const body = shortBody({ maxTokens: 60, stream: false });

export const scale: Bench = {
  name: "scale",
  summary: "How many more requests does the router answer with more edge isolates?",
  flags: [
    { flag: "--workers <counts>", about: "numbers of edge isolates", fallback: "1,2" },
    { flag: "--connections <n>", about: "connections kept busy", fallback: "32" },
    { flag: "--seconds <n>", about: "length of one measurement", fallback: "4" },
    { flag: "--rounds <n>", about: "measurements of each number", fallback: "5" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const workers = list(flags, "workers").map((text) => positiveInteger({ workers: text }, "workers"));
    const setting: Setting = context.smoke ? { workers, connections: 4, seconds: 0.5, rounds: 1, bodies: 4 } : {
      workers,
      connections: positiveInteger(flags, "connections"),
      seconds: positive(flags, "seconds"),
      rounds: positiveInteger(flags, "rounds"),
      bodies: 32,
    };
    const figures = new Figures();
    await measureDecisions(setting, context, figures);
    await measureRequests(setting, context, figures);
    return { setting, figures: figures.toRecord() };
  },
};

async function measureDecisions(setting: Setting, { progress }: BenchContext, figures: Figures): Promise<void> {
  const { rounds, seconds, bodies, workers } = setting;
  const most = Math.max(...workers);
  const common = {
    threadsMax: most,
    endpoints: 16,
    promptTokens: 8192,
    bodies,
    eventBlocksPerS: 20_000,
    ms: seconds * 500,
  };
  for (const [kind, exact] of [["text", false], ["exact", true]] as const) {
    const world = await DecisionWorld.start({ ...common, exact });
    try {
      if (!exact) figures.add("decisions_agree", await world.agreement(most));
      // Compiles every thread's code.
      await world.rate(most);
      for (let round = 0; round < rounds; round++) {
        progress.update(`${kind} decisions`, round, rounds);
        const rates = new Map<number, DecisionRate>();
        for (const count of orderOf(workers, round)) rates.set(count, await world.rate(count));
        for (const [count, { perS, perCpuS, writerCores }] of rates) {
          figures.add(`${kind}_decisions_per_s_${count}`, perS);
          figures.add(`${kind}_decisions_per_cpu_s_${count}`, perCpuS);
          figures.add(`${kind}_writer_cores_${count}`, writerCores);
          const one = rates.get(1);
          if (count === 1 || !one) continue;
          figures.add(`${kind}_decisions_speedup_${count}`, perS / one.perS);
          figures.add(`${kind}_decisions_cpu_speedup_${count}`, perCpuS / one.perCpuS);
        }
      }
    } finally {
      await world.stop();
    }
  }
}

async function measureRequests(setting: Setting, { progress }: BenchContext, figures: Figures): Promise<void> {
  const { rounds } = setting;
  let workers = setting.workers;
  for (let round = 0; round < rounds; round++) {
    const rps = new Map<number, number>();
    for (const [i, count] of orderOf(workers, round).entries()) {
      progress.update("requests", round * workers.length + i, rounds * workers.length);
      await using programs = new Programs(progress);
      const upstreams = await programs.upstreams(0, 4);
      const router = await programs.router(upstreams, "--workers", String(count)).catch((error: Error) => {
        progress.note(`${count} workers are not measured: ${error.message.split("\n").at(-1)}`);
        workers = workers.filter((other) => other !== count);
      });
      if (router) rps.set(count, await measure(router, count, setting, figures));
    }
    const one = rps.get(1);
    if (one) { for (const [count, perS] of rps) if (count !== 1) figures.add(`speedup_${count}`, perS / one); }
  }
}

/** Requests a second. */
async function measure(router: Program, count: number, setting: Setting, figures: Figures): Promise<number> {
  const { connections, seconds } = setting;
  // Compiles the code paths of every isolate before anything counts.
  await closedLoop(router.target, connections, seconds / 2, () => body);
  const watch = startCpuWatch(router.child.pid), idleBeforeS = idleCoreSeconds();
  const answered = await closedLoop(router.target, connections, seconds, () => body);
  const { cpuS, wallS } = watch();
  const perS = answered / wallS;
  figures.add(`rps_${count}`, perS);
  figures.add(`router_cores_${count}`, cpuS / wallS);
  figures.add(`cpu_us_per_request_${count}`, cpuS * 1e6 / answered);
  figures.add(`cpu_left_cores_${count}`, (idleCoreSeconds() - idleBeforeS) / wallS);
  return perS;
}
