import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { ConfigError } from "../core/mod.ts";
import { Scheduler } from "./engine.ts";
import { importEndpointPickerConfig } from "./import_config.ts";
import { notYet } from "./not_yet.ts";
import { llmdDefaultPlan } from "./plan.ts";
import { registry } from "./registry.ts";
import { testPool } from "./testing.ts";

const head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";
const read = (body: string) => importEndpointPickerConfig(head + body, "epp.yaml");

/** The error must stand at `line` of the whole document and say `text`. */
function refuses(body: string, line: number, key: string, text: string | RegExp): void {
  throws(() => read(body), (error) => {
    ok(error instanceof ConfigError, String(error));
    equal(error.where, `epp.yaml:${line}`, error.message);
    equal(error.key, key, error.message);
    ok(typeof text === "string" ? error.expected.includes(text) : text.test(error.expected), error.message);
    return true;
  });
}

/** Every supported type, with parameters where it needs some. */
const everything = `
featureGates: [flowControl=false, haPopulateNonLeaderDatastore=true]
plugins:
  - type: openai-parser
  - type: anthropic-parser
  - type: vllmhttp-parser
  - type: sglanghttp-parser
  - type: passthrough-parser
  - type: metrics-data-source
    parameters: {scheme: https, path: /stats, port: 9400, insecureSkipVerify: false, caCertPath: /ca.pem, interval: 250ms}
  - type: core-metrics-extractor
    parameters:
      defaultEngine: my-engine
      engineConfigs:
        - name: my-engine
          queuedRequestsSpec: my_queue_depth{tier=gpu}
          runningRequestsSpec: my_running
          kvUsageSpec: my_kv_ratio
          customMetrics:
            - {attributeKey: power-watts, metricSpec: my_power_watts}
  - type: models-data-source
  - type: models-data-extractor
  - type: file-discovery
    parameters: {path: /etc/pool.yaml, watchFile: true}
  - name: prefix
    type: approx-prefix-cache-producer
    parameters: {autoTune: false, blockSizeTokens: 128, maxPrefixTokensToMatch: 65536, lruCapacityPerServer: 1000}
  - name: exact
    type: precise-prefix-cache-producer
    parameters:
      speculativeIndexing: true
      speculativeTTL: 3s
      tokenProcessorConfig: {blockSizeTokens: 64, hashSeed: "42", hashAlgorithm: xxh64}
      indexerConfig:
        kvBlockIndexConfig: {costAwareMemoryConfig: {size: 2GiB}, enableMetrics: true}
        kvCacheBackendConfigs: [{name: gpu, weight: 1}, {name: CPU_PINNED, weight: 0.7}, {name: tape, weight: 0.1}]
      kvEventsConfig:
        engineType: sglang
        concurrency: 8
        podDiscoveryConfig: {socketPort: 6557, replaySocketPort: 6558}
  - type: p2p-source-producer
    parameters: {prefixMatchInfoProducerName: exact, minCachedTokenDelta: 64}
  - type: endpoint-notification-source
  - type: inflight-load-producer
    parameters: {addEstimatedOutputTokens: true, outputRatio: 2, maxEstimatedOutputTokens: 500, prefixMatchInfoProducerName: prefix}
  - type: predicted-latency-producer
    parameters: {streamingMode: true, sloBufferFactor: 1.2, endpointRoleLabel: llm-d.ai/role, predictInProduce: false}
  - type: latency-slo-admitter
    parameters: {latencyPredictionInfoProducerName: predicted-latency-producer}
  - type: slo-probability-admitter
  - name: tok
    type: token-producer
    parameters: {modelName: Qwen/Qwen3-32B, vllm: {url: "http://render:8000", timeout: 2s, mmTimeout: 9s}}
  - type: tokenizer
  - name: jar
    type: session-id-producer
    parameters: {cookieName: sid}
  - type: agent-identity
    parameters: {additionalSessionHeaders: [X-Agent]}
  - type: global-strict-fairness-policy
  - type: round-robin-fairness-policy
  - type: vtc-fairness-policy
    parameters: {outputWeight: 3}
  - type: program-aware-fairness
    parameters: {strategy: las, lasHalfLifeSeconds: 0}
  - type: fcfs-ordering-policy
  - type: edf-ordering-policy
  - type: slo-deadline-ordering-policy
  - type: least-laxity-ordering-policy
  - type: static-usage-limit-policy
    parameters: {threshold: 0.9}
  - type: priority-holdback-policy
    parameters: {minCeiling: 0.5}
  - type: soft-reflective-ceiling-policy
  - type: sheddable-eviction-filter
  - type: priority-then-time-eviction-order-policy
  - type: label-selector-filter
    parameters: {matchLabels: {gpu: h100}}
  - type: by-label-selector
  - type: by-label
    parameters: {label: tier, validValues: [gold], allowsNoLabel: true}
  - type: decode-filter
  - type: prefill-filter
  - type: encode-filter
  - type: session-affinity-filter
    parameters: {strategy: session_id, sessionIdConfig: {sources: [{attribute: SessionID, producer: jar}]}}
  - type: endpoint-attribute-filter
    parameters:
      attribute: power-watts
      fallbackOnEmpty: true
      algorithm: {type: threshold, threshold: {operator: LessThan, value: 500}}
  - type: utilization-filter
    parameters: {conditions: [{metric: waiting-queue, maxValue: 100}], fallbackOnEmpty: true}
  - type: prefix-cache-affinity-filter
    parameters: {prefixMatchInfoProducerName: prefix}
  - type: slo-headroom-tier-filter
    parameters: {epsilonExploreNeg: 0.05}
  - type: utilization-detector
    parameters: {metricsStalenessThreshold: 1s}
  - type: concurrency-detector
    parameters: {concurrencyMode: hybrid}
  - type: topology-affinity-filter
  - type: header-based-testing-filter
  - type: context-length-aware
  - type: token-work-scorer
  - type: least-latency-scorer
  - type: latency-scorer
    parameters: {ttftWeight: 1, headroomSelectionStrategy: most, prefixMatchInfoProducerName: prefix}
  - type: queue-scorer
  - type: running-requests-size-scorer
  - type: kv-cache-utilization-scorer
  - type: lora-affinity-scorer
  - type: load-aware-scorer
    parameters: {threshold: 64}
  - type: active-request-scorer
  - type: token-load-scorer
    parameters: {inFlightLoadProducerName: inflight-load-producer}
  - type: prefix-cache-scorer
    parameters: {prefixMatchInfoProducerName: prefix, matchLengthWeight: 0.2}
  - type: no-hit-lru-scorer
  - type: session-affinity-scorer
  - type: header-label-affinity-scorer
    parameters: {headerName: X-Tier, labelKey: tier}
  - type: endpoint-attribute-scorer
    parameters: {attributeKey: power-watts, algorithm: {type: linear_lower_is_better, normalization: {adaptiveRange: {}}}}
  - type: topology-affinity-scorer
  - type: max-score-picker
    parameters: {maxNumOfEndpoints: 2}
  - type: weighted-random-picker
  - type: random-picker
  - type: round-robin-picker
  - type: header-profile-handler
dataLayer:
  sources:
    - {pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}
    - {pluginRef: models-data-source, extractors: [{pluginRef: models-data-extractor}]}
    - {pluginRef: endpoint-notification-source, extractors: [{pluginRef: exact}]}
  discovery: {pluginRef: file-discovery}
requestHandler:
  parsers: [{pluginRef: openai-parser}, {pluginRef: passthrough-parser}]
schedulingProfiles:
  - name: decode
    plugins:
      - pluginRef: decode-filter
      - pluginRef: label-selector-filter
      - pluginRef: context-length-aware
        weight: 0.5
      - pluginRef: prefix-cache-scorer
        weight: 3
      - pluginRef: queue-scorer
      - pluginRef: max-score-picker
  - name: batch
    plugins:
      - pluginRef: active-request-scorer
`;

Deno.test("importEndpointPickerConfig() reads a configuration with every supported plugin", () => {
  const config = read(everything);
  const listed = [...registry.keys()].filter((type) => !everything.includes(`type: ${type}\n`));
  deepStrictEqual(
    listed,
    ["precise-prefix-cache-scorer", "single-profile-handler"],
    "there may be one exact producer and one profile handler only",
  );
  deepStrictEqual(config.plan.profiles, [
    {
      name: "decode",
      filters: ["decode-filter", "label-selector-filter", "context-length-aware"],
      scorers: [
        { plugin: "context-length-aware", weight: 0.5 },
        { plugin: "prefix-cache-scorer", weight: 3 },
        { plugin: "queue-scorer", weight: 1 },
      ],
      picker: "max-score-picker",
    },
    {
      name: "batch",
      filters: [],
      scorers: [{ plugin: "active-request-scorer", weight: 1 }],
      picker: "max-score-picker",
    },
  ]);
  equal(config.plan.handler, "header-profile-handler");
  deepStrictEqual(config.prefix, { autoTune: false, blockTokens: 128, blocksMax: 512, capacityBlocks: 1000 });
  deepStrictEqual(config.feeds, {
    kind: "zmq",
    port: 6557,
    replayPort: 6558,
    topicFilter: "kv@",
    engineType: "sglang",
    tierWeights: { gpu: 1, cpu: 0.7 },
    speculative: true,
    speculativeTtlMs: 3000,
    blockTokens: 64,
    hashSeed: "42",
    indexBytesMax: 2 ** 31,
  });
  deepStrictEqual(config.render, { modelName: "Qwen/Qwen3-32B", url: "http://render:8000", timeoutMs: 2000 });
  deepStrictEqual(config.inflight, { addEstimatedOutputTokens: true, outputRatio: 2, maxEstimatedOutputTokens: 500 });
  deepStrictEqual(config.latency, { tpotBufferFactor: 1.2, predicts: false, roleLabel: "llm-d.ai/role" });
  deepStrictEqual(config.discovery, { path: "/etc/pool.yaml", watchFile: true });
  deepStrictEqual(config.parsers, ["openai-parser", "passthrough-parser"]);
  deepStrictEqual({ ...config.metrics!.source }, {
    scheme: "https",
    path: "/stats",
    port: 9400,
    insecureSkipVerify: false,
    caCertPath: "/ca.pem",
    intervalMs: 250,
  });
  deepStrictEqual(config.metrics!.extractor.engineConfigs[0].customMetrics, [
    { attributeKey: "power-watts", metricSpec: "my_power_watts" },
  ]);
  equal(config.models!.path, "/v1/models");
  ok(
    config.warnings.some((warning) =>
      /^epp\.yaml:\d+: by-label is deprecated, use label-selector-filter$/.test(warning)
    ),
  );
  deepStrictEqual(
    config.warnings.filter((warning) => warning.includes("has no effect")).map((warning) =>
      warning.replace(/^epp\.yaml:\d+: /, "")
    ),
    [
      "haPopulateNonLeaderDatastore has no effect, there is no leader",
      "exact: hashAlgorithm has no effect, block keys never leave the router",
      "exact: enableMetrics has no effect, metrics of the index are always there",
      "exact: concurrency has no effect, every feed is read in order",
      `exact: kvCacheBackendConfigs: weight of "tape" has no effect, it is none of gpu, cpu, disk, shared or an engine's name for one`,
      "tok: mmTimeout has no effect, timeout holds for all requests",
    ],
  );
  ok(config.warnings.some((warning) => warning.endsWith('plugin "random-picker" is used by no profile')));
  ok(config.warnings.some((warning) => warning.endsWith('plugin "edf-ordering-policy" is not used by flow control')));
  equal(config.flow, undefined);
  equal(config.fairnessHeaders[0], "x-agent");
  new Scheduler(config.plan, { table: testPool([{}]).table, seed: 1 });
});

Deno.test("importEndpointPickerConfig() reads single-profile-handler", () => {
  equal(
    read("plugins: [{type: single-profile-handler}, {type: queue-scorer}]\n").plan.handler,
    "single-profile-handler",
  );
});

Deno.test("importEndpointPickerConfig() warns of a default profile that does not exist", () => {
  const { warnings } = read(`plugins: [{type: header-profile-handler}]
schedulingProfiles: [{name: a}, {name: b}]
`);
  const message = 'header-profile-handler: no profile is named "decode", requests without the header are refused';
  deepStrictEqual(warnings, [`epp.yaml:3: ${message}`]);
});

Deno.test("importEndpointPickerConfig() refuses every type that is not supported yet, by name and line", () => {
  ok(notYet.size >= 25);
  for (const [type, reason] of notYet) {
    refuses(
      `plugins:\n  - type: queue-scorer\n  - name: x\n    type: ${type}\n`,
      6,
      "plugins[1].type",
      `"${type}" is not supported yet (waits for ${reason})`,
    );
    ok(!registry.has(type), type);
  }
});

Deno.test("importEndpointPickerConfig() refuses an unknown type and names those near", () => {
  refuses("plugins:\n  - type: quue-scorer\n", 4, "plugins[0].type", "did you mean queue-scorer");
  refuses("plugins:\n  - type: latency-scorrer\n", 4, "plugins[0].type", "did you mean latency-scorer");
  refuses("plugins:\n  - type: prefix-cache\n", 4, "plugins[0].type", "prefix-cache-scorer");
  refuses("plugins:\n  - type: zzzzzzzzzz\n", 4, "plugins[0].type", /^unknown plugin type "zzzzzzzzzz"$/);
});

Deno.test("importEndpointPickerConfig() refuses unknown and wrong keys with their line", () => {
  refuses(
    "plugins:\n  - type: queue-scorer\n    parameters:\n      speed: 3\n",
    6,
    "plugins[0].parameters.speed",
    'plugin "queue-scorer": unknown key "speed"',
  );
  refuses(
    "plugins:\n  - name: mine\n    type: load-aware-scorer\n    parameters:\n      treshold: 3\n",
    7,
    "plugins[0].parameters.treshold",
    'plugin "mine" (load-aware-scorer): unknown key "treshold", must be one of threshold',
  );
  refuses(
    "plugins:\n  - type: load-aware-scorer\n    parameters:\n      threshold: many\n",
    6,
    "plugins[0].parameters.threshold",
    'current value is "many"',
  );
  refuses("plugins: 3\n", 3, "plugins", "expected array");
  refuses("plugins:\n  - type: queue-scorer\n    params: {}\n", 5, "plugins[0].params", 'unknown key "params"');
  refuses("schedulingProfile: []\n", 3, "schedulingProfile", "schedulingProfiles");
  refuses("a: [\n", 4, "", "well-formed YAML");
  refuses("plugins: []\nplugins: []\n", 4, "", "well-formed YAML");
});

Deno.test("importEndpointPickerConfig() refuses another kind and version", () => {
  const of = (text: string) => () => importEndpointPickerConfig(text, "x");
  throws(of("apiVersion: v1\nkind: EndpointPickerConfig\n"), /x:1: apiVersion: .*must be llm-d.ai\/v1alpha1/);
  throws(of("apiVersion: llm-d.ai/v1alpha1\nkind: Pod\n"), /x:2: kind: .*must be "EndpointPickerConfig"/);
  throws(of(""), ConfigError);
  throws(of("just text"), ConfigError);
  ok(
    importEndpointPickerConfig("apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n", "x"),
  );
});

Deno.test("importEndpointPickerConfig() refuses gates it does not know and what needs replicas", () => {
  refuses("featureGates: [flowControl=yes]\n", 3, "featureGates[0]", "flowControl=yes");
  refuses("featureGates: [warp]\n", 3, "featureGates[0]", "must be one of flowControl");
  refuses(
    "dataLayer:\n  injectDefaults: true\n  crossReplicaSyncInterval: 200ms\n",
    5,
    "dataLayer.crossReplicaSyncInterval",
    "not supported yet",
  );
});

Deno.test("importEndpointPickerConfig() fills in the defaults of an exact prefix match, in both of its forms", () => {
  const defaults = {
    kind: "zmq",
    port: 5557,
    replayPort: undefined,
    topicFilter: "kv@",
    engineType: "vllm",
    tierWeights: { gpu: 1, cpu: 0.8 },
    speculative: false,
    speculativeTtlMs: 2000,
    blockTokens: 16,
    hashSeed: "",
    indexBytesMax: undefined,
  };
  for (const type of ["precise-prefix-cache-producer", "precise-prefix-cache-scorer"]) {
    const { feeds, prefix, warnings } = read(`plugins: [{type: ${type}}, {type: prefix-cache-scorer}]\n`);
    deepStrictEqual(feeds, defaults);
    equal(prefix.blockTokens, 64, "what falls back to routing history has llm-d's approximate defaults");
    deepStrictEqual(warnings.filter((warning) => !warning.includes("deprecated")), []);
  }
  equal(read("plugins: [{type: prefix-cache-scorer}]\n").feeds, undefined);
});

Deno.test("importEndpointPickerConfig() refuses what the feeds and tokens of this router do otherwise", () => {
  const exact = (parameters: string) =>
    `plugins:\n  - type: precise-prefix-cache-producer\n    parameters:\n${parameters}`;
  const key = (name: string) => `plugins[0].parameters.${name}`;
  const events = (text: string) => exact(`      kvEventsConfig:\n        ${text}\n`);
  refuses(events("zmqEndpoint: tcp://*:5557"), 6, key("kvEventsConfig"), "zmqEndpoint must be empty");
  refuses(events("discoverPods: false"), 6, key("kvEventsConfig"), "discoverPods must be true");
  refuses(events("engineType: trt"), 7, key("kvEventsConfig.engineType"), "must be vllm or sglang");
  refuses(
    events("podDiscoveryConfig: {socketPort: 0}"),
    7,
    key("kvEventsConfig.podDiscoveryConfig.socketPort"),
    "must be",
  );
  refuses(
    exact("      tokenProcessorConfig: {hashAlgorithm: sha256}\n"),
    6,
    key("tokenProcessorConfig.hashAlgorithm"),
    "must be cbor-fnv or xxh64",
  );
  const index = (text: string) => exact(`      indexerConfig:\n        ${text}\n`);
  refuses(
    index("kvBlockIndexConfig: {redisConfig: {address: 'redis://x'}}"),
    6,
    key("indexerConfig"),
    "redisConfig must be absent",
  );
  refuses(
    index("kvBlockIndexConfig: {costAwareMemoryConfig: {size: lots}}"),
    7,
    key("indexerConfig.kvBlockIndexConfig.costAwareMemoryConfig.size"),
    "must be a size",
  );
  refuses(
    index("kvCacheBackendConfigs: [{name: cpu, weight: 0.5}, {name: cpu_pinned, weight: 0.6}]"),
    6,
    key("indexerConfig"),
    'must not weigh tier cpu twice, again as "cpu_pinned"',
  );
  refuses(
    "plugins:\n  - type: precise-prefix-cache-producer\n  - type: precise-prefix-cache-scorer\n",
    5,
    "plugins[1]",
    "must be the only plugin of type",
  );
  refuses(
    "plugins:\n  - type: token-producer\n    parameters:\n      udsTokenizerConfig: {}\n",
    6,
    key("udsTokenizerConfig"),
    "must be absent",
  );
  refuses(
    "plugins:\n  - {type: token-producer, parameters: {vllm: {}}}\n  - {type: tokenizer, parameters: {vllm: {}}}\n",
    5,
    "plugins[1]",
    "must be the only token-producer with a vllm section",
  );
  refuses(
    "plugins: [{type: endpoint-notification-source}, {type: queue-scorer}, {type: core-metrics-extractor}]\n" +
      "dataLayer:\n  sources:\n    - pluginRef: endpoint-notification-source\n" +
      "      extractors: [{pluginRef: core-metrics-extractor}]\n",
    7,
    "dataLayer.sources[0].extractors[0].pluginRef",
    "must be a precise-prefix-cache-producer or precise-prefix-cache-scorer",
  );
});

Deno.test("importEndpointPickerConfig() refuses references that lead nowhere or to the wrong kind", () => {
  const plugins = "plugins: [{type: queue-scorer}, {type: openai-parser}, {type: max-score-picker}]\n";
  const profile = (refs: string) => `${plugins}schedulingProfiles:\n  - name: a\n    plugins:\n${refs}`;
  refuses(
    profile("      - pluginRef: queue-scorre\n"),
    7,
    "schedulingProfiles[0].plugins[0].pluginRef",
    "did you mean queue-scorer",
  );
  refuses(
    profile("      - pluginRef: openai-parser\n"),
    7,
    "schedulingProfiles[0].plugins[0].pluginRef",
    '"openai-parser" is a parser',
  );
  refuses(
    profile("      - pluginRef: max-score-picker\n      - pluginRef: max-score-picker\n"),
    8,
    "schedulingProfiles[0].plugins[1]",
    "must be the only picker",
  );
  refuses(
    `${plugins}dataLayer:\n  discovery: {pluginRef: queue-scorer}\n`,
    5,
    "dataLayer.discovery.pluginRef",
    "must be a discovery",
  );
  refuses(
    `${plugins}requestHandler:\n  parsers:\n    - pluginRef: queue-scorer\n`,
    6,
    "requestHandler.parsers[0].pluginRef",
    "must be a parser",
  );
  refuses(
    "plugins:\n  - type: prefix-cache-scorer\n    parameters: {prefixMatchInfoProducerName: exact}\n",
    5,
    "plugins[0].parameters.prefixMatchInfoProducerName",
    /must be the name of a configured .*approx-prefix-cache-producer: current value is "exact"/,
  );
});

Deno.test("importEndpointPickerConfig() refuses doubles", () => {
  refuses("plugins:\n  - type: queue-scorer\n  - type: queue-scorer\n", 5, "plugins[1]", "must be unique");
  refuses(
    "plugins:\n  - type: single-profile-handler\n  - type: header-profile-handler\n",
    5,
    "plugins[1]",
    "must be the only profile handler",
  );
  refuses(
    "plugins:\n  - type: approx-prefix-cache-producer\n  - {type: approx-prefix-cache-producer, name: b}\n",
    5,
    "plugins[1]",
    "must be the only plugin of type",
  );
  const two =
    "plugins: [{type: queue-scorer}]\nschedulingProfiles:\n  - name: a\n    plugins: [{pluginRef: queue-scorer}]\n";
  refuses(`${two}  - name: a\n    plugins: []\n`, 7, "schedulingProfiles[1].name", "must be unique");
  refuses(
    `${two}  - name: b\n    plugins: []\n`,
    4,
    "schedulingProfiles",
    "must hold one profile for single-profile-handler",
  );
});

Deno.test("importEndpointPickerConfig() fills in llm-d's implicit default", () => {
  const config = read("");
  deepStrictEqual(config.plan.profiles, llmdDefaultPlan().profiles);
  deepStrictEqual(config.prefix, { autoTune: true, blockTokens: 64, blocksMax: 2048, capacityBlocks: 31_250 });
  equal(config.metrics!.source.path, "/metrics");
  equal(config.metrics!.extractor.engineLabelKey, "llm-d.ai/engine-type");
  equal(config.models, undefined);
  equal(config.discovery, undefined);
  equal(config.parsers, undefined);
});

Deno.test("importEndpointPickerConfig() collects a default profile in listed order when none is given", () => {
  const { plan, warnings } = read(`plugins:
  - type: prefill-filter
  - type: queue-scorer
  - type: decode-filter
  - type: utilization-detector
  - type: prefix-cache-scorer
`);
  deepStrictEqual(plan.profiles, [{
    name: "default",
    filters: ["prefill-filter", "decode-filter", "utilization-detector"],
    scorers: [{ plugin: "queue-scorer", weight: 1 }, { plugin: "prefix-cache-scorer", weight: 1 }],
    picker: "max-score-picker",
  }]);
  ok(warnings.some((warning) => warning.includes("approx-prefix-cache-producer that is not listed")));
});

Deno.test("importEndpointPickerConfig() turns metrics off when the configuration does", () => {
  equal(read("dataLayer: {injectDefaults: false}\n").metrics, undefined);
});

Deno.test("importEndpointPickerConfig() reads JSON and YAML aliases", () => {
  const json = JSON.stringify({
    apiVersion: "llm-d.ai/v1alpha1",
    kind: "EndpointPickerConfig",
    plugins: [{ type: "queue-scorer" }],
  });
  equal(importEndpointPickerConfig(json, "x.json").plan.profiles[0].scorers.length, 1);
  const { plan } = read(
    "plugins:\n  - {type: load-aware-scorer, name: a, parameters: &p {threshold: 9}}\n  - {type: load-aware-scorer, name: b, parameters: *p}\n",
  );
  deepStrictEqual(plan.plugins.slice(0, 2).map((spec) => spec.params), [{ threshold: 9 }, { threshold: 9 }]);
});

Deno.test("importEndpointPickerConfig() warns of a weight that has no effect", () => {
  const { warnings } = read(`plugins: [{type: decode-filter}]
schedulingProfiles:
  - name: a
    plugins:
      - pluginRef: decode-filter
        weight: 2
`);
  deepStrictEqual(warnings, ['epp.yaml:8: weight has no effect, "decode-filter" is no scorer']);
});
