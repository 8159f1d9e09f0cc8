import { deepStrictEqual, equal } from "node:assert/strict";
import { testDeps } from "./feed_testing.ts";
import { discoverSglangFeed, feedSource, type FeedSourceOptions } from "./sources.ts";

Deno.test("feedSource() opens the kind asked for, and replay only where a port for it is known", () => {
  const at = { host: "10.0.0.7", port: 5557 };
  const cases: [FeedSourceOptions, string, boolean][] = [
    [{ kind: "zmq", ...at }, "tcp://10.0.0.7:5557", false],
    [{ kind: "zmq", ...at, host: "fd00::7", replayPort: 5558 }, "tcp://[fd00::7]:5557", true],
    [{ kind: "vllm-grpc", ...at }, "http://10.0.0.7:5557", false],
    [{ kind: "sglang-grpc", ...at, host: "fd00::7", tls: true }, "https://[fd00::7]:5557", false],
    [{ kind: "agent", ...at, seedCheck: 1n }, "http://10.0.0.7:5557", false],
  ];
  for (const [options, address, replays] of cases) {
    const source = feedSource(options, testDeps());
    equal(source.kind, options.kind);
    equal(source.address, address);
    equal(source.replay !== undefined, replays);
  }
});

const described = {
  publisher: "zmq",
  endpoint_host: "*",
  endpoint_port_base: 5557,
  topic: "kv",
  block_size: 64,
  dp_size: 4,
};

Deno.test("discoverSglangFeed() reads the publisher of a rank, its host where one is named", () => {
  deepStrictEqual(discoverSglangFeed({ kv_events: described }, "10.0.0.7", 2), {
    feed: { kind: "zmq", host: "10.0.0.7", port: 5559, topic: "kv" },
    ranks: 4,
    blockTokens: 64,
  });
  const named = { publisher: "zmq", endpoint_host: "pod-3", endpoint_port_base: 5557 };
  deepStrictEqual(discoverSglangFeed({ kv_events: named }, "10.0.0.7"), {
    feed: { kind: "zmq", host: "pod-3", port: 5557, topic: "" },
    ranks: 1,
  });
});

Deno.test("discoverSglangFeed() finds the replay port in the description or in the launch argument", () => {
  const port = (info: object) => discoverSglangFeed(info, "h", 1)?.feed.replayPort;
  equal(port({ kv_events: { ...described, replay_endpoint_port_base: 6000 } }), 6001);
  const launched = JSON.stringify({ publisher: "zmq", replay_endpoint: "tcp://*:5561" });
  equal(port({ kv_events: described, kv_events_config: launched }), 5562);
  for (const config of ["{", "null", null, 7, '{"replay_endpoint":null}', '{"replay_endpoint":"ipc://x"}']) {
    equal(port({ kv_events: described, kv_events_config: config }), undefined);
  }
});

Deno.test("discoverSglangFeed() knows no feed where none is published or none can be dialled", () => {
  const infos = [
    undefined,
    null,
    "text",
    [],
    {},
    { kv_events: null },
    { kv_events: { ...described, publisher: "null" } },
    { kv_events: { ...described, endpoint_port_base: 0 } },
    { kv_events: { ...described, endpoint_port_base: "5557" } },
    { kv_events: { ...described, endpoint_port_base: 65_535 } },
  ];
  for (const info of infos) equal(discoverSglangFeed(info, "h", 1), undefined);
});
