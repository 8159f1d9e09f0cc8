import { equal } from "node:assert/strict";
import fc from "fast-check";
import { formatBytes, formatDuration, parseBytes, parseDurationMs } from "./units.ts";

Deno.test("parseDurationMs() reads units and sums, and nothing else", () => {
  for (
    const [text, ms] of [
      ["500ms", 500],
      ["30s", 30_000],
      ["1.5s", 1500],
      ["1m30s", 90_000],
      ["2h", 7_200_000],
      ["0", 0],
      ["30", undefined],
      ["-1s", undefined],
      ["1 s", undefined],
      ["s", undefined],
      ["", undefined],
    ] as const
  ) equal(parseDurationMs(text), ms, text);
});

Deno.test("parseBytes() reads binary and decimal units, and whole bytes only", () => {
  for (
    const [text, bytes] of [
      ["64MiB", 64 * 2 ** 20],
      ["1.5GiB", 1.5 * 2 ** 30],
      ["2 GB", 2e9],
      ["512B", 512],
      ["0.5B", undefined],
      ["64", undefined],
      ["64mb", undefined],
      ["-1MiB", undefined],
    ] as const
  ) equal(parseBytes(text), bytes, text);
});

Deno.test("formatDuration() and formatBytes() are read back as the same number", () => {
  fc.assert(fc.property(fc.nat(), (n) => {
    equal(parseDurationMs(formatDuration(n)), n);
    equal(parseBytes(formatBytes(n)), n);
  }));
});
