import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { ConfigError } from "../core/mod.ts";
import { bandDefaults, flowDefaults, loadConfigText, referenceRows, resolveConfig } from "./mod.ts";

const load = (text: string) => resolveConfig(loadConfigText(text, "f.yaml")).flow;

Deno.test("flow: without a word of it every default holds", () => {
  deepStrictEqual(load(""), flowDefaults);
  deepStrictEqual(load("flow: {perTenant: {}, tenants: [], bands: [], ceiling: {}, saturation: {}}"), flowDefaults);
});

Deno.test("flow: every key is read", () => {
  const flow = load(`
flow:
  enabled: false
  maxRequests: 1000
  maxTokens: 2000000
  maxBytes: 4GiB
  perTenant: {maxRequests: 50, maxTokens: 60000, maxBytes: 1MiB}
  tenants:
  - {name: gold, weight: 2.5, maxRequests: 500}
  - {name: silver}
  ttl: 90s
  noEndpointTtl: 0s
  holdModels: [big-model]
  bands:
  - {priority: 10, maxRequests: 7, maxTokens: 8, maxBytes: 9MB, ttl: 0s, share: 0.1, fairness: round-robin, ordering: edf}
  - {priority: -3}
  defaultBand: {maxRequests: 11, share: 0.2, fairness: {policy: vtc, outputWeight: 4}}
  defaultNegativeBand: {ttl: 5s, ordering: least-laxity}
  ceiling: {policy: priority-holdback, minCeiling: 0.5, domain: value}
  saturation: {detector: utilization, queueDepthThreshold: 2.5, staleAfter: 1s, stalenessPolicy: hold}
  aging: {after: 30s, share: 0.3}
  earlyRejection: ttl
  prefixWait: 0s
  eviction: true
  fairnessHeaders: [X-Team]
`);
  const tenantLimits = { maxRequests: 50, maxTokens: 60_000, maxBytes: 2 ** 20 };
  const defaultBand = {
    ...bandDefaults,
    maxRequests: 11,
    share: 0.2,
    fairness: { policy: "vtc" as const, inputWeight: 1, outputWeight: 4 },
  };
  deepStrictEqual(flow, {
    enabled: false,
    limits: { maxRequests: 1000, maxTokens: 2_000_000, maxBytes: 4 * 2 ** 30 },
    tenantLimits,
    tenants: { gold: { ...tenantLimits, maxRequests: 500, weight: 2.5 }, silver: { ...tenantLimits, weight: 1 } },
    ttlMs: 90_000,
    noEndpointTtlMs: 0,
    holdModels: ["big-model"],
    bands: [
      {
        priority: 10,
        maxRequests: 7,
        maxTokens: 8,
        maxBytes: 9_000_000,
        ttlMs: 0,
        share: 0.1,
        fairness: { policy: "round-robin" },
        ordering: "edf",
      },
      { priority: -3, ...bandDefaults },
    ],
    defaultBand,
    defaultNegativeBand: { ...defaultBand, ttlMs: 5000, ordering: "least-laxity" },
    ceiling: { policy: "priority-holdback", minCeiling: 0.5, maxCeiling: 1, domain: "value" },
    saturation: {
      detector: "utilization",
      queueDepthThreshold: 2.5,
      kvCacheUtilThreshold: 0.8,
      stalenessMs: 1000,
      stalenessPolicy: "hold",
    },
    aging: { afterMs: 30_000, share: 0.3 },
    earlyRejection: "ttl",
    prefixWaitMs: 0,
    eviction: true,
    fairnessHeaders: ["x-team"],
  });
});

Deno.test("flow: a policy by its name alone, ours or llm-d's, is one with its defaults", () => {
  const fairness = (name: string) => load(`flow: {defaultBand: {fairness: ${name}}}`).defaultBand.fairness;
  for (
    const [own, other, policy] of [
      ["global-strict", "global-strict-fairness-policy", { policy: "global-strict" }],
      ["round-robin", "round-robin-fairness-policy", { policy: "round-robin" }],
      ["vtc", "vtc-fairness-policy", { policy: "vtc", inputWeight: 1, outputWeight: 2 }],
      ["program-aware", "program-aware-fairness", {
        policy: "program-aware",
        weightService: 0.8,
        weightHeadWait: 0.2,
        halfLifeMs: 60_000,
      }],
    ] as const
  ) {
    deepStrictEqual(fairness(own), policy);
    deepStrictEqual(fairness(other), policy);
  }
  deepStrictEqual(fairness("{policy: program-aware, weightService: 1, weightHeadWait: 0, halfLife: 0s}"), {
    policy: "program-aware",
    weightService: 1,
    weightHeadWait: 0,
    halfLifeMs: 0,
  });
  for (const name of ["fcfs", "edf", "slo-deadline", "least-laxity"]) {
    equal(load(`flow: {defaultBand: {ordering: ${name}}}`).defaultNegativeBand.ordering, name);
    equal(load(`flow: {bands: [{priority: 0, ordering: ${name}-ordering-policy}]}`).bands[0].ordering, name);
  }
  deepStrictEqual(load("flow: {ceiling: soft-reflective-ceiling-policy}").ceiling, { policy: "soft-reflective" });
  deepStrictEqual(load("flow: {ceiling: {policy: static-usage-limit-policy, threshold: 0.9}}").ceiling, {
    policy: "static",
    threshold: 0.9,
  });
  deepStrictEqual(load("flow: {saturation: concurrency-detector}").saturation, {
    detector: "concurrency",
    mode: "requests",
    maxConcurrency: 100,
    maxTokenConcurrency: 1_000_000,
  });
  deepStrictEqual(load("flow: {saturation: {maxConcurrency: 64}}").saturation, {
    detector: "fused",
    maxConcurrency: 64,
    maxTokenConcurrency: 65_536,
  });
  deepStrictEqual(load("flow: {aging: {after: 10s}}").aging, { afterMs: 10_000, share: 0.1 });
});

/** Every kind of mistake: the section `flow` on one line, then the messages it must give. */
const mistakes: readonly { name: string; flow: string; messages: readonly string[] }[] = [
  {
    name: "a band that stands twice",
    flow: "bands: [{priority: 1}, {priority: 1}]",
    messages: ['flow.bands[1].priority: must be unique: "1" is already used by flow.bands[0] (f.yaml:2)'],
  },
  {
    name: "a band without its priority",
    flow: "bands: [{maxRequests: 1}]",
    messages: ["flow.bands[0].priority: must be an integer from -2147483648 to 2147483647: it is missing"],
  },
  {
    name: "a tenant that stands twice",
    flow: "tenants: [{name: a}, {name: b}, {name: a}]",
    messages: ['flow.tenants[2].name: must be unique: "a" is already used by flow.tenants[0] (f.yaml:2)'],
  },
  {
    name: "shares that leave nothing to priority",
    flow:
      "bands: [{priority: 2, share: 0.3}, {priority: 1, share: 0.3}], defaultBand: {share: 0.3}, aging: {after: 1s}",
    messages: [
      "flow.aging.share: must keep the sum of all bands' shares and of aging's at most 0.9: current sum is 1",
    ],
  },
  {
    name: "a share of negative priorities that is too much",
    flow: "defaultBand: {share: 0.5}, defaultNegativeBand: {share: 0.45}",
    messages: [
      "flow.defaultNegativeBand.share: must keep the sum of all bands' shares and of aging's at most 0.9: " +
      "current sum is 0.95",
    ],
  },
  {
    name: "a lowest ceiling above the highest",
    flow: "ceiling: {policy: priority-holdback, minCeiling: 0.7, maxCeiling: 0.7}",
    messages: ["flow.ceiling.minCeiling: must be below flow.ceiling.maxCeiling (0.7): current value is 0.7"],
  },
  {
    name: "a lowest ceiling that is missing",
    flow: "ceiling: priority-holdback",
    messages: ["flow.ceiling.minCeiling: must be given where policy is priority-holdback: it is missing"],
  },
  {
    name: "keys of other ceilings",
    flow: "ceiling: {minCeiling: 0.1, domain: rank}",
    messages: [
      "flow.ceiling.minCeiling: must be absent where policy is static: it belongs to priority-holdback",
      "flow.ceiling.domain: must be absent where policy is static: it belongs to priority-holdback",
    ],
  },
  {
    name: "keys of other detectors",
    flow: "saturation: {maxConcurrency: 5, queueDepthThreshold: 5, maxTokenConcurrency: 9}",
    messages: [
      "flow.saturation.queueDepthThreshold: must be absent where detector is fused: it belongs to utilization",
    ],
  },
  {
    name: "a key that two other detectors have",
    flow: "saturation: {detector: utilization-detector, maxConcurrency: 5}",
    messages: [
      "flow.saturation.maxConcurrency: must be absent where detector is utilization: it belongs to fused and concurrency",
    ],
  },
  {
    name: "keys of other fairness policies",
    flow: "bands: [{priority: 1, fairness: {policy: vtc, halfLife: 1s}}], defaultBand: {fairness: {weightService: 1}}",
    messages: [
      "flow.defaultBand.fairness.weightService: must be absent where policy is vtc: it belongs to program-aware",
      "flow.bands[0].fairness.halfLife: must be absent where policy is vtc: it belongs to program-aware",
    ],
  },
  {
    name: "names that are none",
    flow: "defaultBand: {fairness: fair, ordering: 3}, saturation: {detector: psychic}",
    messages: [
      "flow.defaultBand.fairness.policy: must be one of global-strict, round-robin, vtc, program-aware, or llm-d's " +
      'name for one: current value is "fair"',
      "flow.defaultBand.ordering: must be one of fcfs, edf, slo-deadline, least-laxity, or llm-d's name for one: " +
      "current value is 3",
      "flow.saturation.detector: must be one of fused, utilization, concurrency, or llm-d's name for one: " +
      'current value is "psychic"',
    ],
  },
  {
    name: "aging without its wait, limits of nothing, a header that is none",
    flow: "maxRequests: 0, aging: {share: 0.1}, fairnessHeaders: [a b], ttl: -1s",
    messages: [
      "flow.maxRequests: must be an integer from 1 to 10000000: current value is 0",
      'flow.ttl: must be a duration from 0ms to 24h, such as "500ms" or "30s": current value is "-1s"',
      'flow.aging.after: must be a duration from 1ms to 24h, such as "500ms" or "30s": it is missing',
      'flow.fairnessHeaders[0]: must be a header name: current value is "a b"',
    ],
  },
  {
    name: "an unknown key of a section that has a short form",
    flow: "ceiling: {policy: static, treshold: 1}",
    messages: ['flow.ceiling.treshold: must be a known key: did you mean "flow.ceiling.threshold"'],
  },
];

for (const { name, flow, messages } of mistakes) {
  Deno.test(`flow: ${name} is refused by file, line and key`, () => {
    throws(() => load(`prefix: {}\nflow: {${flow}}`), (error: Error) => {
      ok(error instanceof ConfigError);
      deepStrictEqual(error.message.split("\n"), messages.map((message) => `f.yaml:2: ${message}`));
      return true;
    });
  });
}

Deno.test("flow: the reference has every key of a band in each of its places", () => {
  const keys = referenceRows().map(({ key }) => key);
  for (const place of ["bands[]", "defaultBand", "defaultNegativeBand"]) {
    for (const key of ["maxRequests", "maxBytes", "ttl", "share", "fairness", "fairness.policy", "ordering"]) {
      ok(keys.includes(`flow.${place}.${key}`), `${place}.${key}`);
    }
  }
  const followed = referenceRows().filter(({ key }) => key.startsWith("flow.defaultNegativeBand."));
  ok(followed.every((row) => row.default === undefined), "they follow another band");
});
