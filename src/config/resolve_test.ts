import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import {
  configReference,
  loadConfigText,
  mergeOverrides,
  overridesFromEnv,
  overridesFromFlags,
  parseBytes,
  parseDurationMs,
  referenceRows,
  resolveConfig,
} from "./mod.ts";

const load = (text: string) => resolveConfig(loadConfigText(text, "w.yaml"));

Deno.test("resolveConfig() fills every default and freezes all of it", () => {
  const config = resolveConfig();
  equal(config.server.port, 8000);
  equal(config.admin.host, "127.0.0.1");
  equal(config.upstream.attemptsMax, 3);
  equal(config.memory.prefixTreeBytes, 256 * 2 ** 20);
  deepStrictEqual(config.scheduling, { from: "policy", policy: "default", seed: undefined });
  deepStrictEqual(config.warnings, []);
  const unfrozen = (value: unknown, key: string): string[] =>
    typeof value !== "object" || value === null ? [] : [
      ...(Object.isFrozen(value) ? [] : [key]),
      ...Object.entries(value).flatMap(([k, v]) => unfrozen(v, `${key}.${k}`)),
    ];
  deepStrictEqual(unfrozen(config, "config"), []);
  deepStrictEqual(unfrozen(load("endpoints: [{url: http://a:1, labels: {x: y}}]"), "config"), []);
});

Deno.test("resolveConfig() reads what is done about failures, and derives what is absent from what it must fit", () => {
  const plain = resolveConfig();
  deepStrictEqual(plain.upstream.retryBudget, { ratio: 0.1, minPerSecond: 1, burst: 100 });
  deepStrictEqual([plain.upstream.hedge.after, plain.upstream.continuation], [undefined, false]);
  equal(plain.upstream.firstTokenTimeoutMs, plain.upstream.firstByteTimeoutMs);
  ok(plain.pool.ejection.probeTimeoutMs > 2 * plain.upstream.firstByteTimeoutMs);
  const { pool: { ejection }, upstream, server } = load(`
server: {overload: {loopLag: 2s, requestsMax: 100}}
pool: {ejection: {errorRate: 0.25, slowFactor: 2.5, window: 1m, slowFloor: 0ms, probeTimeout: 5s, probes: 1}}
upstream:
  firstByteTimeout: 10s
  hedge: {after: p95, promptTokensMax: 9}
  retryBudget: {minPerSecond: 0.5}
  continuation: true
`);
  deepStrictEqual(server.overload, { loopLagMs: 2000, requestsMax: 100 });
  deepStrictEqual(
    [ejection.errorRate, ejection.slowFactor, ejection.windowMs, ejection.slowFloorMs, ejection.probeTimeoutMs],
    [0.25, 2.5, 60_000, 0, 5000],
  );
  deepStrictEqual([ejection.probes, ejection.failures], [1, 5]);
  deepStrictEqual(upstream.hedge, { after: "p95", promptTokensMax: 9 });
  deepStrictEqual(upstream.retryBudget, { ratio: 0.1, minPerSecond: 0.5, burst: 100 });
  deepStrictEqual([upstream.firstTokenTimeoutMs, upstream.continuation], [10_000, true]);
  equal(load("upstream: {hedge: {after: 250ms}}").upstream.hedge.after, 250);
  throws(() => load("upstream: {hedge: {after: p90}}"), /upstream\.hedge\.after: must be "p95" or a duration from 1ms/);
  throws(() => load("upstream: {retryBudget: {ratio: 2}}"), /must be a number from 0 to 1: current value is 2/);
  const { warnings } = load("upstream: {attemptsMax: 1, continuation: true, hedge: {after: p95}}");
  deepStrictEqual(warnings.map((line) => line.split(":")[0]), ["upstream.hedge", "upstream.continuation"]);
});

Deno.test("resolveConfig() gives the defaults that the reference names", () => {
  const resolved = resolveConfig();
  const endpoint = load("endpoints: [http://a:1]").endpoints[0];
  const dns = load("discovery: {dns: [{name: x}]}").discovery.dns[0];
  const rule = load("models: {rewrites: [{name: x, targets: [{model: m}]}]}").models.rules[0];
  const roots: readonly [string, object][] = [
    ["endpoints[].", endpoint],
    ["discovery.dns[].", dns],
    ["models.rewrites[].", rule],
    ["keys.list[].", load(`keys: {list: [{id: a, hash: "sha256:${"0".repeat(64)}"}]}`).keys.list[0]],
    ["flow.bands[].", load("flow: {bands: [{priority: 1}]}").flow.bands[0]],
    ["flow.tenants[].", load("flow: {tenants: [{name: t}]}").flow.tenants.t],
    ["", resolved],
  ];
  let checked = 0;
  for (const { key, default: shown } of referenceRows()) {
    if (shown === undefined) continue;
    const [prefix, root] = roots.find(([prefix]) => key.startsWith(prefix))!;
    const path = key.slice(prefix.length).split(".");
    const parent = path.slice(0, -1).reduce((at, part) => (at as Record<string, object>)[part], root) as Record<
      string,
      unknown
    >;
    const last = path[path.length - 1];
    const value = parent[last] ?? parent[`${last}Ms`] ?? parent[`${last}Bytes`];
    const written = parseDurationMs(shown) ?? parseBytes(shown) ?? shown;
    equal(String(value), String(written), key);
    checked++;
  }
  ok(checked > 40, `${checked} defaults`);
});

Deno.test("resolveConfig() completes an endpoint from the pool's settings", () => {
  const config = load(`
pool: {health: {kind: grpc, path: /ping}, load: {path: /stats}}
endpoints:
  - http://10.0.0.1
  - {url: "https://[::1]:8443", name: b, engine: sglang, health: {kind: http, port: 9}, metrics: {port: 7, path: /m}}
`);
  deepStrictEqual(config.endpoints, [
    {
      url: "http://10.0.0.1:80",
      scheme: "http",
      host: "10.0.0.1",
      port: 80,
      name: "10.0.0.1:80",
      labels: {},
      models: [],
      engine: "vllm",
      health: { kind: "grpc", port: 80, path: "/ping" },
      metrics: { port: 80, path: "/stats" },
      feed: { kind: "none", host: undefined, port: 0, replayPort: undefined, topic: "", tls: false },
      ranks: 1,
    },
    {
      url: "https://[::1]:8443",
      scheme: "https",
      host: "[::1]",
      port: 8443,
      name: "b",
      labels: {},
      models: [],
      engine: "sglang",
      health: { kind: "http", port: 9, path: "/ping" },
      metrics: { port: 7, path: "/m" },
      feed: { kind: "none", host: undefined, port: 0, replayPort: undefined, topic: "", tls: false },
      ranks: 1,
    },
  ]);
});

Deno.test("resolveConfig() completes a feed: from the pool's, and with its kind's port", () => {
  const config = load(`
feed: {kind: zmq, port: 6000, replayPort: 6001, topic: "kv@"}
endpoints:
  - http://a:1
  - {url: "http://b:1", ranks: 4, feed: {host: c, port: 7000}}
  - {url: "http://d:1", feed: {kind: agent, tls: true}}
  - {url: "http://e:1", feed: {kind: none}}
`);
  const shared = { kind: "zmq", replayPort: 6001, topic: "kv@", tls: false };
  const none = { replayPort: undefined, topic: "", host: undefined };
  deepStrictEqual(config.endpoints.map(({ feed }) => feed), [
    { ...shared, host: undefined, port: 6000 },
    { ...shared, host: "c", port: 7000 },
    { ...none, kind: "agent", port: 9700, tls: true },
    { ...none, kind: "none", port: 0, tls: false },
  ]);
  equal(config.endpoints[1].ranks, 4);
});

Deno.test("resolveConfig() gives a model with a directory that source, and asks for one where it is needed", () => {
  const config = load("tokens: {source: render, models: [{model: a, directory: /t}, {model: b, source: tokenize}]}");
  deepStrictEqual(config.tokens.models.map(({ source }) => source), ["directory", "tokenize"]);
  throws(
    () => load("tokens:\n  models:\n    - {model: a, source: directory}\n"),
    (error: Error) => error.message.includes("tokens.models[0].directory") && error.message.includes(":3"),
  );
});

Deno.test("resolveConfig() lets flags win over environment over file over default", () => {
  const raw = loadConfigText("server: {port: 1}\nadmin: {port: 2}\nworkers: 3\nendpoints: [http://file:1]", "w.yaml");
  const env = overridesFromEnv({ WARMPATH_ADMIN_PORT: "20", WARMPATH_WORKERS: "30", WARMPATH_PORT: "", OTHER: "x" });
  const flags = overridesFromFlags({ workers: "50", endpoints: "http://a:1, http://b:2" });
  const config = resolveConfig(raw, mergeOverrides(flags, env));
  equal(config.server.port, 1);
  equal(config.admin.port, 20);
  equal(config.workers, 50);
  deepStrictEqual(config.endpoints.map(({ url }) => url), ["http://a:1", "http://b:2"]);
});

Deno.test("overridesFromEnv() names every variable that is wrong", () => {
  throws(() => overridesFromEnv({ WARMPATH_PORT: "http", WARMPATH_WORKERS: "0" }), {
    message: 'WARMPATH_PORT: must be an integer from 0 to 65535: current value is "http"\n' +
      'WARMPATH_WORKERS: must be "auto" or an integer from 1 to 64: current value is "0"',
  });
});

Deno.test("overridesFromFlags() names the flag that is wrong", () => {
  throws(
    () => overridesFromFlags({ endpoints: "http://a:1,http://a:1" }),
    /^ConfigError: --endpoints: must be a comma-sep/,
  );
  throws(
    () => overridesFromFlags({ endpoints: "http://a:1,a" }),
    /^ConfigError: --endpoints: must be a comma-separated/,
  );
  throws(() => overridesFromFlags({ port: "-1" }), /^ConfigError: --port: must be an integer from 0 to 65535/);
  throws(() => overridesFromFlags({ config: "" }), { message: '--config: must be a path: current value is ""' });
});

const relations: readonly { text: string; message: string }[] = [
  {
    text: "pool:\n  load:\n    staleAfter: 1s\n",
    message: "w.yaml:3: pool.load.staleAfter: must be at least pool.load.idleInterval (2s): current value is 1s",
  },
  {
    text: "pool:\n  load:\n    busyInterval: 5s\n",
    message: "w.yaml:2: pool.load.idleInterval: must be at least pool.load.busyInterval (5s): current value is 2s",
  },
  {
    text: "pool: {ejection: {time: 2m}}",
    message: "w.yaml:1: pool.ejection.timeMax: must be at least pool.ejection.time (2m): current value is 30s",
  },
  {
    text: "server: {tls: {certFile: a.pem}}",
    message: "w.yaml:1: server.tls.keyFile: must be set: TLS needs a certificate and its key",
  },
  {
    text: "upstream: {tls: {keyFile: a.pem}}",
    message: "w.yaml:1: upstream.tls.certFile: must be set: TLS needs a certificate and its key",
  },
  {
    text: "admin:\n  tls: {certFile: a, keyFile: b, clientCaFile: c}",
    message:
      "w.yaml:2: admin.tls.clientCaFile: must be absent: the runtime's TLS cannot ask clients for certificates; " +
      "put a proxy that does in front",
  },
  {
    text: "server: {port: 9090}",
    message: "w.yaml:1: admin.port: must differ from server.port: current value is 9090",
  },
  {
    text: "pool: {capacity: 1}\nendpoints: [http://a:1, http://b:1]",
    message: "w.yaml:2: endpoints: must be at most pool.capacity (1) endpoints: current number is 2",
  },
  {
    text: "pool: {capacity: 8}\nendpoints: [{url: http://a:1, ranks: 8}, http://b:1]",
    message: "w.yaml:2: endpoints: must be at most pool.capacity (8) endpoints: current number is 9",
  },
  {
    text: "endpoints:\n  - {url: http://a:1, feed: {port: 5557}}",
    message: "w.yaml:2: endpoints[0].feed.kind: must be given where port is: it is missing",
  },
  {
    text: "endpoints: [http://a:1]\nfeed: {tls: true, grace: 1s}",
    message: "w.yaml:2: feed.kind: must be given where tls is: it is missing",
  },
  {
    text: "feed: {kind: zmq, tls: true}",
    message: "w.yaml:1: feed.tls: must be absent or false where kind is zmq, which has no TLS",
  },
  {
    text: "feed: {kind: zmq, port: 5557, replayPort: 5557}\nendpoints: [http://a:1]",
    message: "w.yaml:1: feed.replayPort: must be apart from the feed's port 5557: current value is 5557",
  },
  {
    text: "feed: {kind: zmq, replayPort: 5558}\nendpoints:\n  - {url: http://a:1, ranks: 4}",
    message: "w.yaml:3: endpoints[0].feed.replayPort: must be apart from the feed's ports 5557 to 5560, one a rank: " +
      "current value is 5558",
  },
  {
    text: "endpoints:\n  - {url: http://a:1, ranks: 4, feed: {kind: zmq, port: 65533}}",
    message: "w.yaml:2: endpoints[0].feed.port: must be at most 65532, as each of 4 ranks adds its number: " +
      "current value is 65533",
  },
  {
    text: "tokens:\n  models:\n    - {model: a, directory: x}\n    - {model: a, source: render}",
    message: 'w.yaml:4: tokens.models[1].model: must be unique: "a" is already used by tokens.models[0]',
  },
  {
    text: "prefix: {blockTokens: 128, tokensMax: 64}",
    message: "w.yaml:1: prefix.tokensMax: must be at least prefix.blockTokens (128): current value is 64",
  },
  {
    text: "models:\n  aliases:\n    a: b\n  rewrites: [{name: r, match: [a], targets: [{model: c}]}]",
    message: 'w.yaml:3: models.aliases.a: must not be matched by rewrite "r" as well',
  },
  {
    text: "scheduling:\n  policy: random\n  plugins: []\n",
    message: "w.yaml:3: scheduling.plugins: must be absent when scheduling.policy is set: only one of them can decide",
  },
  {
    text: "scheduling:\n  schedulingProfiles: []\n",
    message:
      "w.yaml:2: scheduling.schedulingProfiles: must stand beside scheduling.plugins, whose instances it refers to: " +
      "scheduling.plugins is missing",
  },
];

for (const { text, message } of relations) {
  Deno.test(`resolveConfig() refuses ${message.split(": ")[1]} that ${message.split(": ")[2]}`, () => {
    throws(() => load(text), { name: "ConfigError", message });
  });
}

Deno.test("resolveConfig() takes names and addresses for a feed's host, and neither ports nor URLs", () => {
  const host = (host: string) => load(`endpoints: [{url: http://a:1, feed: {kind: zmq, host: "${host}"}}]`);
  for (const good of ["a", "kv-0.pods.svc", "10.0.0.1", "::1", "[fd00::1]"]) {
    equal(host(good).endpoints[0].feed.host, good);
  }
  for (const bad of ["a b", "10.0.0.1:5557", "tcp://10.0.0.1", "[::1]:5557"]) {
    throws(() => host(bad), /endpoints\[0\]\.feed\.host: must be a host name or an address, without scheme and port: /);
  }
});

Deno.test("resolveConfig() keeps inline plugins as they are and knows their lines", () => {
  const { scheduling } = load(`
scheduling:
  seed: 7
  plugins:
    - type: queue-scorer
    - type: max-score-picker
      parameters: {maxNumOfEndpoints: 2}
  schedulingProfiles:
    - name: default
      plugins: [{pluginRef: queue-scorer, weight: 2}]
`);
  equal(scheduling.from, "plugins");
  if (scheduling.from !== "plugins") return;
  deepStrictEqual(scheduling.plugins, [
    { type: "queue-scorer" },
    { type: "max-score-picker", parameters: { maxNumOfEndpoints: 2 } },
  ]);
  equal(scheduling.seed, 7);
  equal(scheduling.where!(["plugins", 1, "parameters"]), "w.yaml:7");
  equal(scheduling.where!(["schedulingProfiles", 0, "plugins", 0, "pluginRef"]), "w.yaml:10");
});

Deno.test("resolveConfig() warns of what works but is likely not meant", () => {
  const { warnings } = load(`
endpoints: [{url: http://a:1, engine: vlm}, {url: http://b:1, feed: {kind: vllm-grpc, topic: x}}]
feed: {kind: agent, replayPort: 5558}
tokens: {models: [{model: m, source: render, directory: /t}]}
models:
  rewrites:
    - {name: mixed, match: [a], targets: [{model: x, weight: 1}, {model: y}]}
    - {name: late, match: [a], targets: [{model: x}]}
    - {name: any, targets: [{model: x}]}
    - {name: any2, targets: [{model: x}]}
`);
  deepStrictEqual(warnings, [
    'models.rewrites: rule "mixed" never chooses y: only targets with a weight are drawn where some have one',
    'models.rewrites: rule "late" never sees model "a": rule "mixed" comes first',
    'models.rewrites: rule "any2" never sees every model: rule "any" comes first',
    "feed: replayPort and topic have no effect where kind is agent",
    "endpoint b:1: feed.replayPort and feed.topic have no effect where kind is vllm-grpc",
    'tokens.models: the directory of model "m" has no effect where source is render',
    'endpoint a:1: engine "vlm" is not built in: a core-metrics-extractor must define it',
  ]);
});

Deno.test("configReference() has one row a key, each with a form and a meaning", () => {
  const rows = referenceRows();
  equal(new Set(rows.map(({ key }) => key)).size, rows.length);
  ok(rows.every(({ form, about }) => form.length > 0 && about.length > 0));
  const text = configReference();
  equal(text.split("\n").length, rows.length + 3);
  ok(text.includes('| `server.drainTimeout` | a duration from 0ms to 1h, such as "500ms" or "30s" | `30s` | How long'));
  ok(text.includes("| `models.rewrites[].targets[].weight` |"));
  ok(text.includes("| `endpoints[].health.kind` |"));
});

Deno.test("the addresses to listen on follow flags, then variables, then the file", () => {
  const flags = overridesFromFlags({ adminHost: "0.0.0.0" });
  const env = overridesFromEnv({ WARMPATH_HOST: "127.0.0.1", WARMPATH_ADMIN_HOST: "10.0.0.1" });
  const config = resolveConfig(loadConfigText("server: {host: 10.0.0.9}", "w.yaml"), mergeOverrides(flags, env));
  equal(config.server.host, "127.0.0.1");
  equal(config.admin.host, "0.0.0.0");
  throws(() => overridesFromFlags({ host: "a b" }), /^ConfigError: --host: must be an address to listen on/);
});
