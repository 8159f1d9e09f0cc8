/** From configuration to how the router learns what its endpoints cache, and how their token ids are had. */
import { type Clock, type EndpointMeta } from "../core/mod.ts";
import type { Config, FeedConfig, TokensConfig } from "../config/mod.ts";
import { type FeedSource, feedSource, type FeedSourceOptions, fetchTokenizer, Turns } from "../kv/mod.ts";
import type { FeedsParams, RenderParams } from "../scheduling/mod.ts";
import { Tokens, type TokensDeps } from "../tokens/mod.ts";

/** The part of the configuration that an EndpointPickerConfig may decide as well. */
export interface KnowledgeConfig {
  readonly feed: Config["feed"];
  readonly tokens: TokensConfig;
}

/** Feeds and render requests that an EndpointPickerConfig names hold for every endpoint that has none of its own. */
export function importedKnowledge(config: Config, feeds?: FeedsParams, render?: RenderParams): KnowledgeConfig {
  const { feed, tokens } = config;
  return {
    feed: feeds && feed.kind === "none"
      ? { ...feed, kind: "zmq", port: feeds.port, replayPort: feeds.replayPort, topic: feeds.topicFilter }
      : feed,
    tokens: render ? importedTokens(tokens, render) : tokens,
  };
}

/** A server of its own goes before the endpoints; what the router's own section says of a model goes before both. */
function importedTokens(tokens: TokensConfig, { modelName, url, timeoutMs }: RenderParams): TokensConfig {
  if (modelName === undefined) return { ...tokens, source: "render", timeoutMs };
  if (tokens.models.some(({ model }) => model === modelName)) return tokens;
  return { ...tokens, timeoutMs, models: [...tokens.models, { model: modelName, source: "render", url }] };
}

/** The feed of an endpoint: that of its own entry, else the one for all. */
export function feedOf(meta: EndpointMeta, config: Config, feed: FeedConfig): FeedConfig {
  const own = config.endpoints.find(({ host, port }) => host === meta.host && port === meta.port)?.feed;
  // Of two that name none, the imported one counts.
  return own && (own.kind !== "none" || config.feed.kind !== "none") ? own : feed;
}

export interface FeedSourcesParts {
  readonly clock: Clock;
  /** See the agent's protocol. */
  readonly seedCheck: () => bigint;
  /** PEM certificates trusted besides the system's. */
  readonly caCerts?: readonly string[];
}

/** Makes the source of an endpoint's feed; undefined for one without a feed. */
export function feedSources({ clock, seedCheck, caCerts }: FeedSourcesParts) {
  const deps = { clock, turns: new Turns(clock) };
  return (meta: EndpointMeta, feed: FeedConfig): FeedSource | undefined => {
    const options = feedOptions(meta, feed, seedCheck, caCerts);
    return options && feedSource(options, deps);
  };
}

function feedOptions(
  meta: EndpointMeta,
  { kind, host = meta.host, port, replayPort, topic, tls }: FeedConfig,
  seedCheck: () => bigint,
  caCerts: readonly string[] | undefined,
): FeedSourceOptions | undefined {
  const rank = meta.rank ?? 0;
  switch (kind) {
    case "none":
      return undefined;
    case "zmq":
      return {
        kind,
        host,
        port: port + rank,
        replayPort: replayPort === undefined ? undefined : replayPort + rank,
        topic,
      };
    case "agent":
      return { kind, host, port, rank, tls, caCerts, seedCheck: seedCheck() };
    default:
      return { kind, host, port, rank, tls, caCerts };
  }
}

export interface TokensParts {
  readonly clock: Clock;
  /** An endpoint that serves the model, and its feed; undefined when none is ready. */
  readonly endpoint: (model: string) => { readonly meta: EndpointMeta; readonly feed: FeedConfig } | undefined;
  /** PEM certificates trusted besides the system's. */
  readonly caCerts?: readonly string[];
  readonly onState: TokensDeps["onState"];
  /** What endpoints are sent as `authorization` at the time. */
  readonly authorization: () => string | undefined;
}

type GrpcKind = "vllm-grpc" | "sglang-grpc";

function isGrpc({ kind }: FeedConfig): boolean {
  return kind === "vllm-grpc" || kind === "sglang-grpc";
}

/** Token ids of prompts; the endpoints themselves are asked where the configuration names no other server. */
export function openTokens(config: TokensConfig, { clock, endpoint, caCerts, onState, authorization }: TokensParts) {
  const client = caCerts && Deno.createHttpClient({ caCerts: [...caCerts] });
  const closed = new AbortController();
  const tokens = new Tokens(config, {
    clock,
    onState,
    fetcher: (url, init) => {
      const headers = new Headers(init.headers);
      const credentials = authorization();
      if (credentials !== undefined) headers.set("authorization", credentials);
      return fetch(url, { ...init, headers, client });
    },
    endpointUrl(model) {
      const meta = endpoint(model)?.meta;
      return meta && `${meta.scheme}://${meta.host}:${meta.port}`;
    },
    engineFiles(model) {
      const first = endpoint(model);
      if (!first || !isGrpc(first.feed)) return undefined;
      return () => {
        // The first may be gone when it is tried again.
        const now = endpoint(model);
        const { meta, feed } = now && isGrpc(now.feed) ? now : first;
        const { kind, host = meta.host, port, tls } = feed;
        return fetchTokenizer(kind as GrpcKind, { host, port, tls, caCerts }, closed.signal);
      };
    },
  });
  const close = () => {
    closed.abort();
    tokens.close();
    client?.close();
  };
  return { tokens, close };
}
