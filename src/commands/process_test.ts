import { deepStrictEqual } from "node:assert/strict";
import { callableHost } from "./process.ts";

Deno.test("callableHost() is this host where every address is listened on, and puts IPv6 in brackets", () => {
  deepStrictEqual(["0.0.0.0", "::", "::1", "10.0.0.1", "localhost"].map(callableHost), [
    "127.0.0.1",
    "127.0.0.1",
    "[::1]",
    "10.0.0.1",
    "localhost",
  ]);
});
