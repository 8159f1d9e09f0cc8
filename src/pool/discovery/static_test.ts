import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { parseEndpointUrl, parseEndpointUrls, StaticDiscovery } from "./static.ts";

Deno.test("parseEndpointUrl() reads scheme, host and port", () => {
  deepStrictEqual(parseEndpointUrl("http://h:8000", "w", "k"), { scheme: "http", host: "h", port: 8000, labels: {} });
  equal(parseEndpointUrl("https://10.0.0.1/", "w", "k").port, 443);
  deepStrictEqual(parseEndpointUrl("http://[::1]:80", "w", "k"), {
    scheme: "http",
    host: "[::1]",
    port: 80,
    labels: {},
  });
});

const mistakes: [text: string, expected: string][] = [
  ["h:8000", "must be a URL such as http://10.0.0.7:8000"],
  ["10.0.0.1:8000", "must be a URL such as http://10.0.0.7:8000"],
  ["ftp://h", "must be a URL such as http://10.0.0.7:8000"],
  ["http://", "must be a URL such as http://10.0.0.7:8000"],
  ["", "must be a URL such as http://10.0.0.7:8000"],
  ["http://h:8000/v1", "must not hold a path: an endpoint is scheme, host and port"],
  ["http://u:p@h", "must not hold a user or password"],
  ["http://h?x=1", "must not hold a query or fragment"],
  ["http://h:0", "must hold a port from 1 to 65535"],
];

for (const [text, expected] of mistakes) {
  Deno.test(`parseEndpointUrl() refuses "${text}"`, () => {
    throws(() => parseEndpointUrl(text, "--endpoints", "endpoints[0]"), {
      name: "ConfigError",
      message: `--endpoints: endpoints[0]: ${expected}: current value is "${text}"`,
    });
  });
}

Deno.test("parseEndpointUrls() refuses an endpoint named twice", () => {
  throws(() => parseEndpointUrls(["http://h", "https://g", "http://H:80"], "router.yaml:3", "endpoints"), {
    message: "router.yaml:3: endpoints[2]: must be unique: h:80 stands already at endpoints[0]",
  });
});

Deno.test("StaticDiscovery gives its list once, at start", async () => {
  const list = parseEndpointUrls(["http://h:1", "http://h:2"], "w", "k");
  const lists: unknown[] = [];
  const source = new StaticDiscovery(list);
  await source.start((desired) => lists.push(desired));
  source.stop();
  deepStrictEqual(lists, [list]);
});
