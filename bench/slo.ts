/**
 * `slo`: what is won by predicting how long requests will take?
 *
 *     deno task bench slo [--fleet mixed] [--policies default,oracle] [--seed 1] [--json]
 *
 * Real: the whole decision, and the queue where a row has one, both as `serve` joins them; load columns are as old as a
 * scrape every 50 ms leaves them. Simulated: eight engines of `src/sim` on a virtual clock, each with 32 places, 192,000
 * tokens of KV cache, steps of 8 ms + 0.25 ms a request, 12,000 prompt tokens/s, attention of prompts and of answers counted
 * (2.6 and 80 ns). `--fleet`: `even` has eight equal ones; in `one-slow` one takes twice as long; in `mixed` two take 1.6
 * times and two 2.5 times as long, as three generations of one make do.
 *
 * Requests: 45 of 100 are turns of sessions with one of eight system prompts and a growing history, 20 are questions on long
 * documents (median 5,000 tokens, up to 40,000; most on one of forty that others ask of too), 15 are short prompts with long
 * answers (median 800, up to 3,000 tokens), 20 are short questions. Arrivals are independent; rates alternate between calm
 * and bursts of 2.2 times the mean. One in three requests names a limit of output tokens; no router knows more of the length.
 * 85 of 100 are streams.
 *
 * Rows. `least-request`, `llm-d`, `default`: the plans of those names. `tuned`: queue, KV usage and prefix scorers with the
 * weights of a grid whose E2E median is least on three other seeds of the ladder; `tuned-active` the same with the requests in
 * flight weighed too. `… , queue`: behind the router's queue with its defaults (limits, 60 s, refusal on arrival when the
 * TTFT target would be missed); `…, n places, wait m ms`: with the limits of a grid that give the most goodput on another
 * seed. `oracle…`: knows each engine's state and cost and the lengths of answers under way (250 tokens of the one to be
 * placed), and takes the least TTFT (`oracle-ttft`), the least E2E (`oracle-e2e`), or the least E2E and what others lose by
 * it (`oracle`, see `harmRule`; `oracle-exact` sums the others' delays). `oracle-slo` refuses a request that would miss its
 * targets everywhere, or make others miss theirs. Oracles named `noisy` are wrong by 20 % each time they look, and judge what
 * others would miss by what a router can know. `prior` and `predicted`: the plan `predicted`, begun with nothing learned,
 * without forests and with forests that are trained every 10 s while the run goes on.
 *
 * Capacity (`capacity_rps`): steady requests a second at which `oracle` meets both targets of nine in ten. Targets: TTFT 1 s
 * and 50 ms a token for turns and questions, 3 s and 60 ms for documents, 1.5 s and 40 ms for long answers.
 *
 * Tables, times in virtual milliseconds from arrival; TPOT is the time per token after the first:
 *   ladder     steps of 40 s at 0.1 to 0.7 of capacity and back; nobody is refused; `cold` is its first 200 requests
 *   slo        1.5 times the capacity, each request with targets: goodput_rps met both, attained is their share of answered
 *   beyond     90 s at 0.75 of capacity, after 240 s at 0.2
 *   slowdown   at 0.4 of capacity one engine takes three times as long for 80 s; see `slowdownRun`
 *   accuracy   of the ladder, for policies that predict: mean absolute error over what came, pinball loss and coverage at
 *              0.9, in windows of requests
 */
import { flowDefaults } from "../src/config/mod.ts";
import {
  type Bench,
  type BenchContext,
  type Flags,
  list,
  positiveInteger,
  type Report,
  UsageError,
} from "./lib/bench.ts";
import type { Row } from "./slo/figures.ts";
import type { FleetPolicy } from "./slo/policy.ts";
import { harmRule, named, oracle, oracles, queued, sloOracles, weighted, type Weights } from "./slo/policies.ts";
import { predicted } from "./slo/predicted.ts";
import { beyondRun, ladderAsks, ladderRun, type Scale, sloAsks, sloRun, slowdownRun } from "./slo/scenarios.ts";
import { capacity, threeScorers, tunedQueue, tunedWeights, withActive } from "./slo/tune.ts";
import { fleetEngine, type FleetOptions, fleets } from "./slo/world.ts";

const own = ["least-request", "llm-d", "default", "tuned", "tuned-active", "prior", "predicted"] as const;
const policyNames: readonly string[] = [...own, ...oracles.map(({ name }) => name)];

export const slo: Bench = {
  name: "slo",
  summary: "What is won by predicting how long requests will take?",
  flags: [
    { flag: "--fleet <name>", about: `speeds of the engines: ${Object.keys(fleets).join(", ")}`, fallback: "mixed" },
    { flag: "--policies <names>", about: "rows, with commas between", fallback: policyNames.join(",") },
    { flag: "--seed <n>", about: "seed of the workload and of the router's choices", fallback: "1" },
  ],
  async run(flags: Flags, { smoke, progress }: BenchContext): Promise<Report> {
    const scale = await scaleOf(flags, smoke);
    const tuneScale = { ...scale, length: scale.length / 2 };
    const tuneSeed = scale.seed + 1000;
    const streams = (smoke ? [0] : [0, 1, 2]).map((i) => ladderAsks(tuneScale, tuneSeed + i));
    let runs = 0;
    const onRun = () => progress.update("tuning", runs++, 100);
    const tuned = await tunedWeights(streams, threeScorers(smoke), scale.fleet, onRun);
    const active = await tunedWeights(streams, withActive(tuned, smoke), scale.fleet, onRun);
    const policies = chosen(flags, tuned, active, scale.seed);
    const tables = tablesOf();
    for (const [i, policy] of policies.entries()) {
      progress.update(policy.name, i, policies.length);
      const { ladder, cold, accuracy } = await ladderRun(policy, scale);
      tables.add("ladder", policy, ladder);
      tables.add("cold", policy, cold);
      tables.add("accuracy", policy, accuracy);
      tables.add("beyond", policy, await beyondRun(policy, scale));
      tables.add("slowdown", policy, await slowdownRun(policy, scale, smoke ? 1 : 3));
      progress.note(`${policy.name.padEnd(14)} ${JSON.stringify(ladder)}`);
    }
    const queueAsks = sloAsks(tuneScale, tuneSeed);
    const told = { ...scale.fleet, tellSlo: true };
    const predictors = [predictedSlo("prior", scale.seed, false), predictedSlo("predicted", scale.seed)];
    for (const policy of policies.filter(({ name }) => !/^(oracle|prior|predicted)/.test(name))) {
      tables.add("slo", policy, await sloRun(policy, scale));
      const behind = queued(policy, flowDefaults, `${policy.name}, queue`);
      tables.add("slo", behind, await sloRun(behind, scale));
      if (policy.name === "least-request") continue;
      const best = await tunedQueue(policy, queueAsks, told, smoke, onRun);
      tables.add("slo", best, await sloRun(best, scale));
    }
    for (const policy of [...predictors, ...sloOracles]) tables.add("slo", policy, await sloRun(policy, scale));
    return {
      ...tables.filled(),
      weights: { tuned, "tuned-active": active },
      fleet: flags.fleet,
      seed: scale.seed,
      figures: figuresOf(tables.filled(), scale),
    };
  },
};

async function scaleOf(flags: Flags, smoke: boolean): Promise<Scale> {
  const speeds = fleets[flags.fleet as keyof typeof fleets];
  if (!speeds) {
    throw new UsageError(
      `Cannot use --fleet as it must be one of ${Object.keys(fleets).join(", ")}: current value is "${flags.fleet}"`,
    );
  }
  const seed = positiveInteger(flags, "seed");
  const fleet: FleetOptions = { speeds: smoke ? [1, 1, 2] : speeds, engine: fleetEngine, seed };
  const best = oracle("capacity", harmRule);
  const capacityRps = smoke ? 6 : await capacity(best, fleet, { seed: seed + 2000, seconds: 120 });
  return { fleet, capacityRps, seed, length: smoke ? 0.05 : 1 };
}

/** Refuses what is not predicted to meet its targets. */
function predictedSlo(name: string, seed: number, training = true): FleetPolicy {
  return predicted(`${name}, admission`, { seed, training, slo: { admission: "all" } });
}

function chosen(flags: Flags, tuned: Weights, active: Weights, seed: number): FleetPolicy[] {
  const all: readonly FleetPolicy[] = [
    named("least-request"),
    named("llm-d"),
    named("default"),
    weighted(tuned, "tuned"),
    weighted(active, "tuned-active"),
    predicted("prior", { seed, training: false }),
    predicted("predicted", { seed }),
    ...oracles,
  ];
  return list(flags, "policies").map((name) => {
    const policy = all.find((policy) => policy.name === name);
    if (policy) return policy;
    throw new UsageError(`Cannot use --policies as each must be one of ${policyNames.join(", ")}: one is "${name}"`);
  });
}

const tableNames = ["ladder", "cold", "accuracy", "beyond", "slowdown", "slo"] as const;
type TableName = (typeof tableNames)[number];
type Tables = Readonly<Record<TableName, Readonly<Record<string, Row>>>>;

/** Rows by table and policy; a row without numbers is left out. */
function tablesOf() {
  const tables = Object.fromEntries(tableNames.map((name) => [name, {} as Record<string, Row>])) as Record<
    TableName,
    Record<string, Row>
  >;
  return {
    add(table: TableName, { name }: FleetPolicy, row: Row) {
      if (Object.keys(row).length > 0) tables[table][name] = row;
    },
    filled: (): Tables => tables,
  };
}

/** What the best that may be known wins over the best heuristic. */
function figuresOf({ ladder, slo }: Tables, { capacityRps }: Scale): Record<string, number> {
  const figures: Record<string, number> = { capacity_rps: capacityRps };
  for (const name of ["default", "prior", "predicted", "oracle"]) {
    if (!ladder[name] || !ladder.tuned) continue;
    figures[`${name}_e2e_p50_over_tuned`] = ladder[name].e2e_ms_p50 / ladder.tuned.e2e_ms_p50;
    figures[`${name}_e2e_p90_over_tuned`] = ladder[name].e2e_ms_p90 / ladder.tuned.e2e_ms_p90;
    figures[`${name}_ttft_p90_over_tuned`] = ladder[name].ttft_ms_p90 / ladder.tuned.ttft_ms_p90;
  }
  const knowing = /^(oracle|prior|predicted)/;
  const known = Object.entries(slo).filter(([name]) => !knowing.test(name)).map(([, row]) => row.goodput_rps);
  if (known.length > 0) {
    const most = figures.heuristic_goodput_rps = Math.max(...known);
    for (const [name, row] of Object.entries(slo).filter(([name]) => knowing.test(name))) {
      figures[`${name.replaceAll(/[^a-z]+/g, "_")}_over_heuristic`] = row.goodput_rps / most;
      if (name.startsWith("predicted")) figures.predicted_attained = row.attained;
    }
  }
  return Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, Number(value.toFixed(3))]));
}
