/** Engines' own gRPC ports as feeds: one subscription, its load beside it. */
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { type Clock, reasonOf, sleep } from "../../core/mod.ts";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus, type smgCommon } from "../../proto/mod.ts";
import { FeedUnsupported } from "./errors.ts";
import { grpcBatch } from "./grpc_events.ts";
import { grpcAddress, GrpcLink, type GrpcPlace } from "./grpc_link.ts";
import type { FeedDeps } from "./turns.ts";
import type { FeedPosition, FeedSink, FeedSource, LoadSample } from "./types.ts";

/** An engine's gRPC port. */
export interface GrpcOptions extends GrpcPlace {
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
export interface GrpcCalls {
  subscribe(start: bigint, options: CallOptions): AsyncIterable<smgCommon.KvEventBatch>;
  /** What the engine says of itself once. */
  geometry(options: CallOptions): Promise<LoadSample>;
  /** Undefined when the answer tells nothing. */
  load(options: CallOptions): Promise<LoadSample | undefined>;
}

/** One engine's gRPC service. */
export interface GrpcEngine {
  readonly kind: "vllm-grpc" | "sglang-grpc";
  /** As the health protocol names it. */
  readonly service: string;
  readonly calls: (transport: Transport) => GrpcCalls;
}

/** Batches of a busy step are some MiB at most. */
const messageBytesMax = 64 << 20;

/** Time for an answer about load, geometry or health. */
const callTimeoutMs = 5000;

/** A connection to an engine. */
export function engineLink(options: GrpcOptions): GrpcLink {
  const { pingIntervalMs = 30_000, pingTimeoutMs = 10_000 } = options;
  return new GrpcLink(options, { messageBytesMax, pingIntervalMs, pingTimeoutMs });
}

/**
 * The events of an engine's gRPC port. They carry neither tier, adapter name nor multimodal hashes, and cannot be
 * replayed: ZMQ tells more where it can be reached.
 */
export class GrpcSource implements FeedSource {
  readonly kind: GrpcEngine["kind"];
  readonly address: string;
  readonly #engine: GrpcEngine;
  readonly #options: GrpcOptions;
  readonly #deps: FeedDeps;

  constructor(engine: GrpcEngine, options: GrpcOptions, deps: FeedDeps) {
    this.kind = engine.kind;
    this.address = grpcAddress(options);
    this.#engine = engine;
    this.#options = options;
    this.#deps = deps;
  }

  /** Rejects with `FeedUnsupported` when the engine publishes no events. */
  async run(sink: FeedSink, from: FeedPosition, signal: AbortSignal): Promise<void> {
    const { rank = 0, connectTimeoutMs = 5000, loadIntervalMs = 1000 } = this.#options;
    if (signal.aborted) return;
    if (rank > 0) {
      throw new FeedUnsupported(`Cannot feed from ${this.address} as it tells of rank 0 only: rank is ${rank}`);
    }
    const link = engineLink(this.#options);
    const engine = this.#engine.calls(link.transport);
    const stop = new AbortController();
    const abort = () => stop.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const late = this.#deps.clock.after(
      connectTimeoutMs,
      () => stop.abort(new Error(`no answer within ${connectTimeoutMs} ms`)),
    );
    let polling: Promise<void> | undefined;
    const connected = () => {
      late.cancel();
      sink.connected();
      polling = pollLoad(engine, sink, this.#deps.clock, loadIntervalMs, stop.signal);
    };
    try {
      await link.ready(stop.signal);
      const start = BigInt(Math.max(0, from.seq));
      for await (const message of engine.subscribe(start, { signal: stop.signal, onHeader: connected })) {
        if (this.#deps.turns.exhausted()) await this.#deps.turns.next();
        if (stop.signal.aborted) break;
        if (message.dpRank === undefined || message.dpRank === rank) sink.batch(grpcBatch(message));
      }
      stop.signal.throwIfAborted();
      throw new Error("the engine ended the subscription");
    } catch (error) {
      if (signal.aborted) return;
      throw explain(this.address, stop.signal.aborted ? stop.signal.reason : error);
    } finally {
      late.cancel();
      signal.removeEventListener("abort", abort);
      stop.abort();
      link.close();
      await polling;
    }
  }

  /**
   * Resolves when the server says by the gRPC health protocol that the service serves, or, when it does not know that
   * name, that it serves as a whole. Rejects with the reason otherwise. Costs the engine nothing, unlike its own
   * `HealthCheck`.
   */
  async checkHealth(signal: AbortSignal): Promise<void> {
    const link = engineLink(this.#options);
    try {
      await link.ready(signal);
      const client = createClient(Health, link.transport);
      const ask = async (service: string) =>
        (await client.check({ service }, { signal, timeoutMs: callTimeoutMs })).status;
      const status = await ask(this.#engine.service).catch((error) => {
        if (codeOf(error) === Code.NotFound) return ask("");
        throw error;
      });
      if (status !== ServingStatus.SERVING) throw new Error(`gRPC health is ${ServingStatus[status] ?? status}`);
    } finally {
      link.close();
    }
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
  engine: GrpcCalls,
  sink: FeedSink,
  clock: Clock,
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
    await sleep(clock, intervalMs, signal).catch(() => {});
  }
}
