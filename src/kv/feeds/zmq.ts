import { reasonOf } from "../../core/mod.ts";
import { type KvBatch, parseLiveFrames } from "../../protocol/mod.ts";
import type { FeedDeps } from "./turns.ts";
import type { FeedPosition, FeedSink, FeedSource } from "./types.ts";
import { batchOf } from "./zmq_batch.ts";
import { zmqAddress, ZmqConnection } from "./zmq_connection.ts";
import { replayBatches } from "./zmq_replay.ts";

/** Where an engine publishes its events. Ports are those of the data-parallel rank meant: base port plus rank. */
export interface ZmqOptions {
  readonly host: string;
  readonly port: number;
  /** Absent: the engine has no replay socket. */
  readonly replayPort?: number;
  /** Beginning of the topics read. Default "": all. */
  readonly topic?: string;
  /** Time until the publisher has answered. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Time a replay may stay silent between two replies. Default 2 s. */
  readonly replayIdleMs?: number;
  /** Time a replay may take as a whole. Default 2 min. */
  readonly replayTotalMs?: number;
}

/** The events of one engine process, from its own publisher. */
export class ZmqSource implements FeedSource {
  readonly kind = "zmq";
  readonly address: string;
  readonly replay?: (from: number, signal: AbortSignal) => AsyncIterable<KvBatch>;
  readonly #options: ZmqOptions;
  readonly #deps: FeedDeps;

  constructor(options: ZmqOptions, deps: FeedDeps) {
    this.#options = options;
    this.#deps = deps;
    const { host, port, replayPort, replayIdleMs = 2000, replayTotalMs = 120_000 } = options;
    this.address = zmqAddress(host, port);
    if (replayPort !== undefined) {
      const target = { host, port: replayPort, idleMs: replayIdleMs, totalMs: replayTotalMs };
      this.replay = (from, signal) => replayBatches(target, from, deps, signal);
    }
  }

  /** `from` plays no part: a publisher tells what happens from now on. */
  async run(sink: FeedSink, _from: FeedPosition, signal: AbortSignal): Promise<void> {
    const { host, port, topic = "", connectTimeoutMs = 5000 } = this.#options;
    const { clock, turns } = this.#deps;
    let connection: ZmqConnection | undefined;
    const close = () => connection?.close();
    signal.addEventListener("abort", close, { once: true });
    try {
      signal.throwIfAborted();
      connection = await ZmqConnection.open({ host, port, socketType: "SUB", connectTimeoutMs }, clock, signal);
      await connection.subscribe(topic);
      sink.connected();
      for (;;) {
        for (let frames; (frames = connection.next());) {
          if (turns.exhausted()) await turns.next();
          signal.throwIfAborted();
          tell(sink, frames);
        }
        await connection.fill();
      }
    } catch (error) {
      if (signal.aborted) return;
      throw connection ? new Error(`Connection to ${this.address} lost: ${reasonOf(error)}`, { cause: error }) : error;
    } finally {
      signal.removeEventListener("abort", close);
      connection?.close();
    }
  }
}

function tell(sink: FeedSink, frames: readonly Uint8Array[]): void {
  const message = parseLiveFrames(frames);
  if (message) sink.batch(batchOf(message));
  else sink.stray?.();
}
