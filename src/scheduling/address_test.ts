import { deepStrictEqual, equal } from "node:assert/strict";
import { endpointMeta } from "../core/mod.ts";
import { isListed, parseAddress, parseAddresses } from "./address.ts";

Deno.test("parseAddress() reads hosts, ports and IPv6 with and without brackets", () => {
  const cases: [string, ReturnType<typeof parseAddress>][] = [
    ["10.0.0.1", { host: "10.0.0.1" }],
    [" 10.0.0.1:8000 ", { host: "10.0.0.1", port: 8000 }],
    ["Node-A.local:1", { host: "node-a.local", port: 1 }],
    ["[fd00::1]:8000", { host: "fd00::1", port: 8000 }],
    ["[fd00::1]", { host: "fd00::1" }],
    ["fd00::1", { host: "fd00::1" }],
    ["host:", undefined],
    ["host:abc", undefined],
    ["host:0", undefined],
    ["host:65536", undefined],
    ["", undefined],
    ["[fd00::1", undefined],
  ];
  for (const [text, expected] of cases) deepStrictEqual(parseAddress(text), expected, text);
});

Deno.test("isListed() compares the port when one is given", () => {
  const v4 = endpointMeta({ host: "10.0.0.1", port: 8000 });
  const v6 = endpointMeta({ host: "[FD00::1]", port: 8000 });
  equal(isListed(v4, parseAddresses(["10.0.0.1"])), true);
  equal(isListed(v4, parseAddresses(["10.0.0.1:8000"])), true);
  equal(isListed(v4, parseAddresses(["10.0.0.1:8001"])), false);
  equal(isListed(v4, parseAddresses(["10.0.0.2", "bad:port:"])), false);
  equal(isListed(v6, parseAddresses(["[fd00::1]:8000"])), true);
  equal(isListed(v6, parseAddresses(["fd00::1"])), true);
});
