import { deepStrictEqual } from "node:assert/strict";
import { createHash } from "node:crypto";
import { Prng } from "../../core/mod.ts";
import { sha256 } from "./sha256.ts";

Deno.test("sha256() agrees with the runtime's for every length, however the bytes are cut", () => {
  const prng = new Prng(7);
  for (let length = 0; length < 600; length++) {
    const bytes = Uint8Array.from({ length }, () => prng.below(256));
    const cut = prng.below(length + 1);
    const expected = new Uint8Array(createHash("sha256").update(bytes).digest());
    deepStrictEqual(sha256(bytes.subarray(0, cut), bytes.subarray(cut)), expected);
  }
});
