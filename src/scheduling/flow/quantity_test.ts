import { equal } from "node:assert/strict";
import { quantity } from "./quantity.ts";

Deno.test("quantity reads Kubernetes quantities as whole numbers, rounded up", () => {
  for (
    const [input, value] of [
      ["10Gi", 10 * 2 ** 30],
      ["1k", 1000],
      ["500M", 500_000_000],
      ["1.5Ki", 1536],
      ["200", 200],
      [200, 200],
      ["+3", 3],
      ["2.", 2],
      [".5", 1],
      ["1500m", 2],
      ["1e3", 1000],
      ["2E", Number.MAX_SAFE_INTEGER],
      ["2E2", 200],
      ["8Ei", Number.MAX_SAFE_INTEGER],
      ["0", undefined],
      [0, undefined],
      [null, undefined],
      [undefined, undefined],
    ] as const
  ) equal(quantity.parse(input), value, String(input));
});

Deno.test("quantity refuses what is negative or none", () => {
  for (const input of ["-1", "-1Gi", -5, "1 Gi", "1K", "1kB", "many", "", "Gi", "1e", true, {}]) {
    equal(quantity.safeParse(input).success, false, String(input));
  }
});
