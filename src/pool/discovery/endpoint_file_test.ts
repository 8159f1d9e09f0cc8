import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { ConfigError } from "../../core/mod.ts";
import { endpointFileBytesMax, loadEndpointFile } from "./endpoint_file.ts";

function configError(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    ok(error instanceof ConfigError, String(error));
    return error.message;
  }
  throw new Error("nothing was thrown");
}

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
