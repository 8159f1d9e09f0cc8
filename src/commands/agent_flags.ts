/** The flags of `warmpath agent`. */
import { ConfigError } from "../core/mod.ts";

export const engineKinds = ["zmq", "vllm-grpc", "sglang-grpc"] as const;
export type EngineKind = (typeof engineKinds)[number];

export interface AgentSettings {
  readonly engine: EngineKind;
  readonly engineHost: string;
  /** Of rank 0; zmq rank `r` publishes at this port plus `r`. */
  readonly enginePort: number;
  readonly replayPort?: number;
  readonly topic: string;
  readonly ranks: number;
  /** Absent: load is what the engine's feed tells. */
  readonly metrics?: {
    readonly scheme: "http" | "https";
    readonly host: string;
    readonly port: number;
    readonly path: string;
    readonly engine: string;
  };
  readonly host: string;
  readonly port: number;
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly hashSeed: string;
}

/** Texts as typed, by camel-case name. */
export type AgentFlags = Readonly<Record<string, string | undefined>>;

interface Flag {
  readonly flag: string;
  readonly help: string;
}

/** In commander's notation. */
export const agentFlags: readonly Flag[] = [
  { flag: "--engine <kind>", help: "how the engine tells of its cache: zmq (default), vllm-grpc or sglang-grpc" },
  { flag: "--engine-host <address>", help: "where the engine is, 127.0.0.1 by default" },
  { flag: "--engine-port <port>", help: "port of its events: 5557 for zmq, 50051 for gRPC by default" },
  { flag: "--replay-port <port>", help: "port of its replay socket, zmq only; without it gaps cannot be healed" },
  { flag: "--topic <prefix>", help: "beginning of the topics read, zmq only; all by default" },
  { flag: "--ranks <count>", help: "data-parallel ranks at consecutive ports, zmq only, 1 by default" },
  { flag: "--metrics-url <url>", help: "the engine's metrics page, for load" },
  { flag: "--metrics-engine <name>", help: "whose metrics they are, vllm by default, sglang with sglang-grpc" },
  { flag: "--host <address>", help: "address for routers, 0.0.0.0 by default" },
  { flag: "--port <port>", help: "port for routers, 9700 by default" },
  { flag: "--tls-cert <file>", help: "PEM certificate; with --tls-key the port takes TLS only" },
  { flag: "--tls-key <file>", help: "PEM private key" },
  { flag: "--hash-seed <text>", help: "the routers' prefix.hashSeed (WARMPATH_HASH_SEED); empty by default" },
];

/** Complete settings. @throws {ConfigError} Naming the flag. */
export function agentSettings(flags: AgentFlags, env: Readonly<Record<string, string | undefined>>): AgentSettings {
  const engine = oneOf("--engine", flags.engine ?? "zmq", engineKinds);
  const zmqOnly = { "--replay-port": flags.replayPort, "--topic": flags.topic, "--ranks": flags.ranks };
  for (const [flag, value] of Object.entries(zmqOnly)) {
    if (value !== undefined && engine !== "zmq") {
      throw new ConfigError(flag, "", `must go with --engine zmq: current value is "${engine}"`);
    }
  }
  if ((flags.tlsCert === undefined) !== (flags.tlsKey === undefined)) {
    throw new ConfigError("--tls-cert, --tls-key", "", "must be given together: one is absent");
  }
  const ranks = integer("--ranks", flags.ranks ?? "1", 1, 64);
  const portMax = 65_536 - ranks;
  return {
    engine,
    engineHost: address("--engine-host", flags.engineHost ?? "127.0.0.1"),
    enginePort: integer("--engine-port", flags.enginePort ?? (engine === "zmq" ? "5557" : "50051"), 1, portMax),
    replayPort: flags.replayPort === undefined ? undefined : integer("--replay-port", flags.replayPort, 1, portMax),
    topic: flags.topic ?? "",
    ranks,
    metrics: metricsPlace(flags, engine),
    host: address("--host", flags.host ?? "0.0.0.0"),
    port: integer("--port", flags.port ?? "9700", 0, 65_535),
    tls: flags.tlsCert === undefined ? undefined : { certFile: flags.tlsCert, keyFile: flags.tlsKey! },
    hashSeed: flags.hashSeed ?? env.WARMPATH_HASH_SEED ?? "",
  };
}

function metricsPlace(flags: AgentFlags, engine: EngineKind): AgentSettings["metrics"] {
  const { metricsUrl, metricsEngine } = flags;
  if (metricsUrl === undefined) {
    if (metricsEngine === undefined) return undefined;
    throw new ConfigError("--metrics-engine", "", "must go with --metrics-url: it is absent");
  }
  const url = URL.parse(metricsUrl);
  if (!url || !/^https?:$/.test(url.protocol) || url.username !== "" || url.hash !== "") {
    throw new ConfigError(
      "--metrics-url",
      "",
      `must be a URL such as http://127.0.0.1:8000/metrics: current value is "${metricsUrl}"`,
    );
  }
  const scheme = url.protocol === "https:" ? "https" : "http";
  return {
    scheme,
    host: url.hostname,
    port: url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port),
    path: (url.pathname === "/" ? "/metrics" : url.pathname) + url.search,
    engine: metricsEngine ?? (engine === "sglang-grpc" ? "sglang" : "vllm"),
  };
}

function oneOf<T extends string>(flag: string, text: string, values: readonly T[]): T {
  const found = values.find((value) => value === text);
  if (found !== undefined) return found;
  throw new ConfigError(flag, "", `must be one of ${values.join(", ")}: current value is "${text}"`);
}

function integer(flag: string, text: string, min: number, max: number): number {
  const value = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new ConfigError(flag, "", `must be an integer from ${min} to ${max}: current value is "${text}"`);
}

function address(flag: string, text: string): string {
  if (/^[\w.:-]{1,253}$/.test(text)) return text;
  throw new ConfigError(flag, "", `must be an address such as 127.0.0.1: current value is "${text}"`);
}
