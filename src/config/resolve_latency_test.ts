import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { ConfigErrors, latencyDefaults, loadConfigText, resolveConfig } from "./mod.ts";

const load = (text: string) => resolveConfig(loadConfigText(text, "w.yaml"));

Deno.test("latency: without a word of it every default holds", () => {
  deepStrictEqual(load("").latency, latencyDefaults);
  const empty = "latency: {training: {}, slo: {}, seedModel: {}, snapshot: {}}";
  deepStrictEqual(load(empty).latency, latencyDefaults);
  deepStrictEqual(load("").warnings, []);
});

Deno.test("latency: every key is read", () => {
  const { latency } = load(`
latency:
  enabled: false
  quantile: 0.99
  training:
    enabled: false
    interval: 30s
    minSamples: 50
    maxSamples: 5000
    trees: 200
    depth: 4
    learningRate: 0.05
    serviceUrl: https://trainer:8443/v1
  slo: {admission: all, admitProbability: 0.7, tpotBufferFactor: 1.2}
  seedModel: {ttft: ttft.json, tpot: tpot.ubj}
  snapshot: {file: learned.bin, interval: 5m}
  echo: always
`);
  deepStrictEqual(latency, {
    enabled: false,
    quantile: 0.99,
    training: {
      enabled: false,
      intervalMs: 30_000,
      minSamples: 50,
      maxSamples: 5000,
      trees: 200,
      depth: 4,
      learningRate: 0.05,
      serviceUrl: "https://trainer:8443/v1",
    },
    slo: { admission: "all", admitProbability: 0.7, tpotBufferFactor: 1.2 },
    seedModel: { ttft: "ttft.json", tpot: "tpot.ubj" },
    snapshot: { file: "learned.bin", intervalMs: 300_000 },
    echo: "always",
  });
  ok(Object.isFrozen(latency.training));
});

Deno.test("latency: the trainer's token comes from the environment alone", () => {
  const raw = loadConfigText("latency: {training: {serviceUrl: https://trainer:8443}}", "w.yaml");
  deepStrictEqual(resolveConfig(raw, { trainerToken: "secret" }).latency.training, {
    ...latencyDefaults.training,
    serviceUrl: "https://trainer:8443",
    serviceToken: "secret",
  });
});

const mistakes: readonly (readonly [latency: string, message: string])[] = [
  ["{quantile: 1}", "latency.quantile: must be a number from 0.5 to 0.999: current value is 1"],
  [
    "{training: {interval: 10}}",
    'latency.training.interval: must be a duration from 1s to 1h, such as "500ms" or "30s": current value is 10',
  ],
  ["{training: {trees: 0}}", "latency.training.trees: must be an integer from 1 to 1000: current value is 0"],
  ["{training: {depth: 13}}", "latency.training.depth: must be an integer from 1 to 12: current value is 13"],
  [
    "{training: {learningRate: 0}}",
    "latency.training.learningRate: must be a number from 0.001 to 1: current value is 0",
  ],
  [
    "{training: {serviceUrl: trainer}}",
    'latency.training.serviceUrl: must be an http(s) URL such as "http://trainer:8100": current value is "trainer"',
  ],
  [
    "{training: {minSamples: 500, maxSamples: 499}}",
    "latency.training.maxSamples: must be at least latency.training.minSamples (500): current value is 499",
  ],
  [
    "{training: {trees: 100, depth: 12}}",
    "latency.training.trees: must be at most 42 at latency.training.depth 12: current value is 100",
  ],
  ["{slo: {admission: some}}", 'latency.slo.admission: must be one of off, sheddable, all: current value is "some"'],
  ["{slo: {admitProbability: 2}}", "latency.slo.admitProbability: must be a number from 0 to 1: current value is 2"],
  ["{echo: true}", "latency.echo: must be one of asked, always, never: current value is true"],
  ["{seedModel: m.json}", 'latency.seedModel: must be a mapping of keys to values: current value is "m.json"'],
  [
    "{sloBuffer: 1}",
    "latency.sloBuffer: must be a known key: known keys are enabled, quantile, training, slo, seedModel, snapshot, echo",
  ],
];

for (const [latency, message] of mistakes) {
  Deno.test(`latency: refuses ${latency}`, () => {
    throws(() => load(`\nlatency: ${latency}`), { name: "ConfigError", message: `w.yaml:2: ${message}` });
  });
}

Deno.test("objectives have latency targets, each for itself", () => {
  const { objectives } = load(`
objectives:
  - {name: chat, priority: 5, ttftSlo: 500ms, tpotSlo: 7.5ms}
  - {name: agent, priority: 0, ttftSlo: 2s}
  - {name: batch, priority: -1}
`);
  deepStrictEqual(objectives, [
    { name: "chat", priority: 5, slo: { ttftMs: 500, tpotMs: 7.5 } },
    { name: "agent", priority: 0, slo: { ttftMs: 2000 } },
    { name: "batch", priority: -1, slo: {} },
  ]);
  throws(() => load("objectives: [{name: a, priority: 0, ttftSlo: 0s, tpotSlo: 50}]"), (error) => {
    ok(error instanceof ConfigErrors);
    deepStrictEqual(error.message.match(/objectives\[0\]\.t...Slo: must be a duration from 1ms to 1h/g)?.length, 2);
    return true;
  });
});

Deno.test("a policy that predicts is warned of where nothing is predicted", () => {
  const warned = "scheduling.policy: predicted has nothing to decide by while latency.enabled is false";
  deepStrictEqual(load("scheduling: {policy: predicted}\nlatency: {enabled: false}").warnings, [warned]);
  deepStrictEqual(load("scheduling: {policy: predicted}").warnings, []);
  deepStrictEqual(load("latency: {enabled: false}").warnings, []);
});
