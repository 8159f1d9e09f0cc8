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

Deno.test("restartKeys() names what predictions are learned by, and not how targets are judged", () => {
  const before = config("latency: {snapshot: {file: a}}");
  const after = config("latency: {training: {trees: 50}, seedModel: {ttft: x}, slo: {admission: all}, echo: never}");
  deepStrictEqual(restartKeys(before, after), ["latency.training", "latency.seedModel", "latency.snapshot"]);
});

Deno.test("restartKeys() names feeds that changed at endpoints that stay", () => {
  const before = config("endpoints: [http://a:1, {url: http://b:1, feed: {kind: zmq}}]");
  const keys = (text: string) => restartKeys(before, config(text));
  deepStrictEqual(keys("endpoints: [{url: http://b:1, feed: {kind: zmq}}, {url: http://c:1, feed: {kind: zmq}}]"), []);
  deepStrictEqual(keys("endpoints: [{url: http://a:1, feed: {kind: zmq}}]"), ["endpoints[].feed"]);
  deepStrictEqual(keys("endpoints: [http://a:1, {url: http://b:1, feed: {kind: zmq, port: 6000}}]"), [
    "endpoints[].feed",
  ]);
  deepStrictEqual(keys("feed: {kind: agent}\nendpoints: [http://a:1]"), ["feed"]);
});
