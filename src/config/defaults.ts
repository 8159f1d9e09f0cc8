/** Every default of the configuration, each with the arithmetic or the fact behind it. */

import { GiB, MiB } from "./units.ts";

export const serverDefaults = {
  host: "0.0.0.0",
  // The port model servers and their clients use by habit.
  port: 8000,
  // 128k tokens of text are about 0.5 MiB; the rest is room for images inside the JSON.
  bodyBytesMax: 64 * MiB,
  // Two thousand prompts of 128k tokens that wait for their first token, or sixteen of the longest bodies.
  bodyMemoryBytes: GiB,
  // Each idle one holds 4 KiB and a socket: 64 MiB and a common limit of file descriptors between both sides.
  connectionsMax: 16_384,
  // Kubernetes kills after 30 s by default: waiting longer would lose the orderly exit.
  drainTimeoutMs: 30_000,
} as const;

export const adminDefaults = {
  // The debug pages show prompts and endpoints: seen from outside only when asked for.
  host: "127.0.0.1",
  // The port of llm-d's metrics, so that scrape settings carry over.
  port: 9090,
  // Prometheus reaches it from other machines; what it tells names models and endpoints, no prompts.
  openMetrics: true,
  // Debug pages take prompts, snapshots tell what was asked: seen from outside only when asked for.
  allowOpen: false,
} as const;

// One core routes some thousands of requests a second, and an edge more costs 30 MB.
export const workersDefault = 1;
// Each maps a scratch as long as the longest body into 4 GiB of memory.
export const workersMax = 64;

export const endpointDefaults = {
  engine: "vllm",
} as const;

export const dnsDefaults = {
  type: "A",
  // Used for A records, which carry no port.
  port: 8000,
  // Half of the 10 s a terminating pod commonly stays in DNS.
  intervalMs: 5_000,
} as const;

export const poolHealthDefaults = {
  kind: "http",
  path: "/health",
  intervalMs: 5_000,
  // A loaded engine answers /health from its event loop, which a long prefill can hold for about a second.
  timeoutMs: 2_000,
  // With the interval: a dead server is out after 15 s at most; failures of real requests eject it sooner.
  failures: 3,
  successes: 1,
} as const;

export const poolLoadDefaults = {
  path: "/metrics",
  // One or two decode steps of a large model: sampling faster reads the same numbers.
  busyIntervalMs: 50,
  // 100 idle endpoints cost 50 scrapes a second.
  idleIntervalMs: 2_000,
  // A healthy scrape takes milliseconds; beyond this the sample describes the past.
  deadlineMs: 1_000,
  // Four idle intervals and a lost scrape: an older sample says nothing about now.
  staleAfterMs: 10_000,
} as const;

export const poolEjectionDefaults = {
  enabled: true,
  // In a row, so that a share of client-made failures never empties the pool.
  failures: 5,
  // A server that fails every second request costs each of them a second attempt.
  errorRate: 0.5,
  // Below what a pool's endpoints differ by when they are all well.
  successGap: 0.2,
  // Long enough for 20 requests at one a second and short enough that the past is not held against a server.
  windowMs: 30_000,
  // With fewer a single failure more is a jump of the rate by 5 %.
  requestsMin: 20,
  // GPUs of one pool differ by less than this; one that throttles or shares its host does not.
  slowFactor: 5,
  // Nobody minds five times 100 ms enough to lose a server for it.
  slowFloorMs: 1_000,
  // Long enough to skip a hiccup; doubles with every further ejection.
  timeMs: 1_000,
  // A server that failed this often is asked twice a minute.
  timeMaxMs: 30_000,
  // Few enough to lose, enough that one long prompt does not decide.
  probes: 3,
  // One may be luck.
  probeSuccesses: 2,
  // When half of the pool fails, the cause is more likely shared than theirs.
  shareMax: 0.5,
} as const;

export const poolDefaults = {
  // One slot a data-parallel rank: 32 servers of 8 ranks.
  capacity: 256,
  // Adapters are loaded at run time; 10 s is how long a new one may answer 404.
  modelsIntervalMs: 10_000,
} as const;

export const upstreamDefaults = {
  // Two retransmitted SYNs would take 3 s: past one, the next candidate is the better bet.
  connectTimeoutMs: 2_000,
  // A queue behind 128k-token prefills can hold a first token for minutes.
  firstByteTimeoutMs: 300_000,
  // Between chunks: longer than any pause of a live engine, preemption included.
  idleTimeoutMs: 120_000,
  // 256 endpoints × 32 = 8,192 sockets, under the common limit of 65,536 files.
  idleConnectionsMax: 32,
  // uvicorn, which serves vLLM and SGLang, closes an idle connection after 5 s; leaving first avoids the race.
  idleConnectionTimeoutMs: 4_000,
  // The chosen endpoint and two fallbacks: three dead servers in a row is an outage, not bad luck.
  attemptsMax: 3,
  // The key a client has for the router is not the model server's business.
  forwardAuthorization: false,
} as const;

export const retryBudgetDefaults = {
  // A pool that fails a third of its requests is asked for a tenth more, not for twice as much.
  ratio: 0.1,
  // A router with ten requests a second has as much from this as from the ratio.
  minPerSecond: 1,
  // Requests that wait at one busy server, all of which come back at once when it dies.
  burst: 100,
} as const;

export const hedgeDefaults = {
  // A fifth of a second of prefill of an 8B model on one GPU.
  promptTokensMax: 4_096,
} as const;

export const continuationDefault = false;

export const overloadDefaults = {
  // A loop that is held for a second answers health checks too late.
  loopLagMs: 1_000,
  // As many as connections: an open stream holds about 50 kB, bodies have a budget of their own.
  requestsMax: 16_384,
} as const;

export const schedulingDefaults = {
  policy: "default",
} as const;

export const prefixDefaults = {
  enabled: true,
  // Four blocks of vLLM's 16 tokens: 512 hashes for 32k tokens.
  blockTokens: 64,
  // The longest context in common use; text beyond it is routed by what comes before.
  tokensMax: 131_072,
  // Blocks of 64 tokens: 2 M tokens, about the KV cache of an 8B model on 80 GB; used until the engine reports its own.
  lruCapacityPerServer: 31_250,
  // Agents, replicas and snapshots must agree on it; a collision costs a detour, never a wrong answer.
  hashSeed: "",
} as const;

export const feedDefaults = {
  kind: "none",
  // What each kind of publisher listens on by its own habit: `--kv-events-config` of vLLM and SGLang, gRPC's usual
  // example port, and our agent.
  ports: { zmq: 5557, "vllm-grpc": 50_051, "sglang-grpc": 50_051, agent: 9700 },
  topic: "",
  // A batch overtaken on its way arrives within a few round trips.
  reorderWindowMs: 50,
  // An engine's publisher pauses this long for a step of a long prefill; a shorter loss of the link is no doubt yet.
  graceMs: 2_000,
} as const;

export const tokensDefaults = {
  source: "auto",
  // 16 M token ids of 4 bytes: some hundred conversations of 128k tokens.
  cacheBytes: 64 * MiB,
  // Each holds a tokenizer of its own, about 100 MB for a vocabulary of 150k.
  workers: 1,
  // One request in 200 is asked of the engine too, off the request's path.
  checkEvery: 200,
  // A renderer on the same network answers 100k tokens within a second.
  timeoutMs: 5_000,
} as const;

export const memoryDefaults = {
  // At 48 B a block and holder: 5.6 M pairs, or 178 servers at the default capacity.
  prefixTreeBytes: 256 * MiB,
} as const;

export const observeDefaults = {
  // The router strips what the client did not ask for; without it token counts are guesses.
  usage: "always",
  accessLog: true,
  logLevel: "info",
} as const;

export const tracingDefaults = {
  enabled: false,
  // llm-d's ratio: one trace in ten.
  sampleRatio: 0.1,
} as const;
