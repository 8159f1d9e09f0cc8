/**
 * `fairness`: does the queue keep one kind of load from another's way?
 *
 *     deno task bench fairness [--seeds 6] [--json]
 *
 * Real: the queue, the decision, the reservations. Simulated: four engines of `src/sim` (8,000 prompt tokens/s, steps of
 * 6 ms + 0.35 ms a request, 2,048 tokens a step), on a virtual clock; load samples are as old as a scrape every 50 ms leaves
 * them. Arrivals are independent at a mean rate, all results pooled over the seeds. TTFT is arrival to first token.
 *
 * Batch beside interactive. Interactive: 20 requests/s for 120 s, 100 to 400 tokens in, 50 to 200 out. Batch: 600 requests
 * of priority -10 that come at once after 10 s, 500 to 999 tokens in, 200 out, and wait for as long as it takes.
 *   interactive_p99_ms_alone        without batch
 *   interactive_p99_ms_unprotected  with it, no queue
 *   interactive_p99_ms_priority     with the default queue: priority alone
 *   interactive_p99_ms_holdback     batch may use 4 % of an endpoint's 64 places and 16,384 prompt tokens (`priority-holdback`)
 *   interactive_p99_ratio           the last over the first
 *   batch_finished                  share of the batch that is answered, with `holdback`
 *   batch_s_unprotected, _priority, _holdback   from its arrival to its last token, the slowest seed
 *
 * Noisy neighbour. Tenant a sends for 60 s, tenant b ten times as much; lengths as of the interactive requests. Alone, a has
 * two of the four engines: its fair share.
 *   a_p99_ms_alone, a_p99_ms_noisy, a_p99_ratio     a asks for as much as its share gives (16 places, 24 requests/s)
 *   a_p99_ms_fcfs                                   the same without tenants (`global-strict`)
 *   a_answered_fcfs                                 share of a's requests that are answered then
 *   light_p99_ms_alone, light_p99_ms_noisy, light_p99_ms_fcfs   a asks for half of its share (24 places, 12 requests/s)
 */
import { Prng } from "../src/core/mod.ts";
import { type FlowConfig, flowDefaults, fusedDefaults } from "../src/config/mod.ts";
import { defaultEngine } from "../src/sim/engine_types.ts";
import { type Arrival, type Ended, FlowWorld, poisson } from "./fairness/world.ts";
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { quantile, round } from "./lib/stats.ts";

const endpoints = 4;
const lengths = { input: [100, 400], output: [50, 200] } as const;
const batchAtMs = 10_000;
const batchPriority = -10;

const unlimited = {
  ...flowDefaults,
  saturation: { ...fusedDefaults, maxConcurrency: 1e9, maxTokenConcurrency: 1e9 },
};
const patient = { ...flowDefaults.defaultNegativeBand, ttlMs: 0 };
const holdback: FlowConfig = {
  ...flowDefaults,
  defaultNegativeBand: patient,
  saturation: { ...fusedDefaults, maxConcurrency: 64, maxTokenConcurrency: 16_384 },
  ceiling: { policy: "priority-holdback", minCeiling: 0.04, maxCeiling: 1, domain: "rank" },
};

/** One run a seed; results of all. */
type Runs = (flow: FlowConfig, engines: number, arrivals: (seed: number) => readonly Arrival[]) => Promise<Ended[]>;

export const fairness: Bench = {
  name: "fairness",
  summary: "Does the queue keep one kind of load from another's way?",
  flags: [{ flag: "--seeds <n>", about: "seeds whose results are pooled", fallback: "6" }],
  async run(flags: Flags, { smoke, progress }: BenchContext): Promise<Report> {
    const seeds = smoke ? 1 : positiveInteger(flags, "seeds");
    let done = 0;
    const runs: Runs = async (flow, engines, arrivals) => {
      const ended: Ended[] = [];
      for (let seed = 1; seed <= seeds; seed++) {
        progress.update("runs", done++, runsPerSeed * seeds);
        const world = new FlowWorld({ endpoints: engines, engine: defaultEngine, flow, seed });
        ended.push(...await world.run(arrivals(seed)));
      }
      return ended;
    };
    return { figures: { ...await batchBeside(runs, smoke ? 0.1 : 1), ...await neighbours(runs, smoke ? 0.1 : 1) } };
  },
};

const runsPerSeed = 10;

async function batchBeside(runs: Runs, scale: number): Promise<Record<string, number>> {
  const interactive = (seed: number) =>
    poisson(new Prng(seed), { perS: 20, toMs: 120_000 * scale, ...lengths, tenant: "interactive" });
  const batch = Array.from({ length: 600 * scale }, (_, i): Arrival => ({
    atMs: batchAtMs * scale,
    tenant: "batch",
    priority: batchPriority,
    inputTokens: 500 + i % 500,
    outputTokens: 200,
  }));
  const both = (seed: number) => [...interactive(seed), ...batch];
  const alone = await runs(unlimited, endpoints, interactive);
  const flows = {
    unprotected: { ...unlimited, defaultNegativeBand: patient },
    priority: { ...flowDefaults, defaultNegativeBand: patient },
    holdback,
  };
  const figures: Record<string, number> = { interactive_p99_ms_alone: p99(alone, "interactive") };
  for (const [name, flow] of Object.entries(flows)) {
    const ended = await runs(flow, endpoints, both);
    const ofBatch = ended.filter(({ arrival }) => arrival.tenant === "batch");
    figures[`interactive_p99_ms_${name}`] = p99(ended, "interactive");
    const lastMs = Math.max(...ofBatch.filter(({ refused }) => !refused).map(({ finishedMs }) => finishedMs));
    figures[`batch_s_${name}`] = round((lastMs - batchAtMs * scale) / 1000, 1);
    if (name === "holdback") figures.batch_finished = answered(ofBatch);
  }
  const ratio = figures.interactive_p99_ms_holdback / figures.interactive_p99_ms_alone;
  return { ...figures, interactive_p99_ratio: round(ratio, 3) };
}

async function neighbours(runs: Runs, scale: number): Promise<Record<string, number>> {
  const figures: Record<string, number> = {};
  for (const [name, perS, maxConcurrency] of [["a", 24, 16], ["light", 12, 24]] as const) {
    const own = (seed: number) => poisson(new Prng(seed), { perS, toMs: 60_000 * scale, ...lengths, tenant: "a" });
    const noisy = (seed: number) => [
      ...own(seed),
      ...poisson(new Prng(100 + seed), { perS: perS * 10, toMs: 60_000 * scale, ...lengths, tenant: "b" }),
    ];
    const flow: FlowConfig = {
      ...flowDefaults,
      saturation: { ...fusedDefaults, maxConcurrency, maxTokenConcurrency: 1024 },
    };
    const fcfs: FlowConfig = { ...flow, defaultBand: { ...flow.defaultBand, fairness: { policy: "global-strict" } } };
    figures[`${name}_p99_ms_alone`] = p99(await runs(flow, endpoints / 2, own), "a");
    figures[`${name}_p99_ms_noisy`] = p99(await runs(flow, endpoints, noisy), "a");
    const unfair = await runs(fcfs, endpoints, noisy);
    figures[`${name}_p99_ms_fcfs`] = p99(unfair, "a");
    if (name === "a") figures.a_answered_fcfs = answered(unfair.filter(({ arrival }) => arrival.tenant === "a"));
  }
  return { ...figures, a_p99_ratio: round(figures.a_p99_ms_noisy / figures.a_p99_ms_alone, 3) };
}

function p99(ended: readonly Ended[], tenant: string): number {
  const ttft = ended.filter(({ arrival, refused }) => arrival.tenant === tenant && !refused).map(({ ttftMs }) =>
    ttftMs
  );
  return round(quantile(Float64Array.from(ttft).sort(), 0.99), 1);
}

function answered(ended: readonly Ended[]): number {
  return round(ended.filter(({ refused }) => !refused).length / ended.length, 4);
}
