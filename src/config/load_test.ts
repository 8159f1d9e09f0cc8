import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { ConfigError } from "../core/mod.ts";
import { ConfigErrors, loadConfigText, resolveConfig } from "./mod.ts";

const urlForm = 'a URL of scheme, host and port, such as "http://10.0.0.1:8000"';

/** Every kind of mistake: the file, then the messages it must give, line by line. */
const mistakes: readonly { name: string; text: string; messages: readonly string[] }[] = [
  {
    name: "an unknown key near a known one",
    text: "server:\n  prot: 8000\n",
    messages: ['w.yaml:2: server.prot: must be a known key: did you mean "server.port"'],
  },
  {
    name: "a known key in the wrong section",
    text: "drainTimeout: 5s\n",
    messages: ['w.yaml:1: drainTimeout: must be a known key: did you mean "server.drainTimeout"'],
  },
  {
    name: "an unknown key far from all",
    text: "tracing:\n  enabled: true\n  zzzzzz: 1\n",
    messages: ["w.yaml:3: tracing.zzzzzz: must be a known key: known keys are enabled, sampleRatio"],
  },
  {
    name: "a wrong type",
    text: 'server:\n  port: "http"\n',
    messages: ['w.yaml:2: server.port: must be an integer from 0 to 65535: current value is "http"'],
  },
  {
    name: "a fraction for an integer",
    text: "workers: 1.5",
    messages: ['w.yaml:1: workers: must be "auto" or an integer from 1 to 64: current value is 1.5'],
  },
  {
    name: "a number out of range",
    text: "pool:\n  capacity: 2000",
    messages: ["w.yaml:2: pool.capacity: must be an integer from 1 to 1024: current value is 2000"],
  },
  {
    name: "a section that is empty",
    text: "server:\nworkers: 2\n",
    messages: ["w.yaml:1: server: must be a mapping of keys to values: current value is null"],
  },
  {
    name: "a document that is no mapping",
    text: "- a\n- b\n",
    messages: ['w.yaml:1: must be a mapping of keys to values: current value is ["a","b"]'],
  },
  {
    name: "a duration without a unit",
    text: "server: {drainTimeout: 30}",
    messages: [
      'w.yaml:1: server.drainTimeout: must be a duration from 0ms to 1h, such as "500ms" or "30s": current value is 30',
    ],
  },
  {
    name: "a size without a unit where the key does not name one",
    text: "memory: {prefixTree: 1024}",
    messages: [
      'w.yaml:1: memory.prefixTree: must be a size from 1MiB to 3GiB, such as "64MiB": current value is 1024',
    ],
  },
  {
    name: "a choice that is none",
    text: "scheduling:\n  policy: fastest\n",
    messages: [
      "w.yaml:2: scheduling.policy: must be one of default, predicted, llm-d, random, round-robin, least-request: " +
      'current value is "fastest"',
    ],
  },
  {
    name: "an endpoint that is no URL",
    text: "endpoints:\n  - http://a:1\n  - 10.0.0.1:8000\n",
    messages: [`w.yaml:3: endpoints[1].url: must be ${urlForm}: current value is "10.0.0.1:8000"`],
  },
  {
    name: "an endpoint URL with a path",
    text: "endpoints: [http://a:1/v1]\n",
    messages: [`w.yaml:1: endpoints[0].url: must be ${urlForm}: current value is "http://a:1/v1"`],
  },
  {
    name: "a missing key",
    text: "endpoints:\n  - http://a:1\n  - name: b\nobjectives:\n  - name: x\n",
    messages: [
      `w.yaml:3: endpoints[1].url: must be ${urlForm}: it is missing`,
      "w.yaml:5: objectives[0].priority: must be an integer from -2147483648 to 2147483647: it is missing",
    ],
  },
  {
    name: "a label that is no string",
    text: "endpoints:\n  - url: http://a:1\n    labels:\n      gpu: 8\n",
    messages: ["w.yaml:4: endpoints[0].labels.gpu: must be a non-empty string: current value is 8"],
  },
  {
    name: "two endpoints of one name or one address",
    text: "endpoints:\n  - {url: http://a:1, name: x}\n  - {url: http://b:1, name: x}\n  - https://a:1\n",
    messages: [
      'w.yaml:3: endpoints[1].name: must be unique: "x" is already used by endpoints[0] (w.yaml:2)',
      'w.yaml:4: endpoints[2]: must be unique: "a:1" is already used by endpoints[0] (w.yaml:2)',
    ],
  },
  {
    name: "two rules, two objectives, two DNS names alike",
    text: `
models:
  rewrites:
    - {name: r, targets: [{model: m}]}
    - {name: r, match: [a], targets: [{model: m}]}
objectives:
  - {name: o, priority: 1}
  - {name: o, priority: 2}
discovery:
  dns:
    - {name: vllm.local}
    - {name: vllm.local}
`,
    messages: [
      'w.yaml:5: models.rewrites[1].name: must be unique: "r" is already used by models.rewrites[0] (w.yaml:4)',
      'w.yaml:8: objectives[1].name: must be unique: "o" is already used by objectives[0] (w.yaml:7)',
      'w.yaml:12: discovery.dns[1].name: must be unique: "vllm.local" is already used by discovery.dns[0] (w.yaml:11)',
    ],
  },
  {
    name: "a rule without a target, a weight out of range",
    text: "models:\n  rewrites:\n    - {name: a, targets: []}\n    - {name: b, targets: [{model: m, weight: 0}]}\n",
    messages: [
      "w.yaml:3: models.rewrites[0].targets: must be a list with at least one target: current value is []",
      "w.yaml:4: models.rewrites[1].targets[0].weight: must be an integer from 1 to 1000000: current value is 0",
    ],
  },
  {
    name: "a key that stands twice",
    text: "server:\n  port: 1\nworkers: 1\nserver:\n  port: 2\n",
    messages: ["w.yaml:4: server: must appear once: it already stands on line 1"],
  },
  {
    name: "text that is no YAML",
    text: "server: {port: 1\nworkers: 1\n",
    messages: [
      "w.yaml:2: must be valid YAML: Flow map in block collection must be sufficiently indented and end with a }",
    ],
  },
  {
    name: "a document of another kind",
    text: "apiVersion: v1\nkind: ConfigMap\n",
    messages: ['w.yaml:2: kind: must be EndpointPickerConfig or absent: current value is "ConfigMap"'],
  },
  {
    name: "several mistakes at once, in the order of the lines",
    text: "workers: none\nserver:\n  host: 1\n  ports: 1\nendpoints: http://a:1\n",
    messages: [
      'w.yaml:1: workers: must be "auto" or an integer from 1 to 64: current value is "none"',
      "w.yaml:3: server.host: must be a non-empty string: current value is 1",
      'w.yaml:4: server.ports: must be a known key: did you mean "server.port"',
      `w.yaml:5: endpoints: must be a list; each item ${urlForm}, or a mapping: current value is "http://a:1"`,
    ],
  },
];

for (const { name, text, messages } of mistakes) {
  Deno.test(`loadConfigText() names file, line and key of ${name}`, () => {
    throws(() => loadConfigText(text, "w.yaml"), (error: Error) => {
      ok(error instanceof ConfigError);
      deepStrictEqual(error.message.split("\n"), messages);
      if (error instanceof ConfigErrors) equal(error.problems.length, error.message.split("\n").length);
      else equal(messages.length, 1);
      return true;
    });
  });
}

Deno.test("loadConfigText() reads JSON", () => {
  const raw = loadConfigText('{\n\t"server": {"port": 1234, "bodyBytesMax": 4096}\n}', "w.json");
  deepStrictEqual(raw.values, { server: { port: 1234, bodyBytesMax: 4096 } });
});

Deno.test("loadConfigText() takes an empty file as all defaults", () => {
  deepStrictEqual(resolveConfig(loadConfigText("# nothing yet\n", "w.yaml")), resolveConfig());
});

Deno.test("loadConfigText() follows anchors to their line", () => {
  const text = "pool:\n  health: &h\n    interval: 1\nendpoints:\n  - {url: http://a:1, labels: &l {a: 1}}\n";
  throws(
    () => loadConfigText(text, "w.yaml"),
    /w\.yaml:3: pool\.health\.interval.*\nw\.yaml:5: endpoints\[0\]\.labels\.a/,
  );
});

Deno.test("loadConfigText() hands an EndpointPickerConfig on as it is", () => {
  const text = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n- type: queue-scorer\n";
  const raw = loadConfigText(text, "epp.yaml");
  deepStrictEqual(raw.values, {});
  const config = resolveConfig(raw);
  deepStrictEqual(config.scheduling, {
    from: "endpoint-picker-config",
    source: { text, fileName: "epp.yaml" },
    seed: undefined,
  });
  deepStrictEqual({ ...config, scheduling: 0 }, { ...resolveConfig(), scheduling: 0 });
});

Deno.test("loadConfigText() answers a value or a ConfigError for any text", () => {
  const yamlish = fc.string({
    unit: fc.constantFrom("server", "port", ": ", "\n", "  ", "- ", "{", "}", "[", "]", '"', "&a", "*a", "1", "x", "#"),
  });
  fc.assert(
    fc.property(fc.oneof(yamlish, fc.string(), fc.json()), (text) => {
      try {
        loadConfigText(text, "w.yaml");
      } catch (error) {
        ok(error instanceof ConfigError, String(error));
        ok(/^w\.yaml(:\d+)?: /.test(error.message), error.message);
      }
    }),
    { seed: 7, numRuns: 500 },
  );
});

Deno.test("loadConfigText() refuses aliases that expand without end", () => {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 9; i++) lines.push(`a${i}: &a${i} [${Array(10).fill(`*a${i - 1}`).join(", ")}]`);
  throws(() => loadConfigText(lines.join("\n"), "w.yaml"), /w\.yaml: must be valid YAML: Excessive alias count/);
});
