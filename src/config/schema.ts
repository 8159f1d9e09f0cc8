import * as z from "zod";
import {
  adminDefaults,
  dnsDefaults,
  endpointDefaults,
  memoryDefaults,
  observeDefaults,
  poolDefaults,
  poolHealthDefaults,
  poolLoadDefaults,
  prefixDefaults,
  schedulingDefaults,
  serverDefaults,
  tracingDefaults,
  upstreamDefaults,
  workersDefault,
  workersMax,
} from "./defaults.ts";
import {
  bytes,
  choice,
  countOrAuto,
  duration,
  flag,
  integer,
  list,
  names,
  nonEmptyList,
  opaqueList,
  ratio,
  requiredInteger,
  requiredText,
  section,
  sectionSchema,
  serverUrl,
  text,
  textSchema,
  urlForm,
} from "./fields.ts";
import { flow } from "./schema_flow.ts";
import { latency } from "./schema_latency.ts";
import { adminToken, authorization, keys } from "./schema_keys.ts";
import { ejection, overload, resilienceKeys } from "./schema_resilience.ts";
import { feed, feedKeys, feedKinds, host, hostForm, snapshot, tokens } from "./schema_knowledge.ts";
import { GiB, hourMs, MiB, portMax, secondMs } from "./units.ts";

const pathForm = 'a path that starts with "/"';
const pathPattern = /^\/\S*$/;

/** Policies that ship with the router, by the name `scheduling.policy` takes. */
export const policyNames = ["default", "predicted", "llm-d", "random", "round-robin", "least-request"] as const;

const portTls = section(
  "TLS with HTTP/2 and HTTP/1.1 for its clients; in the clear when absent. Files are read again on change.",
  {
    certFile: text({ about: "PEM file of the certificate and its chain, relative to this file." }),
    keyFile: text({ about: "PEM file of the certificate's key, relative to this file." }),
    clientCaFile: text({ about: "Not available: the runtime's TLS cannot ask clients for certificates." }),
  },
);

const server = section("The port that clients call.", {
  host: text({ about: "Address to listen on.", default: serverDefaults.host }),
  port: integer(0, portMax, { about: "Port to listen on; 0 takes a free one.", default: serverDefaults.port }),
  bodyBytesMax: bytes(1024, 512 * MiB, {
    about: "Longest request body; a longer one is answered 413.",
    default: serverDefaults.bodyBytesMax,
    bare: true,
  }),
  bodyMemory: bytes(1 * MiB, 64 * GiB, {
    about: "Memory of all request bodies at once, until their answers begin; a body without room is answered 503.",
    default: serverDefaults.bodyMemoryBytes,
  }),
  connectionsMax: integer(1, 1_000_000, {
    about: "Client connections at once; more are answered 503 and closed.",
    default: serverDefaults.connectionsMax,
  }),
  drainTimeout: duration(0, hourMs, {
    about: "How long running streams may finish after SIGTERM.",
    default: serverDefaults.drainTimeoutMs,
  }),
  overload,
  tls: portTls,
});

const admin = section("The port of metrics, probes and debug pages.", {
  host: text({ about: "Address to listen on.", default: adminDefaults.host }),
  port: integer(0, portMax, { about: "Port to listen on; 0 takes a free one.", default: adminDefaults.port }),
  token: adminToken(
    "SHA-256 of the token that pages other than probes ask for, as `Authorization: Bearer TOKEN`. Without one they answer " +
      "to this machine alone.",
  ),
  tokenFile: text({
    about: "Path of a file that holds the token itself, relative to this file; re-read when it changes. Peers of " +
      "`snapshot` are asked with it.",
  }),
  openMetrics: flag({ about: "Whether `/metrics` needs no token.", default: adminDefaults.openMetrics }),
  allowOpen: flag({
    about: "Whether, without a token, all pages answer to other machines too.",
    default: adminDefaults.allowOpen,
  }),
  tls: portTls,
});

const healthKinds = ["http", "grpc"] as const;

const endpointObject = sectionSchema({
  url: serverUrl({ about: "Where the model server listens." }),
  name: text({ about: "Name in logs, metrics and debug pages; `host:port` when absent." }),
  labels: names({ about: "Labels that filters select by.", form: "a mapping of label names to strings" }),
  models: list(textSchema("a non-empty model name", /\S/), {
    about: "Models it serves; asked of the server when absent.",
    form: "a list of model names",
  }),
  engine: text({
    about: "Whose metric names it uses: vllm, sglang, trtllm-serve, triton-tensorrt-llm, triton, or one that " +
      "a core-metrics-extractor defines.",
    default: endpointDefaults.engine,
  }),
  health: section("Active health check; absent keys follow `pool.health`.", {
    kind: choice(healthKinds, { about: "HTTP GET or `grpc.health.v1`." }),
    port: integer(1, portMax, { about: "Port of the check; the server's own when absent." }),
    path: text({ about: "Path of the HTTP check.", form: pathForm, pattern: pathPattern }),
  }),
  metrics: section("Where load is scraped.", {
    port: integer(1, portMax, { about: "Port of the metrics; the server's own when absent." }),
    path: text({
      about: "Path of the metrics; absent follows `pool.load.path`.",
      form: pathForm,
      pattern: pathPattern,
    }),
  }),
  feed: section("How it tells what it caches; absent keys follow `feed`.", {
    kind: choice(feedKinds, { about: "Kind of feed." }),
    host: text({ about: "Host of the feed; the server's own when absent.", form: hostForm, pattern: host }),
    ...feedKeys,
  }),
  ranks: integer(1, 64, {
    about: "Data-parallel ranks behind this one port: each becomes an endpoint, chosen by `x-data-parallel-rank`.",
    default: 1,
  }),
});

/** A bare URL means an endpoint with nothing but a URL. */
const endpoint = z.preprocess((input) => typeof input === "string" ? { url: input } : input, endpointObject);

const discovery = section("Where endpoints come from besides `endpoints`.", {
  file: text({
    about: "Path of an endpoint list in llm-d's file format, relative to this file; re-read when it changes.",
  }),
  dns: list(
    sectionSchema({
      name: requiredText({ about: "Host or service name to resolve." }),
      type: choice(["A", "SRV"], { about: "Record type; A covers AAAA.", default: dnsDefaults.type }),
      port: integer(1, portMax, {
        about: "Port of the servers; SRV records carry their own.",
        default: dnsDefaults.port,
      }),
      interval: duration(100, hourMs, { about: "Time between look-ups.", default: dnsDefaults.intervalMs }),
    }),
    { about: "Names to resolve to endpoints.", form: "a list of mappings" },
  ),
});

const poolHealth = section("Active health checks.", {
  kind: choice(healthKinds, { about: "HTTP GET or `grpc.health.v1`.", default: poolHealthDefaults.kind }),
  path: text({
    about: "Path of the HTTP check.",
    form: pathForm,
    pattern: pathPattern,
    default: poolHealthDefaults.path,
  }),
  interval: duration(100, hourMs, { about: "Time between checks.", default: poolHealthDefaults.intervalMs }),
  timeout: duration(10, hourMs, { about: "Time a check may take.", default: poolHealthDefaults.timeoutMs }),
  failures: integer(1, 100, { about: "Failed checks in a row that eject.", default: poolHealthDefaults.failures }),
  successes: integer(1, 100, { about: "Good checks in a row that admit.", default: poolHealthDefaults.successes }),
});

const poolLoad = section("Scraping of engine metrics.", {
  path: text({ about: "Path of the metrics.", form: pathForm, pattern: pathPattern, default: poolLoadDefaults.path }),
  busyInterval: duration(10, hourMs, {
    about: "Time between scrapes of an endpoint with work.",
    default: poolLoadDefaults.busyIntervalMs,
  }),
  idleInterval: duration(10, hourMs, {
    about: "Time between scrapes of an idle endpoint.",
    default: poolLoadDefaults.idleIntervalMs,
  }),
  deadline: duration(10, hourMs, { about: "Time a scrape may take.", default: poolLoadDefaults.deadlineMs }),
  staleAfter: duration(10, hourMs, {
    about: "Age at which a sample counts as unknown.",
    default: poolLoadDefaults.staleAfterMs,
  }),
});

const pool = section("How endpoints are watched.", {
  capacity: integer(1, 1024, { about: "Endpoints the table holds.", default: poolDefaults.capacity }),
  modelsInterval: duration(secondMs, hourMs, {
    about: "Time between reads of an endpoint's model list.",
    default: poolDefaults.modelsIntervalMs,
  }),
  health: poolHealth,
  load: poolLoad,
  ejection,
});

const upstream = section("Connections to model servers.", {
  connectTimeout: duration(10, hourMs, {
    about: "Time a connection may take.",
    default: upstreamDefaults.connectTimeoutMs,
  }),
  firstByteTimeout: duration(100, hourMs, {
    about: "Time from the sent request to the first byte of the answer.",
    default: upstreamDefaults.firstByteTimeoutMs,
  }),
  idleTimeout: duration(100, hourMs, {
    about: "Longest pause within an answer.",
    default: upstreamDefaults.idleTimeoutMs,
  }),
  idleConnectionsMax: integer(0, 4096, {
    about: "Idle connections kept per endpoint.",
    default: upstreamDefaults.idleConnectionsMax,
  }),
  idleConnectionTimeout: duration(100, hourMs, {
    about: "Time an idle connection is kept.",
    default: upstreamDefaults.idleConnectionTimeoutMs,
  }),
  attemptsMax: integer(1, 16, {
    about: "Endpoints tried before the first byte of an answer.",
    default: upstreamDefaults.attemptsMax,
  }),
  forwardAuthorization: flag({
    about: "Whether the client's `authorization`, `x-api-key` and `api-key` go on to model servers.",
    default: upstreamDefaults.forwardAuthorization,
  }),
  authorization: authorization(
    "The `authorization` that model servers are sent, such as `Bearer KEY` (WARMPATH_UPSTREAM_AUTHORIZATION).",
  ),
  authorizationFile: text({
    about: "Path of a file that holds `authorization`, relative to this file; re-read when it changes.",
  }),
  ...resilienceKeys,
  tls: section("Trust between the router and `https` endpoints.", {
    caFile: text({ about: "PEM file of certificate authorities trusted besides the system's, relative to this file." }),
    certFile: text({
      about:
        "PEM file of the certificate shown to endpoints that ask for one, relative to this file; read again on change.",
    }),
    keyFile: text({ about: "PEM file of that certificate's key, relative to this file." }),
  }),
});

const scheduling = section(
  "How an endpoint is chosen; `policy`, `plugins` and `endpointPickerConfig` exclude each other.",
  {
    policy: choice(policyNames, { about: "A policy by name.", default: schedulingDefaults.policy }),
    plugins: opaqueList({ about: "Plugin instances, as in an EndpointPickerConfig.", form: "a list of plugins" }),
    schedulingProfiles: opaqueList({
      about: "Profiles over `plugins`, as in an EndpointPickerConfig.",
      form: "a list of profiles",
    }),
    endpointPickerConfig: text({ about: "Path of an llm-d EndpointPickerConfig file, relative to this file." }),
    seed: integer(0, 0xffff_ffff, { about: "Seed of the random choices; drawn at start when absent." }),
  },
);

const prefix = section(
  "Prefix matching, over exact token blocks where an endpoint has a feed, else over the prompt's text.",
  {
    enabled: flag({ about: "Whether prompts are matched.", default: prefixDefaults.enabled }),
    blockTokens: integer(16, 4096, { about: "Tokens of a block.", default: prefixDefaults.blockTokens }),
    tokensMax: integer(64, 1 << 24, {
      about: "Leading prompt tokens that are matched.",
      default: prefixDefaults.tokensMax,
    }),
    lruCapacityPerServer: integer(1, 1 << 24, {
      about: "Blocks an endpoint is believed to hold while it reports no cache size.",
      default: prefixDefaults.lruCapacityPerServer,
    }),
    hashSeed: text({
      about: "Enters every block hash; the same for all routers and agents that work together.",
      form: "a string",
      pattern: /^/,
    }),
  },
);

const memory = section("Sizes of shared memory, fixed at start.", {
  prefixTree: bytes(MiB, 3 * GiB, { about: "Bytes of the prefix tree.", default: memoryDefaults.prefixTreeBytes }),
});

const modelName = textSchema("a non-empty model name", /\S/);

const rewrite = sectionSchema({
  name: requiredText({ about: "Name of the rule in metrics and logs." }),
  match: list(modelName, { about: "Model names it applies to; absent or empty: any.", form: "a list of model names" }),
  targets: nonEmptyList(
    sectionSchema({
      model: requiredText({ about: "Model asked of the endpoint." }),
      weight: integer(1, 1_000_000, { about: "Share among the targets; all equal when none has one." }),
    }),
    { about: "Models one of which is drawn.", form: "a list with at least one target" },
  ),
  sticky: choice(["none", "session"], {
    about: "Whether a session keeps the target it drew first.",
    default: "none",
  }),
});

const models = section("Names of models.", {
  aliases: names({ about: "Further names of models: name to target.", form: "a mapping of names to model names" }),
  rewrites: list(rewrite, { about: "Rules that choose the model asked of the endpoint.", form: "a list of rules" }),
});

const objectives = list(
  sectionSchema({
    name: requiredText({ about: "Name in the objective header." }),
    priority: requiredInteger(-(2 ** 31), 2 ** 31 - 1, { about: "Higher is served first; negative may be shed." }),
    ttftSlo: duration(1, hourMs, {
      about: "Target for the time to the first token, where the request's headers name none.",
    }),
    tpotSlo: duration(1, hourMs, { about: "The same for the time per output token after it." }),
  }),
  { about: "Inference objectives.", form: "a list of mappings" },
);

const observe = section("What is learned and written of each request.", {
  usage: choice(["always", "client"], {
    about:
      "Ask the engine for token usage always (hidden from clients that did not ask), or only when the client does.",
    default: observeDefaults.usage,
  }),
  accessLog: flag({ about: "One JSON line a request on standard output.", default: observeDefaults.accessLog }),
  logLevel: choice(["debug", "info", "warn", "error"], {
    about: "Least severe message that is logged.",
    default: observeDefaults.logLevel,
  }),
});

const tracing = section("OpenTelemetry spans; exported when `OTEL_DENO=true`.", {
  enabled: flag({ about: "Whether spans are made.", default: tracingDefaults.enabled }),
  sampleRatio: ratio({
    about: "Share of traces recorded when the caller has not decided.",
    default: tracingDefaults.sampleRatio,
  }),
});

/** The whole file. Every key is optional; what is absent takes its default in `resolveConfig`. */
export const configSchema = sectionSchema({
  server,
  admin,
  keys,
  workers: countOrAuto(1, workersMax, {
    about: "Edge isolates; 1 runs in the control isolate, more run beside it, `auto` takes the cores but one.",
    default: workersDefault,
  }),
  endpoints: list(endpoint, {
    about: "Model servers: URLs or mappings.",
    form: `a list; each item ${urlForm}, or a mapping`,
  }),
  discovery,
  pool,
  upstream,
  scheduling,
  flow,
  latency,
  prefix,
  feed,
  tokens,
  snapshot,
  memory,
  models,
  objectives,
  observe,
  tracing,
});

/** What a file may say, checked: durations in milliseconds, sizes in bytes. */
export type RawValues = z.output<typeof configSchema>;
