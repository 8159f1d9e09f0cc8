/** The policies that are compared. */
import type { FlowConfig } from "../../src/config/mod.ts";
import {
  type DecisionContext,
  type Filter,
  onePlan,
  planFromPolicy,
  type Policy,
  type SchedulingPlan,
  type Scorer,
} from "../../src/scheduling/mod.ts";
import { Oracle, type OracleOptions, type OracleView } from "./oracle.ts";
import type { FleetPolicy } from "./policy.ts";

/** Weights of llm-d's scorers. */
export interface Weights {
  readonly queue: number;
  readonly kv: number;
  readonly prefix: number;
  readonly active: number;
}

export function named(policy: Policy): FleetPolicy {
  return { name: policy, make: () => ({ plan: planFromPolicy(policy) }) };
}

export function weighted({ queue, kv, prefix, active }: Weights, name = "tuned"): FleetPolicy {
  const scorers = [
    { type: "queue-scorer", weight: queue },
    { type: "kv-cache-utilization-scorer", weight: kv },
    { type: "prefix-cache-scorer", weight: prefix },
    { type: "active-request-scorer", weight: active },
  ].filter(({ weight }) => weight > 0);
  return { name, make: () => ({ plan: onePlan({ scorers, picker: { type: "max-score-picker" } }) }) };
}

export function queued(policy: FleetPolicy, flow: FlowConfig, name = `${policy.name}+queue`): FleetPolicy {
  return { ...policy, name, flow };
}

/** What a choice costs, in milliseconds; the least is taken. */
export type Rule = (view: OracleView, slot: number, ctx: DecisionContext) => number;

/** Whether a slot may be chosen at all. */
export type Admission = (view: OracleView, slot: number) => boolean;

export function oracle(name: string, rule: Rule, options: OracleOptions = {}, admits?: Admission): FleetPolicy {
  return {
    name,
    make(world) {
      const source = new Oracle(world, options);
      return { plan: rulePlan(rule, admits), latency: () => ({ source }) };
    },
  };
}

/** A plan that takes the slot where `rule` is least. */
function rulePlan(rule: Rule, admits: Admission = () => true): SchedulingPlan {
  const plan = onePlan({ picker: { type: "max-score-picker" } });
  const scorer: Scorer & { needsLatency: true } = {
    type: "rule",
    name: "rule",
    category: "balance",
    needsLatency: true,
    score(ctx, slots, n, out) {
      let least = Infinity;
      for (let i = 0; i < n; i++) least = Math.min(least, out[i] = rule(ctx.latency as OracleView, slots[i], ctx));
      for (let i = 0; i < n; i++) out[i] = least / out[i];
    },
  };
  const filter: Filter & { needsLatency: true } = {
    type: "admission",
    name: "admission",
    needsLatency: true,
    keep(ctx, slots, n) {
      let kept = 0;
      for (let i = 0; i < n; i++) if (admits(ctx.latency as OracleView, slots[i])) slots[kept++] = slots[i];
      return kept;
    },
  };
  return {
    ...plan,
    plugins: [
      ...plan.plugins,
      { type: "rule", name: "rule", kinds: ["scorer"], params: {}, create: () => scorer },
      { type: "admission", name: "admission", kinds: ["filter"], params: {}, create: () => filter },
    ],
    profiles: plan.profiles.map((profile) => ({
      ...profile,
      filters: ["admission"],
      scorers: [{ plugin: "rule", weight: 1 }],
    })),
  };
}

/** About the mean of the workload; that it is half or twice as much changes little. */
const outputTokens = 250;

/**
 * Output tokens that the predicted TPOT is weighed with: half of those expected. A TPOT holds less far ahead than a TTFT, and
 * where predictions are wrong by 20 % the whole weight sends requests after their luck.
 */
const tokensWeighed = outputTokens / 2;

/** Stands for those that will come while the prompt is computed: a few, where there is load. */
const requestsToCome = 2;

/**
 * What the request takes, and what the others lose: while the prompt is computed, `ownMs`, everyone there stands still, and
 * those that come meanwhile wait. That each step takes longer by one request is left out: the sum of the true delays
 * (`oracle-exact`) is no better.
 */
export const harmRule: Rule = ({ ttftMs, tpotMs, ownMs, requests }, slot) =>
  ttftMs[slot] + tokensWeighed * tpotMs[slot] + ownMs[slot] * (requests[slot] + requestsToCome);

/** Errors that a learned predictor may well have. */
const noise = 0.2;

export const oracles: readonly FleetPolicy[] = [
  oracle("oracle-ttft", (view, slot) => view.ttftMs[slot], { outputTokens }),
  oracle("oracle-e2e", (view, slot) => view.e2eMs[slot], { outputTokens }),
  oracle("oracle-exact", (view, slot) => view.e2eMs[slot] + view.harmMs[slot], { outputTokens }),
  oracle("oracle", harmRule, { outputTokens }),
  oracle("oracle-noisy", harmRule, { outputTokens, noise }),
];

/** Those that refuse what would miss its targets, or make one that runs there miss its own. */
export const sloOracles: readonly FleetPolicy[] = [
  oracle(
    "oracle-slo",
    harmRule,
    { outputTokens },
    (view, slot) => view.meets[slot] >= 0.5 && view.harmMisses[slot] < 1,
  ),
  oracle(
    "oracle-slo-noisy",
    harmRule,
    { outputTokens, noise },
    (view, slot) => view.meets[slot] >= 0.9 && view.likelyMisses[slot] < 1,
  ),
];
