import { deepStrictEqual } from "node:assert/strict";
import { loadConfigText, resolveConfig } from "../config/mod.ts";
import { restartKeys } from "./restart_keys.ts";

const config = (text: string) => resolveConfig(loadConfigText(text, "warmpath.yaml"));

Deno.test("restartKeys() names what a running router cannot change", () => {
  const before = config("server: {port: 8000}");
  deepStrictEqual(restartKeys(before, config("server: {port: 8000}")), []);
  deepStrictEqual(restartKeys(before, config("server: {port: 8001}\nprefix: {blockTokens: 128}")), [
    "server.port",
    "prefix.blockTokens",
  ]);
  deepStrictEqual(restartKeys(before, config("server: {bodyBytesMax: 128MiB}")), ["server.bodyBytesMax"]);
  deepStrictEqual(
    restartKeys(
      before,
      config("server: {bodyBytesMax: 1MiB}\nscheduling: {policy: llm-d}\nobjectives: [{name: a, priority: 1}]"),
    ),
    [],
  );
});
