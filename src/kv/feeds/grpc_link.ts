import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { bracketed, reasonOf, sleep } from "../../core/mod.ts";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus, type smgCommon } from "../../proto/mod.ts";
import { FeedUnsupported } from "./errors.ts";
import { trusting } from "./trust.ts";
import { grpcBatch } from "./grpc_events.ts";
import { probeHttp2 } from "./http2_probe.ts";
import type { FeedDeps } from "./turns.ts";
import type { FeedPosition, FeedSink, LoadSample } from "./types.ts";

/** An engine's gRPC port. */
export interface GrpcOptions {
  /** A name or an address; IPv6 with or without brackets. */
  readonly host: string;
  readonly port: number;
  /** Default false: HTTP/2 without TLS, as engines serve it. */
  readonly tls?: boolean;
  /** PEM certificates trusted besides the well-known authorities. */
  readonly caCerts?: readonly string[];
  /** Data-parallel rank. Default 0; engines tell the events of rank 0 only. */
  readonly rank?: number;
  /** Time until the engine has accepted the subscription. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Time between two questions for load. Default 1 s. */
  readonly loadIntervalMs?: number;
  /** Time after which a silent connection is pinged. Default 30 s; engines take less than 10 s for abuse. */
  readonly pingIntervalMs?: number;
  /** Time a ping may go unanswered before the connection is given up. Default 10 s. */
  readonly pingTimeoutMs?: number;
}

/** Options of one call. */
export interface CallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
  readonly onHeader?: () => void;
}

/** What one engine's service answers, each in its own messages. */
export interface GrpcEngine {
  subscribe(start: bigint, options: CallOptions): AsyncIterable<smgCommon.KvEventBatch>;
  /** What the engine says of itself once. */
  geometry(options: CallOptions): Promise<LoadSample>;
  /** Undefined when the answer tells nothing. */
  load(options: CallOptions): Promise<LoadSample | undefined>;
}

/** Batches of a busy step are some MiB at most. */
const messageBytesMax = 64 << 20;

/** Time for an answer about load, geometry or health. */
const callTimeoutMs = 5000;

/** One HTTP/2 connection to an engine, opened by the first call. */
export class GrpcLink {
  readonly transport: Transport;
  readonly #manager: Http2SessionManager;

  constructor(options: GrpcOptions) {
    const { pingIntervalMs = 30_000, pingTimeoutMs = 10_000, caCerts } = options;
    const baseUrl = grpcAddress(options);
    this.#manager = new Http2SessionManager(
      baseUrl,
      // The manager's timer for idle connections outlives them; the pings find dead ones.
      { pingIntervalMs, pingTimeoutMs, idleConnectionTimeoutMs: Infinity },
      trusting(caCerts),
    );
    this.transport = createGrpcTransport({
      baseUrl,
      sessionManager: this.#manager,
      readMaxBytes: messageBytesMax,
      // Token ids in a local network: packing costs more than it saves.
      acceptCompression: [],
    });
  }

  close(): void {
    this.#manager.abort();
  }
}

/** `http://host:port`, `https` with TLS. */
export function grpcAddress({ host, port, tls }: GrpcOptions): string {
  return `${tls ? "https" : "http"}://${bracketed(host)}:${port}`;
}

/**
 * Resolves when the server says by the gRPC health protocol that `service` serves, or, when it does not know that name,
 * that it serves as a whole. Rejects with the reason otherwise. Costs the engine nothing, unlike its own `HealthCheck`.
 */
export async function checkGrpcHealth(options: GrpcOptions, service: string, signal: AbortSignal): Promise<void> {
  if (!options.tls) await probeHttp2(options.host, options.port, signal);
  const link = new GrpcLink(options);
  try {
    const client = createClient(Health, link.transport);
    const ask = async (service: string) =>
      (await client.check({ service }, { signal, timeoutMs: callTimeoutMs })).status;
    const status = await ask(service).catch((error) => {
      if (codeOf(error) === Code.NotFound) return ask("");
      throw error;
    });
    if (status !== ServingStatus.SERVING) throw new Error(`gRPC health is ${ServingStatus[status] ?? status}`);
  } finally {
    link.close();
  }
}

/** One subscription of `engine`, its load beside it. See `FeedSource.run`. */
export async function runGrpcFeed(
  options: GrpcOptions,
  engineOf: (transport: Transport) => GrpcEngine,
  deps: FeedDeps,
  { sink, from, signal }: { sink: FeedSink; from: FeedPosition; signal: AbortSignal },
): Promise<void> {
  const address = grpcAddress(options);
  const { rank = 0, connectTimeoutMs = 5000, loadIntervalMs = 1000 } = options;
  if (signal.aborted) return;
  if (rank > 0) throw new FeedUnsupported(`Cannot feed from ${address} as it tells of rank 0 only: rank is ${rank}`);
  const link = new GrpcLink(options);
  const engine = engineOf(link.transport);
  const stop = new AbortController();
  const abort = () => stop.abort(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const late = deps.clock.after(
    connectTimeoutMs,
    () => stop.abort(new Error(`no answer within ${connectTimeoutMs} ms`)),
  );
  let polling: Promise<void> | undefined;
  const connected = () => {
    late.cancel();
    sink.connected();
    polling = pollLoad(engine, sink, deps, loadIntervalMs, stop.signal);
  };
  try {
    if (!options.tls) await probeHttp2(options.host, options.port, stop.signal);
    const start = BigInt(Math.max(0, from.seq));
    for await (const message of engine.subscribe(start, { signal: stop.signal, onHeader: connected })) {
      if (deps.turns.exhausted()) await deps.turns.next();
      if (stop.signal.aborted) break;
      if (message.dpRank === undefined || message.dpRank === rank) sink.batch(grpcBatch(message));
    }
    stop.signal.throwIfAborted();
    throw new Error("the engine ended the subscription");
  } catch (error) {
    if (signal.aborted) return;
    throw explain(address, stop.signal.aborted ? stop.signal.reason : error);
  } finally {
    late.cancel();
    signal.removeEventListener("abort", abort);
    stop.abort();
    link.close();
    await polling;
  }
}

function explain(address: string, error: unknown): Error {
  if (codeOf(error) === Code.Unimplemented) {
    const message = `Cannot feed from ${address} as the engine publishes no KV events: ${reasonOf(error)}`;
    return new FeedUnsupported(message, undefined, { cause: error });
  }
  return new Error(`Connection to ${address} lost: ${reasonOf(error)}`, { cause: error });
}

function codeOf(error: unknown): Code | undefined {
  return error instanceof ConnectError ? error.code : undefined;
}

/**
 * Tells the engine's load whenever it changes, until `signal` aborts; then resolves. What the engine says of itself goes
 * into every sample. An engine that cannot tell its load is asked no more; other failures are left to the subscription.
 */
async function pollLoad(
  engine: GrpcEngine,
  sink: FeedSink,
  deps: FeedDeps,
  intervalMs: number,
  signal: AbortSignal,
): Promise<void> {
  let geometry: LoadSample | undefined;
  let told = "";
  while (!signal.aborted) {
    const options = { signal, timeoutMs: callTimeoutMs };
    try {
      geometry ??= await engine.geometry(options).catch((error) => {
        if (codeOf(error) === Code.Unimplemented) return {};
        throw error;
      });
      const load = await engine.load(options);
      if (signal.aborted) return;
      const sample = { ...geometry, ...load };
      const text = JSON.stringify(sample);
      if (text === "{}") sink.heartbeat();
      // Without any value: the load still holds.
      else sink.load(text === told ? {} : sample);
      told = text;
    } catch (error) {
      if (codeOf(error) === Code.Unimplemented) return;
    }
    await sleep(deps.clock, intervalMs, signal).catch(() => {});
  }
}
