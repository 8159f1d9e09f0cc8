/** The sections about what is known of caches: feeds, token ids, snapshots. */
import { feedDefaults, tokensDefaults } from "./defaults.ts";
import {
  bytes,
  choice,
  duration,
  flag,
  integer,
  list,
  requiredText,
  section,
  sectionSchema,
  text,
  textSchema,
  urlForm,
} from "./fields.ts";
import { GiB, hourMs, MiB, portMax, secondMs } from "./units.ts";

/** Ways to learn what a model server caches. */
export const feedKinds = ["none", "agent", "zmq", "vllm-grpc", "sglang-grpc"] as const;

/** A name, an IPv4 address, or an IPv6 address in brackets or not. */
export const host = /^(?:[\w.-]+|\[?[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*\]?)$/i;
export const hostForm = "a host name or an address, without scheme and port";

const feedPort =
  "Port of the feed; absent: agent 9700, zmq 5557, gRPC 50051. A data-parallel rank adds its number for zmq.";

export const feedKeys = {
  port: integer(1, portMax, { about: feedPort }),
  replayPort: integer(1, portMax, { about: "Port of the engine's replay socket, for `zmq`; absent: no replay." }),
  topic: text({ about: "Beginning of the topics read, for `zmq`; absent: all.", form: "a string", pattern: /^/ }),
  tls: flag({ about: "Whether an agent or gRPC feed is dialled with TLS, trusting `upstream.tls.caFile` too." }),
};

export const feed = section("How each endpoint tells what it caches; an endpoint's own `feed` goes before.", {
  kind: choice(feedKinds, { about: "Kind of feed; `none`: routing history alone.", default: feedDefaults.kind }),
  ...feedKeys,
  reorderWindow: duration(0, 10 * secondMs, {
    about: "How long a batch that overtook another is held back.",
    default: feedDefaults.reorderWindowMs,
  }),
  grace: duration(0, 600 * secondMs, {
    about: "How long a lost link leaves an endpoint LIVE.",
    default: feedDefaults.graceMs,
  }),
});

/** Where a model's token ids come from. */
export const tokenSources = ["auto", "directory", "render", "tokenize", "none"] as const;

const tokenSource =
  "`directory`: tokenizer files; `render`, `tokenize`: the engine is asked; `auto`: the first that works";

export const tokens = section("Exact token ids of prompts, for endpoints with a feed.", {
  source: choice(tokenSources, {
    about: `${tokenSource}; \`none\`: text blocks only.`,
    default: tokensDefaults.source,
  }),
  models: list(
    sectionSchema({
      model: requiredText({ about: "Model name as the endpoints serve it." }),
      source: choice(tokenSources, { about: "Goes before `tokens.source`." }),
      directory: text({ about: "Directory with tokenizer.json and tokenizer_config.json, relative to this file." }),
      url: text({
        about: "Server of render or tokenize requests; an endpoint of the model when absent.",
        form: urlForm,
        pattern: /^https?:\/\//,
      }),
    }),
    { about: "Models with settings of their own.", form: "a list of mappings" },
  ),
  cache: bytes(MiB, 4 * GiB, { about: "Bytes of the token cache.", default: tokensDefaults.cacheBytes }),
  workers: integer(0, 64, {
    about: "Isolates for long prompts; 0: all in the edge's own.",
    default: tokensDefaults.workers,
  }),
  checkEvery: integer(0, 1_000_000, {
    about: "One request in so many is compared with the engine's own ids; 0: none.",
    default: tokensDefaults.checkEvery,
  }),
  timeout: duration(10, hourMs, { about: "Time an engine may take for ids.", default: tokensDefaults.timeoutMs }),
});

export const snapshot = section("What is known of caches, kept over a restart.", {
  file: text({
    about: "File written on drain and on request, and read at start; relative to this file.",
  }),
  peers: list(textSchema("an http(s) URL of a router's admin port", /^https?:\/\//), {
    about: "Admin ports of other routers: the first that answers is asked for its knowledge at start.",
    form: "a list of URLs",
  }),
});
