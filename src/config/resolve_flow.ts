import { ConfigError } from "../core/mod.ts";
import { defined } from "./defined.ts";
import {
  agingShareDefault,
  bandDefaults,
  concurrencyDefaults,
  flowDefaults,
  fusedDefaults,
  programAwareDefaults,
  utilizationDefaults,
  vtcDefaults,
} from "./flow_defaults.ts";
import type {
  BandConfig,
  CeilingConfig,
  FairnessConfig,
  FlowConfig,
  FlowLimits,
  SaturationConfig,
} from "./flow_types.ts";
import type { RawConfig } from "./load.ts";
import type { RawValues } from "./schema.ts";
import { type Path, pathText } from "./source.ts";

type RawFlow = NonNullable<RawValues["flow"]>;
type RawBand = NonNullable<RawFlow["defaultBand"]>;
type Complain = (path: Path, expected: string) => void;

/** Dispatches that must be left to go by priority alone. */
const sharesMax = 0.9;

/** The `flow` section with every default; what does not fit together goes to `problems`. */
export function resolveFlow(raw: RawConfig, problems: ConfigError[]): FlowConfig {
  const flow = raw.values.flow ?? {};
  const complain: Complain = (path, expected) =>
    problems.push(new ConfigError(raw.where(["flow", ...path]), pathText(["flow", ...path]), expected));
  const defaultBand = resolveBand(flow.defaultBand, bandDefaults, ["defaultBand"], complain);
  const tenantLimits = resolveLimits(flow.perTenant);
  const resolved: FlowConfig = {
    enabled: flow.enabled ?? flowDefaults.enabled,
    limits: resolveLimits(flow),
    tenantLimits,
    tenants: Object.fromEntries(
      (flow.tenants ?? []).map(({ name, weight = 1, ...own }) =>
        [name, { ...tenantLimits, ...resolveLimits(own), weight }] as const
      ),
    ),
    ttlMs: flow.ttl ?? flowDefaults.ttlMs,
    noEndpointTtlMs: flow.noEndpointTtl ?? flowDefaults.noEndpointTtlMs,
    holdModels: flow.holdModels ?? flowDefaults.holdModels,
    bands: (flow.bands ?? []).map(({ priority, ...band }, i) => ({
      priority,
      ...resolveBand(band, bandDefaults, ["bands", i], complain),
    })),
    defaultBand,
    defaultNegativeBand: resolveBand(flow.defaultNegativeBand, defaultBand, ["defaultNegativeBand"], complain),
    ceiling: resolveCeiling(flow.ceiling, complain),
    saturation: resolveSaturation(flow.saturation, complain),
    ...(flow.aging && { aging: { afterMs: flow.aging.after, share: flow.aging.share ?? agingShareDefault } }),
    earlyRejection: flow.earlyRejection ?? flowDefaults.earlyRejection,
    prefixWaitMs: flow.prefixWait ?? flowDefaults.prefixWaitMs,
    eviction: flow.eviction ?? flowDefaults.eviction,
    fairnessHeaders: flow.fairnessHeaders?.map((name) => name.toLowerCase()) ?? flowDefaults.fairnessHeaders,
  };
  checkShares(resolved, flow.defaultNegativeBand?.share ?? 0, complain);
  return resolved;
}

function resolveLimits({ maxRequests, maxTokens, maxBytes }: FlowLimits = {}): FlowLimits {
  return defined({ maxRequests, maxTokens, maxBytes });
}

/** What is absent is as in `base`. */
function resolveBand(raw: RawBand = {}, base: BandConfig, path: Path, complain: Complain): BandConfig {
  const { ttl, fairness, ...same } = raw;
  return {
    ...base,
    ...defined(same),
    ...(ttl !== undefined && { ttlMs: ttl }),
    ...(fairness && { fairness: resolveFairness(fairness, base.fairness.policy, [...path, "fairness"], complain) }),
  };
}

/** Keys that not every choice has, with the choices that have them. */
type Owners = Readonly<Record<string, readonly string[]>>;

const fairnessKeys: Owners = {
  inputWeight: ["vtc"],
  outputWeight: ["vtc"],
  weightService: ["program-aware"],
  weightHeadWait: ["program-aware"],
  halfLife: ["program-aware"],
};

const ceilingKeys: Owners = {
  threshold: ["static"],
  minCeiling: ["priority-holdback"],
  maxCeiling: ["priority-holdback"],
  domain: ["priority-holdback"],
};

const saturationKeys: Owners = {
  maxConcurrency: ["fused", "concurrency"],
  mode: ["concurrency"],
  maxTokenConcurrency: ["fused", "concurrency"],
  queueDepthThreshold: ["utilization"],
  kvCacheUtilThreshold: ["utilization"],
  staleAfter: ["utilization"],
  stalenessPolicy: ["utilization"],
};

/** Complains of keys that belong to another choice than the one made by `key`. */
function refuseForeign(
  raw: object,
  owners: Owners,
  [key, chosen]: readonly [string, string],
  path: Path,
  complain: Complain,
): void {
  for (const name of Object.keys(defined(raw))) {
    if (owners[name]?.includes(chosen) ?? true) continue;
    complain([...path, name], `must be absent where ${key} is ${chosen}: it belongs to ${owners[name].join(" and ")}`);
  }
}

function resolveFairness(
  raw: NonNullable<RawBand["fairness"]>,
  standard: FairnessConfig["policy"],
  path: Path,
  complain: Complain,
): FairnessConfig {
  const policy = raw.policy ?? standard;
  refuseForeign(raw, fairnessKeys, ["policy", policy], path, complain);
  const { inputWeight, outputWeight, weightService, weightHeadWait, halfLife: halfLifeMs } = raw;
  switch (policy) {
    case "vtc":
      return { ...vtcDefaults, ...defined({ inputWeight, outputWeight }) };
    case "program-aware":
      return { ...programAwareDefaults, ...defined({ weightService, weightHeadWait, halfLifeMs }) };
    default:
      return { policy };
  }
}

function resolveCeiling(raw: RawFlow["ceiling"] = {}, complain: Complain): CeilingConfig {
  const { policy = flowDefaults.ceiling.policy, threshold = 1, minCeiling, maxCeiling = 1, domain = "rank" } = raw;
  refuseForeign(raw, ceilingKeys, ["policy", policy], ["ceiling"], complain);
  if (policy === "soft-reflective") return { policy };
  if (policy === "static") return { policy, threshold };
  if (minCeiling === undefined) {
    complain(["ceiling", "minCeiling"], `must be given where policy is ${policy}: it is missing`);
  } else if (minCeiling >= maxCeiling) {
    const path = ["ceiling", "minCeiling"];
    complain(path, `must be below flow.ceiling.maxCeiling (${maxCeiling}): current value is ${minCeiling}`);
  }
  return { policy, minCeiling: minCeiling ?? 0, maxCeiling, domain };
}

function resolveSaturation(raw: RawFlow["saturation"] = {}, complain: Complain): SaturationConfig {
  const { detector = flowDefaults.saturation.detector, staleAfter: stalenessMs, ...same } = raw;
  refuseForeign(raw, saturationKeys, ["detector", detector], ["saturation"], complain);
  const { maxConcurrency, mode, maxTokenConcurrency } = same;
  const { queueDepthThreshold, kvCacheUtilThreshold, stalenessPolicy } = same;
  switch (detector) {
    case "fused":
      return { ...fusedDefaults, ...defined({ maxConcurrency, maxTokenConcurrency }) };
    case "concurrency":
      return { ...concurrencyDefaults, ...defined({ mode, maxConcurrency, maxTokenConcurrency }) };
    case "utilization": {
      const own = { queueDepthThreshold, kvCacheUtilThreshold, stalenessMs, stalenessPolicy };
      return { ...utilizationDefaults, ...defined(own) };
    }
  }
}

/** Complains at the share that makes it too much. That of negative priorities counts where it is one of its own. */
function checkShares({ bands, defaultBand, aging }: FlowConfig, negativeShare: number, complain: Complain): void {
  const shares: readonly (readonly [Path, number])[] = [
    ...bands.map(({ share }, i) => [["bands", i, "share"], share] as const),
    [["defaultBand", "share"], defaultBand.share],
    [["defaultNegativeBand", "share"], negativeShare],
    [["aging", "share"], aging?.share ?? 0],
  ];
  const sum = shares.reduce((sum, [, share]) => sum + share, 0);
  let upToHere = 0;
  for (const [path, share] of shares) {
    upToHere += share;
    // Decimal fractions do not add up exactly.
    if (upToHere <= sharesMax + 1e-9) continue;
    const expected = `must keep the sum of all bands' shares and of aging's at most ${sharesMax}`;
    complain(path, `${expected}: current sum is ${Number(sum.toFixed(6))}`);
    return;
  }
}
