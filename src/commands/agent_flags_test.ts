import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { agentSettings } from "./agent_flags.ts";

Deno.test("agentSettings() fills in the ports of the engine's kind", () => {
  deepStrictEqual(agentSettings({}, {}), {
    engine: "zmq",
    engineHost: "127.0.0.1",
    enginePort: 5557,
    replayPort: undefined,
    topic: "",
    ranks: 1,
    metrics: undefined,
    host: "0.0.0.0",
    port: 9700,
    tls: undefined,
    hashSeed: "",
  });
  equal(agentSettings({ engine: "vllm-grpc" }, {}).enginePort, 50_051);
});

Deno.test("agentSettings() takes a metrics URL apart", () => {
  const metrics = (metricsUrl: string, more = {}) => agentSettings({ metricsUrl, ...more }, {}).metrics;
  deepStrictEqual(metrics("http://127.0.0.1:8000/metrics"), {
    scheme: "http",
    host: "127.0.0.1",
    port: 8000,
    path: "/metrics",
    engine: "vllm",
  });
  equal(metrics("https://engine")!.port, 443);
  equal(metrics("https://engine")!.path, "/metrics");
  equal(metrics("http://[::1]:8000/m?x=1")!.host, "[::1]");
  equal(metrics("http://[::1]:8000/m?x=1")!.path, "/m?x=1");
  equal(metrics("http://e", { engine: "sglang-grpc" })!.engine, "sglang");
  equal(metrics("http://e", { metricsEngine: "trtllm-serve" })!.engine, "trtllm-serve");
});

Deno.test("agentSettings() takes the hash seed from the environment, and the flag before it", () => {
  equal(agentSettings({}, { WARMPATH_HASH_SEED: "env" }).hashSeed, "env");
  equal(agentSettings({ hashSeed: "flag" }, { WARMPATH_HASH_SEED: "env" }).hashSeed, "flag");
});

const refused: [flags: Record<string, string>, message: RegExp][] = [
  [{ engine: "grpc" }, /^--engine: must be one of zmq, vllm-grpc, sglang-grpc: current value is "grpc"$/],
  [{ enginePort: "x" }, /^--engine-port: must be an integer from 1 to 65535: current value is "x"$/],
  [{ ranks: "8", enginePort: "65530" }, /^--engine-port: must be an integer from 1 to 65528/],
  [{ ranks: "65" }, /^--ranks: must be an integer from 1 to 64/],
  [{ engine: "vllm-grpc", replayPort: "1" }, /^--replay-port: must go with --engine zmq/],
  [{ engine: "sglang-grpc", ranks: "2" }, /^--ranks: must go with --engine zmq/],
  [{ host: "a b" }, /^--host: must be an address/],
  [{ port: "70000" }, /^--port: must be an integer from 0 to 65535/],
  [{ tlsCert: "a.pem" }, /^--tls-cert, --tls-key: must be given together/],
  [{ metricsUrl: "ftp://x" }, /^--metrics-url: must be a URL/],
  [{ metricsUrl: "127.0.0.1:8000" }, /^--metrics-url: must be a URL/],
  [{ metricsEngine: "vllm" }, /^--metrics-engine: must go with --metrics-url/],
];

Deno.test("agentSettings() refuses what cannot be meant, naming the flag", () => {
  for (const [flags, message] of refused) throws(() => agentSettings(flags, {}), { name: "ConfigError", message });
});
