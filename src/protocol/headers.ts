/** Header names and what crosses the router in each direction. All names are lower case. */
import { Fields, type HeaderFields } from "./http1/mod.ts";

/** Canonical request headers with their older aliases; the canonical name wins. */
export const controlHeaders = {
  objective: ["x-llm-d-inference-objective", "x-gateway-inference-objective"],
  fairnessId: ["x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id"],
  modelRewrite: ["x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"],
  sloTtftMs: ["x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"],
  sloTpotMs: ["x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"],
  /** Milliseconds, or a duration such as 30s. */
  ttl: ["x-llm-d-inference-ttl"],
  priority: ["x-warmpath-priority"],
  /** `requeue`: an evicted request waits again instead of ending. */
  onEviction: ["x-warmpath-on-eviction"],
  /** `true`: the answer tells what was predicted for it. */
  predictions: ["x-warmpath-predictions"],
  subset: ["x-gateway-destination-endpoint-subset"],
} as const;

/** Response header that names why a request was refused. */
export const droppedReasonHeader = "x-llm-d-request-dropped-reason";

/** Reads a control header under any of its names. */
export function controlHeader(
  headers: { get(name: string): string | null | undefined },
  names: readonly string[],
): string | undefined {
  for (const name of names) {
    const value = headers.get(name);
    if (value !== null && value !== undefined && value !== "") return value;
  }
  return undefined;
}

// OpenAI's and everyone's, Anthropic's, Azure's.
const credentials = ["authorization", "x-api-key", "api-key"];

/** The token of an `authorization` value of the scheme Bearer; undefined for any other. */
export function bearerToken(value: string | null): string | undefined {
  return /^Bearer +([^\s,]{1,4096}) *$/i.exec(value ?? "")?.[1];
}

/**
 * The API key a client sent: that of the first of its credential headers that is there, "" when none can stand in it.
 * Undefined: there is no such header.
 */
export function presentedKey(headers: Pick<HeaderFields, "get">): string | undefined {
  for (const name of credentials) {
    const value = headers.get(name);
    if (value) return name === "authorization" ? bearerToken(value) ?? "" : value;
  }
  return undefined;
}

// RFC 9110 section 7.6.1, with the older names that still occur.
const hopByHop = [
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

// Set by the router toward the model server or read by it; a client's copy must not reach either.
const routerOwned = [
  ...Object.values(controlHeaders).flat(),
  droppedReasonHeader,
  "x-gateway-destination-endpoint",
  "x-gateway-destination-endpoint-served",
  "x-gateway-destination-endpoint-scores",
  "x-prefiller-host-port",
  "x-encoder-hosts-ports",
  "x-data-parallel-host-port",
  "x-kv-cache-source-host-port",
  "x-llm-d-video-fps",
  "x-llm-d-video-duration-seconds",
  "x-llm-d-video-resolution",
  "x-session-token",
  "test-epp-endpoint-selection",
];

// Framing and routing of the new hop are the connection's business.
const notForwarded = new Set([...hopByHop, ...routerOwned, "host", "content-length", "expect", "accept-encoding"]);
const notReturned = new Set([
  ...hopByHop,
  ...routerOwned.filter((name) => name !== "x-session-token"),
  "content-length",
]);

function connectionListed(headers: HeaderFields): Set<string> | undefined {
  const value = headers.get("connection");
  if (!value) return undefined;
  return new Set(value.split(",").map((name) => name.trim().toLowerCase()));
}

/**
 * Client headers that go on to the model server, as `name: value` lines, and `own` in place of the client's of the same
 * name. `accept-encoding` is dropped so that the answer comes uncompressed and its usage can be read. A client's credentials
 * are for the router: they go on only where `withCredentials` says so.
 */
export function forwardedHeaders(
  headers: HeaderFields,
  own: Readonly<Record<string, string>> = {},
  withCredentials = false,
): string {
  const listed = connectionListed(headers);
  let lines = "";
  headers.forEach((value, name) => {
    if (notForwarded.has(name) || Object.hasOwn(own, name) || listed?.has(name)) return;
    if (!withCredentials && credentials.includes(name)) return;
    lines += `${name}: ${value}\r\n`;
  });
  for (const name in own) lines += `${name}: ${own[name]}\r\n`;
  return lines;
}

/** Model-server headers that go back to the client. */
export function returnedHeaders(headers: HeaderFields): Fields {
  const listed = connectionListed(headers);
  const out = new Fields();
  headers.forEach((value, name) => {
    if (!notReturned.has(name) && !listed?.has(name)) out.append(name, value);
  });
  return out;
}
