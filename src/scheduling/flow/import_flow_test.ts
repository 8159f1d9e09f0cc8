import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { bandDefaults, flowDefaults } from "../../config/mod.ts";
import { ConfigError } from "../../core/mod.ts";
import { importEndpointPickerConfig } from "../import_config.ts";

const head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";
const read = (body: string) => importEndpointPickerConfig(head + body, "epp.yaml");
/** Without what the default profile is warned of. */
const warned = ({ warnings }: { readonly warnings: readonly string[] }) =>
  warnings.filter((warning) => !warning.includes("prefix-cache-scorer"));
const gated = (body: string) => read(`featureGates: [flowControl]\n${body}`);

const strictBand = { ...bandDefaults, fairness: { policy: "global-strict" as const } };

/** As llm-d behaves when its gate is on and nothing else is said. */
const llmdFlow = {
  enabled: true,
  limits: { maxRequests: undefined, maxBytes: undefined },
  tenantLimits: {},
  tenants: {},
  ttlMs: 60_000,
  noEndpointTtlMs: 60_000,
  holdModels: [],
  bands: [],
  defaultBand: strictBand,
  defaultNegativeBand: strictBand,
  ceiling: { policy: "static", threshold: 1 },
  saturation: {
    detector: "utilization",
    queueDepthThreshold: 5,
    kvCacheUtilThreshold: 0.8,
    stalenessMs: 200,
    stalenessPolicy: "saturated",
  },
  earlyRejection: "off",
  prefixWaitMs: 0,
  eviction: false,
  fairnessHeaders: [],
};

Deno.test("flow control is llm-d's when its gate is on, and absent when it is off", () => {
  deepStrictEqual(gated("").flow, llmdFlow);
  deepStrictEqual(Object.keys(llmdFlow).sort(), Object.keys(flowDefaults).sort(), "all but aging is said");
  deepStrictEqual(read("featureGates: [flowControl=true]\nflowControl: {}\n").flow, llmdFlow);
  deepStrictEqual(gated("plugins: [{type: queue-scorer}]\nflowControl:\n").warnings, []);
  for (const gates of ["", "featureGates: [flowControl=false]\n", "featureGates: [flowControl, flowControl=false]\n"]) {
    equal(read(gates).flow, undefined);
    equal(read(gates).saturation, undefined);
    deepStrictEqual(read(gates).fairnessHeaders, []);
  }
});

Deno.test("flow control reads a composed configuration", () => {
  const { flow, warnings } = gated(`plugins:
- {type: round-robin-fairness-policy}
- {type: slo-deadline-ordering-policy}
- {type: concurrency-detector, parameters: {concurrencyMode: hybrid, maxConcurrency: 64, maxTokenConcurrency: 400000, headroom: 0.1}}
- {type: priority-holdback-policy, name: holdback, parameters: {minCeiling: 0.6}}
flowControl:
  maxBytes: 4Gi
  defaultRequestTTL: 30s
  noEndpointRequestTTL: 10m
  usageLimitPolicyPluginRef: holdback
  saturationDetector: {pluginRef: concurrency-detector}
  enableEviction: true
  defaultNegativePriorityBand: {maxRequests: "200"}
  priorityBands:
  - {priority: 100, maxRequests: "500", fairnessPolicyRef: round-robin-fairness-policy, orderingPolicyRef: slo-deadline-ordering-policy}
`);
  deepStrictEqual(flow, {
    ...llmdFlow,
    limits: { maxRequests: undefined, maxBytes: 4 * 2 ** 30 },
    ttlMs: 30_000,
    noEndpointTtlMs: 600_000,
    bands: [{
      priority: 100,
      maxRequests: 500,
      maxBytes: 1_000_000_000,
      share: 0,
      fairness: { policy: "round-robin" },
      ordering: "slo-deadline",
    }],
    defaultNegativeBand: { ...strictBand, maxRequests: 200 },
    ceiling: { policy: "priority-holdback", minCeiling: 0.6, maxCeiling: 1, domain: "rank" },
    saturation: { detector: "concurrency", mode: "hybrid", maxConcurrency: 64, maxTokenConcurrency: 400_000 },
    eviction: true,
  });
  deepStrictEqual(warnings, []);
});

Deno.test("flow control fills in limits of nothing, times and templates as llm-d does", () => {
  const of = (section: string, plugins = "") => gated(`${plugins}flowControl: {${section}}\n`).flow!;
  const { limits, bands } = of('maxRequests: 0, maxBytes: 1k, priorityBands: [{priority: 1, maxRequests: "0"}]');
  deepStrictEqual(limits, { maxRequests: undefined, maxBytes: 1000 });
  deepStrictEqual(bands, [{ priority: 1, ...strictBand }]);
  const ttls = (section: string) => {
    const { ttlMs, noEndpointTtlMs } = of(section);
    return [ttlMs, noEndpointTtlMs];
  };
  deepStrictEqual(ttls("defaultRequestTTL: 5s"), [5000, 5000]);
  deepStrictEqual(ttls("defaultRequestTTL: 0s"), [0, 0]);
  deepStrictEqual(ttls("noEndpointRequestTTL: 0s"), [60_000, 0]);
  const template = of("defaultPriorityBand: {priority: 9, maxBytes: 500M}");
  deepStrictEqual(template.defaultBand, { ...strictBand, maxBytes: 500_000_000 });
  deepStrictEqual(template.defaultNegativeBand, template.defaultBand);
  const standard = 'fairnessPolicyRef: global-strict-fairness-policy, orderingPolicyRef: ""';
  deepStrictEqual(of(`defaultPriorityBand: {${standard}}`).defaultBand, strictBand);
});

Deno.test("flow control takes a default plugin that is listed with parameters of its own", () => {
  const { flow, warnings } = gated(`plugins:
- {type: static-usage-limit-policy, parameters: {threshold: 0.5}}
- {type: utilization-detector, parameters: {queueDepthThreshold: 9, metricsStalenessThreshold: 2s, stalenessPolicy: ignore}}
- {type: global-strict-fairness-policy}
- {type: fcfs-ordering-policy}
schedulingProfiles: [{name: a}]
`);
  deepStrictEqual(flow!.ceiling, { policy: "static", threshold: 0.5 });
  deepStrictEqual(flow!.saturation, {
    detector: "utilization",
    queueDepthThreshold: 9,
    kvCacheUtilThreshold: 0.8,
    stalenessMs: 2000,
    stalenessPolicy: "ignore",
  });
  deepStrictEqual(warnings, [], "all are used");
});

Deno.test("flow control reads every policy with its parameters", () => {
  const band = (plugin: string, ref: string) =>
    gated(`plugins: [${plugin}]\nflowControl: {defaultPriorityBand: {${ref}: x}}\n`);
  const fairness = (plugin: string) => band(plugin, "fairnessPolicyRef").flow!.defaultBand.fairness;
  deepStrictEqual(fairness("{type: vtc-fairness-policy, name: x, parameters: {inputWeight: 0.5}}"), {
    policy: "vtc",
    inputWeight: 0.5,
    outputWeight: 2,
  });
  const programAware = { policy: "program-aware", weightService: 0.8, weightHeadWait: 0.2, halfLifeMs: 60_000 };
  deepStrictEqual(fairness("{type: program-aware-fairness, name: x}"), programAware);
  const imported = band(
    "{type: program-aware-fairness, name: x, parameters: {lasWeightService: 1, lasHalfLifeSeconds: 0, evictionTtlSeconds: 0}}",
    "fairnessPolicyRef",
  );
  deepStrictEqual(imported.flow!.defaultBand.fairness, { ...programAware, weightService: 1, halfLifeMs: 0 });
  deepStrictEqual(warned(imported), [
    "epp.yaml:4: x: evictionTtlSeconds has no effect, what is known of idle tenants is bounded",
  ]);
  for (const name of ["fcfs", "edf", "slo-deadline", "least-laxity"]) {
    equal(
      band(`{type: ${name}-ordering-policy, name: x}`, "orderingPolicyRef").flow!.defaultNegativeBand.ordering,
      name,
    );
  }
  const ceiling = (plugin: string) =>
    gated(`plugins: [${plugin}]\nflowControl: {usageLimitPolicyPluginRef: x}\n`).flow!.ceiling;
  deepStrictEqual(ceiling("{type: soft-reflective-ceiling-policy, name: x}"), { policy: "soft-reflective" });
  const parameters = "{minCeiling: 0, maxCeiling: 0.9, shape: linear, domain: value}";
  deepStrictEqual(ceiling(`{type: priority-holdback-policy, name: x, parameters: ${parameters}}`), {
    policy: "priority-holdback",
    minCeiling: 0,
    maxCeiling: 0.9,
    domain: "value",
  });
});

Deno.test("agent-identity names the headers of tenants, its own first, with the gate on or off", () => {
  const known = ["x-claude-code-session-id", "x-session-affinity", "session-id", "session_id"];
  const plugin = (parameters = "") => `plugins: [{type: agent-identity${parameters}}]\n`;
  const own = ", parameters: {additionalSessionHeaders: [X-Run-Id, session-id]}";
  const all = ["x-run-id", "session-id", "x-claude-code-session-id", "x-session-affinity", "session_id"];
  deepStrictEqual(read(plugin()).fairnessHeaders, known);
  deepStrictEqual(read(plugin(own)).fairnessHeaders, all);
  deepStrictEqual(gated(plugin(own)).flow!.fairnessHeaders, all);
  deepStrictEqual(warned(read(plugin())), []);
});

Deno.test("with the gate off a flowControl section counts for nothing but its saturation detector", () => {
  const concurrency = "plugins: [{type: concurrency-detector, name: c}]\nschedulingProfiles: [{name: a}]\n";
  const detector = { detector: "concurrency", mode: "requests", maxConcurrency: 100, maxTokenConcurrency: 1_000_000 };
  const config = read(`${concurrency}flowControl: {maxRequests: 5, saturationDetector: {pluginRef: c}}\n`);
  equal(config.flow, undefined);
  deepStrictEqual(config.saturation, detector);
  deepStrictEqual(config.warnings, [
    "epp.yaml:5: flowControl has no effect while feature gate flowControl is off, saturationDetector excepted",
  ]);
  const alias = read(`${concurrency}saturationDetector: {pluginRef: c}\n`);
  deepStrictEqual(alias.saturation, detector);
  const deprecated = "epp.yaml:5: saturationDetector is deprecated, use flowControl.saturationDetector";
  deepStrictEqual(alias.warnings, [deprecated]);
  const both = gated(`${concurrency}saturationDetector: {pluginRef: utilization-detector}
flowControl: {saturationDetector: {pluginRef: c}}\n`);
  deepStrictEqual(both.flow!.saturation, detector);
});

Deno.test("plugins of flow control that it does not use are warned of", () => {
  const plugins = "plugins: [{type: edf-ordering-policy}, {type: sheddable-eviction-filter, name: s}]\n";
  const unused = (name: string, line: number) => `epp.yaml:${line}: plugin "${name}" is not used by flow control`;
  deepStrictEqual(warned(read(plugins)), [unused("edf-ordering-policy", 3), unused("s", 3)]);
  deepStrictEqual(warned(gated(`${plugins}flowControl: {enableEviction: true}\n`)), [
    unused("edf-ordering-policy", 4),
  ]);
});

/** Each mistake: what follows the gate, then the line of the document, the key, and what the message says. */
const mistakes: readonly (readonly [string, number, string, string | RegExp])[] = [
  ["flowControl:\n  maxRequest: 1\n", 5, "flowControl.maxRequest", 'unknown key "maxRequest"'],
  ["flowControl:\n  maxBytes: -1Gi\n", 5, "flowControl.maxBytes", /at least 0, such as 10Gi.*current value is "-1Gi"/],
  ["flowControl:\n  maxRequests: many\n", 5, "flowControl.maxRequests", "must be a quantity"],
  ["flowControl:\n  defaultRequestTTL: -5s\n", 5, "flowControl.defaultRequestTTL", "must be a duration"],
  ["flowControl:\n  enableEviction: 1\n", 5, "flowControl.enableEviction", "boolean"],
  [
    "flowControl:\n  priorityBands:\n  - {maxRequests: 1}\n",
    6,
    "flowControl.priorityBands[0].priority",
    "must be an integer",
  ],
  [
    "flowControl:\n  priorityBands:\n  - {priority: 3}\n  - priority: 3\n",
    7,
    "flowControl.priorityBands[1].priority",
    "must be unique: current value is 3",
  ],
  [
    "flowControl:\n  priorityBands:\n  - priority: 3\n    maxBytes: -1\n",
    7,
    "flowControl.priorityBands[0].maxBytes",
    "at least 0",
  ],
  [
    "plugins: [{type: edf-ordering-policy}]\nflowControl:\n  defaultPriorityBand:\n" +
    "    fairnessPolicyRef: edf-ordering-policy\n",
    7,
    "flowControl.defaultPriorityBand.fairnessPolicyRef",
    'must be a fairness-policy: "edf-ordering-policy" is an ordering-policy',
  ],
  [
    "flowControl:\n  usageLimitPolicyPluginRef: soft-reflective-ceiling-policy\n",
    5,
    "flowControl.usageLimitPolicyPluginRef",
    "must name a plugin that is listed",
  ],
  [
    "plugins: [{type: queue-scorer}]\nsaturationDetector:\n  pluginRef: queue-scorer\n",
    6,
    "saturationDetector.pluginRef",
    'must be a saturation-detector: "queue-scorer" is a scorer',
  ],
  [
    "plugins:\n- type: priority-holdback-policy\n  parameters: {minCeiling: 0.9, maxCeiling: 0.5}\n",
    6,
    "plugins[0].parameters.minCeiling",
    "must be below maxCeiling (0.5): current value is 0.9",
  ],
  ["plugins:\n- type: priority-holdback-policy\n", 5, "plugins[0].parameters.minCeiling", "must be a number"],
  [
    "plugins:\n- type: soft-reflective-ceiling-policy\n  parameters: {a: 1}\n",
    6,
    "plugins[0].parameters.a",
    'unknown key "a"',
  ],
  [
    "plugins:\n- type: static-usage-limit-policy\n  parameters: {threshold: 0}\n",
    6,
    "plugins[0].parameters.threshold",
    "must be greater than 0",
  ],
  [
    "plugins:\n- type: program-aware-fairness\n  parameters: {evictionSweepSeconds: 0}\n",
    6,
    "plugins[0].parameters.evictionSweepSeconds",
    "must be greater than 0",
  ],
  [
    "plugins:\n- type: utilization-detector\n  parameters: {metricsStalenessThreshold: 0s}\n",
    6,
    "plugins[0].parameters.metricsStalenessThreshold",
    "must be greater than 0",
  ],
  [
    "plugins:\n- type: utilization-detector\n  parameters: {stalenessPolicy: hold}\n",
    6,
    "plugins[0].parameters.stalenessPolicy",
    "must be saturated or ignore",
  ],
  ["plugins:\n- type: agent-identity\n- {type: agent-identity, name: b}\n", 6, "plugins[1]", "must be the only plugin"],
];

for (const [body, line, key, text] of mistakes) {
  Deno.test(`flow control refuses ${key} that ${text instanceof RegExp ? text.source : text}, by its line`, () => {
    throws(() => gated(body), (error) => {
      ok(error instanceof ConfigError, String(error));
      deepStrictEqual([error.where, error.key], [`epp.yaml:${line}`, key], error.message);
      ok(typeof text === "string" ? error.expected.includes(text) : text.test(error.expected), error.message);
      return true;
    });
  });
}
