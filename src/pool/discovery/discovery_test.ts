import { deepStrictEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { ConfigError, Prng, systemClock, VirtualClock } from "../../core/mod.ts";
import { type DiscoveredEndpoint, endpointId, normalHost } from "./discovery.ts";
import { DnsDiscovery, type DnsOptions, type DnsResolver } from "./dns.ts";
import { endpointFileBytesMax, loadEndpointFile } from "./endpoint_file.ts";
import { FileDiscovery } from "./file.ts";
import { parseEndpointUrl, parseEndpointUrls } from "./static.ts";

const ids = (list: readonly DiscoveredEndpoint[]) => list.map(endpointId);

function configError(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  throw new Error("nothing was thrown");
}

Deno.test("normalHost() takes names and addresses and refuses the rest", () => {
  const table: [string, string | undefined][] = [
    ["vLLM-0.svc.cluster.local.", "vllm-0.svc.cluster.local"],
    ["10.0.0.7", "10.0.0.7"],
    ["::1", "[::1]"],
    ["[2001:DB8:0:0::1]", "[2001:db8::1]"],
    ["a_b", "a_b"],
    ["10.0.0.256", undefined],
    ["10.0.7", undefined],
    ["010.0.0.7", undefined],
    ["-a.b", undefined],
    ["a b", undefined],
    ["a/b", undefined],
    ["", undefined],
    ["::zz", undefined],
    ["a@b", undefined],
    ["x".repeat(64), undefined],
  ];
  for (const [text, want] of table) equal(normalHost(text), want, text);
});

Deno.test("parseEndpointUrl() reads scheme, host and port", () => {
  deepStrictEqual(parseEndpointUrl("http://h:8000", "w", "k"), { scheme: "http", host: "h", port: 8000, labels: {} });
  equal(parseEndpointUrl("https://10.0.0.1/", "w", "k").port, 443);
  equal(parseEndpointUrl("http://[::1]:80", "w", "k").port, 80);
});

Deno.test("parseEndpointUrl() refuses everything an endpoint is not", () => {
  for (
    const bad of [
      "h:8000",
      "10.0.0.1:8000",
      "ftp://h",
      "http://h:8000/v1",
      "http://u:p@h",
      "http://h?x=1",
      "http://",
      "",
    ]
  ) {
    match(
      configError(() => parseEndpointUrl(bad, "--endpoints", "endpoints[0]")),
      /^--endpoints: endpoints\[0\]: must/,
      bad,
    );
  }
  match(
    configError(() => parseEndpointUrls(["http://h", "http://h:80"], "w", "e")),
    /e\[1\]: must be unique: h:80 .* e\[0\]/,
  );
});

Deno.test("loadEndpointFile() reads YAML and JSON alike", () => {
  const want = [{
    name: "a",
    namespace: "prod",
    host: "10.0.0.1",
    port: 8000,
    labels: { role: "decode" },
    scheme: "http",
    engine: undefined,
    models: undefined,
    health: undefined,
  }, {
    name: "b",
    namespace: "default",
    host: "b.example",
    port: 8001,
    labels: {},
    scheme: "https",
    engine: "sglang",
    models: ["m"],
    health: { kind: "grpc", port: 9000, service: "x" },
  }];
  const yaml = `endpoints:
  - {name: a, namespace: prod, address: 10.0.0.1, port: "8000", labels: {role: decode}}
  - name: b
    address: B.example
    port: 8001
    scheme: https
    engine: sglang
    models: [m]
    health: {grpc: {port: 9000, service: x}}
`;
  deepStrictEqual(loadEndpointFile(yaml, "f"), want);
  const json = JSON.stringify({
    endpoints: [
      { name: "a", namespace: "prod", address: "10.0.0.1", port: "8000", labels: { role: "decode" } },
      {
        name: "b",
        address: "B.example",
        port: 8001,
        scheme: "https",
        engine: "sglang",
        models: ["m"],
        health: { grpc: { port: 9000, service: "x" } },
      },
    ],
  });
  deepStrictEqual(loadEndpointFile(json, "f"), want);
  deepStrictEqual(loadEndpointFile("endpoints: []", "f"), []);
});

const head = "endpoints:\n  - name: a\n    address: 10.0.0.1\n    port: 80\n";

const mistakes: [name: string, text: string, message: string][] = [
  ["a missing list", "{}", "f:1: endpoints: must be a list of endpoints: it is missing"],
  ["an empty file", "", "f:1: must be a mapping with endpoints"],
  ["a list that is none", "endpoints: 5", "f:1: endpoints: must be a list: current value is 5"],
  [
    "an unknown key at the top",
    "endpoints: []\nendpoint: []",
    "f:2: endpoint: is not a known key: expected one of endpoints",
  ],
  [
    "an unknown key in an endpoint",
    `${head}    prot: 1\n`,
    "f:5: endpoints[0].prot: is not a known key: expected one of name, namespace, address, port, labels, scheme, engine, models, health",
  ],
  ["a missing key", "endpoints:\n  - name: a\n    port: 1\n", "f:2: endpoints[0].address: is required"],
  [
    "a bad port",
    head.replace("80", "80000"),
    "f:4: endpoints[0].port: must be a port from 1 to 65535: current value is 80000",
  ],
  [
    "a port that is no number",
    head.replace("80", "http"),
    'f:4: endpoints[0].port: must be a port from 1 to 65535: current value is "http"',
  ],
  [
    "a bad address",
    head.replace("10.0.0.1", "10.0.0"),
    'f:3: endpoints[0].address: must be an IPv4 or IPv6 address or a host name: current value is "10.0.0"',
  ],
  [
    "a label that is no string",
    `${head}    labels:\n      x: 1\n`,
    "f:6: endpoints[0].labels.x: must be a string (quote it): current value is 1",
  ],
  ["a name that is no string", head.replace("name: a", "name: [a]"), "f:2: endpoints[0].name: must be a single value"],
  [
    "a repeated name",
    `${head}  - name: a\n    address: 10.0.0.2\n    port: 80\n`,
    "f:5: endpoints[1].name: must be unique: default/a stands already at endpoints[0].name",
  ],
  [
    "a repeated address",
    `${head}  - name: b\n    address: 10.0.0.1\n    port: 80\n`,
    "f:6: endpoints[1].address: must be unique: 10.0.0.1:80 stands already at endpoints[0].address",
  ],
  [
    "an unknown scheme",
    `${head}    scheme: ftp\n`,
    'f:5: endpoints[0].scheme: must be http or https: current value is "ftp"',
  ],
  [
    "an unclear health check",
    `${head}    health: {}\n`,
    "f:5: endpoints[0].health: must be none, {path: /health} or {grpc: {port: 9000}}",
  ],
  ["a repeated key", `${head}    port: 81\n`, "f:5: must be YAML or JSON: Map keys must be unique"],
];

for (const [name, text, message] of mistakes) {
  Deno.test(`loadEndpointFile() names ${name} with its line`, () => {
    equal(configError(() => loadEndpointFile(text, "f")), message);
  });
}

Deno.test("loadEndpointFile() refuses broken YAML, long files and what an alias multiplies", () => {
  match(configError(() => loadEndpointFile("endpoints: [\n  {name: a", "f")), /^f:\d: must be YAML or JSON: /);
  match(configError(() => loadEndpointFile("#".repeat(endpointFileBytesMax + 1), "f")), /^f: must be at most 1048576/);
  const many = `endpoints:\n  - {name: a, address: h, port: 1, models: [${"m,".repeat(300)}]}`;
  match(configError(() => loadEndpointFile(many, "f")), /models: must hold at most 256/);
});

/** What a source said, and a way to wait for the next thing. */
class Listener {
  readonly lists: string[][] = [];
  readonly errors: string[] = [];
  #wake = () => {};

  readonly onChange = (list: readonly DiscoveredEndpoint[]) => (this.lists.push(ids(list)), this.#wake());
  readonly onError = (error: Error) => (this.errors.push(error.message), this.#wake());

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#wake = resolve);
  }
}

const fileText = (...ports: number[]) =>
  `endpoints:\n${ports.map((p) => `  - {name: e${p}, address: 10.0.0.1, port: ${p}}\n`).join("")}`;

async function inDirectory(fn: (path: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    await fn(`${directory}/endpoints.yaml`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("FileDiscovery follows a write in place, an atomic rename and a swapped link", () =>
  inDirectory(async (path) => {
    await Deno.writeTextFile(path, fileText(1));
    const source = new FileDiscovery(path, systemClock, { pollIntervalMs: 60_000 });
    const heard = new Listener();
    await source.start(heard.onChange, heard.onError);
    deepStrictEqual(heard.lists, [["10.0.0.1:1"]]);

    await Deno.writeTextFile(path, fileText(1, 2));
    await heard.until(() => heard.lists.length === 2);

    await Deno.writeTextFile(`${path}.new`, fileText(3));
    await Deno.rename(`${path}.new`, path);
    await heard.until(() => heard.lists.length === 3);

    await Deno.writeTextFile(`${path}.target`, fileText(4));
    await Deno.symlink(`${path}.target`, `${path}.link`);
    await Deno.rename(`${path}.link`, path);
    await heard.until(() => heard.lists.length === 4);
    source.stop();
    deepStrictEqual(heard.lists.slice(1), [["10.0.0.1:1", "10.0.0.1:2"], ["10.0.0.1:3"], ["10.0.0.1:4"]]);
    deepStrictEqual(heard.errors, []);
  }));

Deno.test("FileDiscovery keeps the old list while the file is bad or gone, says why once, and takes the mended file", () =>
  inDirectory(async (path) => {
    await Deno.writeTextFile(path, fileText(1));
    const source = new FileDiscovery(path, systemClock, { pollIntervalMs: 20, quietMs: 20 });
    const heard = new Listener();
    await source.start(heard.onChange, heard.onError);
    await Deno.writeTextFile(path, "endpoints:\n  - name: a\n");
    await heard.until(() => heard.errors.length === 1);
    equal(heard.errors[0], `${path}:2: endpoints[0].address: is required`);
    await Deno.remove(path);
    await heard.until(() => heard.errors.length === 2);
    match(heard.errors[1], /must be a readable file/);
    await source.check();
    await source.check();
    await Deno.writeTextFile(path, fileText(2));
    await heard.until(() => heard.lists.length === 2);
    source.stop();
    equal(heard.errors.length, 2);
    deepStrictEqual(heard.lists, [["10.0.0.1:1"], ["10.0.0.1:2"]]);
  }));

Deno.test("FileDiscovery polls where no notification comes", () =>
  inDirectory(async (path) => {
    // The link's directory stays still while its target elsewhere changes.
    const elsewhere = await Deno.makeTempDir();
    const target = `${elsewhere}/target`;
    await Deno.writeTextFile(target, fileText(1));
    await Deno.symlink(target, path);
    const source = new FileDiscovery(path, systemClock, { pollIntervalMs: 10, quietMs: 5 });
    const heard = new Listener();
    await source.start(heard.onChange, heard.onError);
    await Deno.writeTextFile(target, fileText(1, 2, 3));
    await heard.until(() => heard.lists.length === 2);
    source.stop();
    equal(heard.lists[1].length, 3);
    await Deno.remove(elsewhere, { recursive: true });
  }));

Deno.test("FileDiscovery refuses to start without a good file", () =>
  inDirectory(async (path) => {
    const { onChange, onError } = new Listener();
    const start = () => new FileDiscovery(path, systemClock).start(onChange, onError);
    await rejects(start(), ConfigError);
    await Deno.writeTextFile(path, "nonsense: 1");
    await rejects(start(), { message: `${path}:1: nonsense: is not a known key: expected one of endpoints` });
    await Deno.writeTextFile(path, "#".repeat(endpointFileBytesMax + 1));
    await rejects(start(), /at most 1048576 bytes/);
  }));

class FakeDns implements DnsResolver {
  a: string[] | Error = [];
  aaaa: string[] | Error = new Deno.errors.NotFound("no records");
  srv: { target: string; port: number }[] | Error = [];
  readonly asked: string[] = [];

  // deno-lint-ignore require-await -- A throw must become a rejection.
  async addresses(name: string, family: "A" | "AAAA") {
    this.asked.push(`${family} ${name}`);
    const answer = family === "A" ? this.a : this.aaaa;
    if (answer instanceof Error) throw answer;
    return answer;
  }

  // deno-lint-ignore require-await -- A throw must become a rejection.
  async services(name: string) {
    this.asked.push(`SRV ${name}`);
    if (this.srv instanceof Error) throw this.srv;
    return this.srv;
  }
}

function dns(options: Partial<DnsOptions>, resolver: DnsResolver, clock = new VirtualClock()) {
  const source = new DnsDiscovery({ name: "vllm.svc", type: "A", port: 8000, ...options }, {
    clock,
    prng: new Prng(1),
    resolver,
  });
  return { source, clock, heard: new Listener() };
}

/** Past one interval, and past the promises it sets going. */
async function nextLook(clock: VirtualClock): Promise<void> {
  clock.advance(11_000);
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

Deno.test("DnsDiscovery lists the addresses of both families and follows them", async () => {
  const resolver = new FakeDns();
  const { source, clock, heard } = dns({}, resolver);
  resolver.a = ["10.0.0.2", "10.0.0.1"];
  resolver.aaaa = ["2001:db8::1"];
  await source.start(heard.onChange, heard.onError);
  await nextLook(clock);
  resolver.a = ["10.0.0.1", "10.0.0.3"];
  await nextLook(clock);
  source.stop();
  await nextLook(clock);
  deepStrictEqual(heard.lists, [
    ["10.0.0.1:8000", "10.0.0.2:8000", "[2001:db8::1]:8000"],
    ["10.0.0.1:8000", "10.0.0.3:8000", "[2001:db8::1]:8000"],
  ]);
  equal(resolver.asked.length, 6);
});

Deno.test("DnsDiscovery keeps the old list when a lookup fails, is empty or is unsure", async () => {
  const resolver = new FakeDns();
  const { source, clock, heard } = dns({}, resolver);
  resolver.a = new Error("server failure");
  await source.start(heard.onChange, heard.onError);
  resolver.a = ["10.0.0.1"];
  await nextLook(clock);
  resolver.a = [];
  await nextLook(clock);
  await nextLook(clock);
  resolver.a = ["10.0.0.2"];
  resolver.aaaa = new Error("timed out");
  await nextLook(clock);
  source.stop();
  deepStrictEqual(heard.lists, [["10.0.0.1:8000"]]);
  const errors = heard.errors.map((e) => e.replace("Cannot look up dns vllm.svc, keeping the old list: ", ""));
  deepStrictEqual(errors, ["server failure", "the answer is empty", "timed out"]);
});

Deno.test("DnsDiscovery reads service records, with the service prefix it was given or the usual one", async () => {
  const resolver = new FakeDns();
  resolver.srv = [{ target: "b.svc.", port: 8001 }, { target: "a.svc.", port: 8000 }];
  const { source, heard } = dns({ type: "SRV", port: undefined, scheme: "https", engine: "sglang" }, resolver);
  await source.start(heard.onChange, heard.onError);
  source.stop();
  deepStrictEqual(heard.lists, [["a.svc:8000", "b.svc:8001"]]);
  const other = dns({ type: "SRV", name: "_grpc._tcp.vllm.svc" }, resolver);
  await other.source.start(other.heard.onChange, other.heard.onError);
  other.source.stop();
  deepStrictEqual(resolver.asked, ["SRV _http._tcp.vllm.svc", "SRV _grpc._tcp.vllm.svc"]);
});

Deno.test("DnsDiscovery gives a silent name server up at the deadline", async () => {
  const clock = new VirtualClock();
  const silent: DnsResolver = {
    addresses: (_n, _f, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    services: () => Promise.resolve([]),
  };
  const { source, heard } = dns({}, silent, clock);
  const started = source.start(heard.onChange, heard.onError);
  clock.advance(5000);
  await started;
  source.stop();
  match(heard.errors[0], /no answer within 5000 ms/);
});

Deno.test("DnsDiscovery refuses a bad name or port", () => {
  throws(() => dns({ name: "a b" }, new FakeDns()), ConfigError);
  throws(() => dns({ port: undefined }, new FakeDns()), ConfigError);
  throws(() => dns({ port: 70_000 }, new FakeDns()), ConfigError);
});
