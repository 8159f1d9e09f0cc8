import { equal } from "node:assert/strict";
import { normalHost } from "./discovery.ts";

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
