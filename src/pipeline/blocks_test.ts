import { deepStrictEqual } from "node:assert/strict";
import { extrasByBlock } from "./blocks.ts";

Deno.test("extrasByBlock() puts media in every block they overlap, in order, and the salt last in the first", () => {
  const media = [{ hash: "a", offset: 3, length: 13 }, { hash: "b", offset: 16, length: 1 }, {
    hash: "c",
    offset: 31,
    length: 2,
  }];
  deepStrictEqual([...extrasByBlock({ media, cacheSalt: "s" }, 16)], [
    [0, ["a", "s"]],
    [1, ["b", "c"]],
    [2, ["c"]],
  ]);
  deepStrictEqual([...extrasByBlock({ media: [] }, 16)], []);
});
