/**
 * `flow`: how fast does a queue move, and what does one cost that stands still?
 *
 *     deno task bench flow [--queued 100000] [--flows 1000] [--dispatches 500000] [--rounds 5] [--seconds 10] [--json]
 *
 * Measured, on one thread: `FlowController` over an endpoint table, as the router uses them, by the machine's clock: a
 * request ends (`inflight`, which finds that somebody waits), the next is chosen and counted, its answer is called, its
 * traces are removed; then one more arrives and waits. `--flows` tenants with as many requests each, 8 endpoints in one
 * lane, one priority. Made up: the requests (100 to 4,000 prompt tokens), the endpoints. Not measured: messages between
 * isolates, the requests themselves.
 *
 * Figures:
 *   dispatches_per_s               with the default policy (vtc), the backlog as long as at the start
 *   round_robin_per_s, global_strict_per_s, program_aware_per_s    the same with those
 *   drain_per_s                    with the default policy, without arrivals, until nothing waits
 *   fast_path_us                   what flow control adds to a decision among 100 endpoints with room for it
 *   direct_decision_us, flow_decision_us    the decision without it and with it: no prompt to match, nobody waits
 *   idle_cpu                       CPU seconds a second of a process in which 10,000 requests wait and nothing happens
 *   idle_cpu_empty                 the same with nothing waiting
 */
import { strictEqual } from "node:assert/strict";
import { type FairnessConfig, programAwareDefaults, vtcDefaults } from "../src/config/mod.ts";
import { Backlog } from "./flow/backlog.ts";
import { measureFastPath } from "./flow/fast_path.ts";
import { type Bench, type BenchContext, type Flags, positive, positiveInteger, type Report } from "./lib/bench.ts";
import { Child } from "./lib/child.ts";
import { pause } from "./lib/load.ts";
import { orderOf } from "./lib/measure.ts";
import { startCpuWatch } from "./lib/procfs.ts";
import { member } from "./lib/programs.ts";
import { Figures } from "./lib/stats.ts";

const endpoints = 8;
const idleQueued = 10_000;

const policies: readonly (readonly [figure: string, fairness: FairnessConfig])[] = [
  ["dispatches_per_s", vtcDefaults],
  ["round_robin_per_s", { policy: "round-robin" }],
  ["global_strict_per_s", { policy: "global-strict" }],
  ["program_aware_per_s", programAwareDefaults],
];

interface Setting {
  readonly queued: number;
  readonly flows: number;
  readonly dispatches: number;
  readonly rounds: number;
  /** Of each measurement of an idle process. */
  readonly seconds: number;
}

export const flow: Bench = {
  name: "flow",
  summary: "How fast does a queue move, and what does one cost that stands still?",
  flags: [
    { flag: "--queued <n>", about: "requests that wait", fallback: "100000" },
    { flag: "--flows <n>", about: "tenants they are of", fallback: "1000" },
    { flag: "--dispatches <n>", about: "dispatches of each policy in a round", fallback: "500000" },
    { flag: "--rounds <n>", about: "rounds over all policies", fallback: "5" },
    { flag: "--seconds <n>", about: "length of one CPU measurement", fallback: "10" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting: Setting = context.smoke ? { queued: 2000, flows: 50, dispatches: 3000, rounds: 1, seconds: 0.3 } : {
      queued: positiveInteger(flags, "queued"),
      flows: positiveInteger(flags, "flows"),
      dispatches: positiveInteger(flags, "dispatches"),
      rounds: positiveInteger(flags, "rounds"),
      seconds: positive(flags, "seconds"),
    };
    const figures = new Figures();
    measureRates(setting, figures, context);
    context.progress.update("fast_path_us", 0, 1);
    await measureFastPath(context.smoke ? 2_000 : 100_000, setting.rounds, figures);
    await measureIdle(setting, figures, context);
    return { setting, figures: figures.toRecord() };
  },
};

function measureRates(
  { queued, flows, dispatches, rounds }: Setting,
  figures: Figures,
  { progress }: BenchContext,
): void {
  const shape = { endpoints, flows, queued };
  for (let round = 0; round < rounds; round++) {
    for (const [figure, fairness] of orderOf(policies, round)) {
      progress.update(figure, round, rounds);
      const backlog = new Backlog({ ...shape, fairness });
      const count = figure === "program_aware_per_s" ? Math.ceil(dispatches / 10) : dispatches;
      figures.add(
        figure,
        perSecond(count, () => {
          backlog.release();
          backlog.arrive();
        }),
      );
      strictEqual(backlog.dispatched, count, "every end is followed by one dispatch");
      strictEqual(backlog.flow.size, queued);
    }
    const draining = new Backlog({ ...shape, fairness: vtcDefaults });
    figures.add("drain_per_s", perSecond(queued, () => draining.release()));
    strictEqual(draining.flow.size, 0);
  }
}

function perSecond(count: number, step: () => void): number {
  const startMs = performance.now();
  for (let i = 0; i < count; i++) step();
  return count / (performance.now() - startMs) * 1000;
}

async function measureIdle({ seconds }: Setting, figures: Figures, { progress }: BenchContext): Promise<void> {
  for (const [figure, queued] of [["idle_cpu", idleQueued], ["idle_cpu_empty", 0]] as const) {
    progress.update(figure, 0, 1);
    const { child, said } = await Child.start(["bench/flow/waiting.ts", String(queued)], member<number>("waiting"));
    try {
      strictEqual(said, queued);
      // Compilation and garbage of the start are not what is asked for.
      await pause(seconds * 200);
      const watch = startCpuWatch(child.pid);
      await pause(seconds * 1000);
      const { cpuS, wallS } = watch();
      figures.add(figure, cpuS / wallS);
    } finally {
      await child.stop();
    }
  }
}
