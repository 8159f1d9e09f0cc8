import { reasonOf } from "../../core/mod.ts";
import { type KvBatch, parseReplayFrames, replayRequestFrames } from "../../protocol/mod.ts";
import type { FeedDeps } from "./turns.ts";
import { batchOf } from "./zmq_batch.ts";
import { zmqAddress, ZmqConnection } from "./zmq_connection.ts";

/** The engine's replay socket, and how long a replay may take. */
export interface ReplayTarget {
  readonly host: string;
  readonly port: number;
  /** Until the first reply to a request, and at most between two replies. */
  readonly idleMs: number;
  /** Of everything. */
  readonly totalMs: number;
}

/** Replies of no known form that are passed over before the port is taken for another service's. */
const strangeRepliesMax = 100;

/**
 * Silence after which the rest of a begun answer, its end included, counts as dropped: engines send an answer in one go.
 * Taken for dropped by mistake, it is asked for again.
 */
const gapMs = 500;

/**
 * Batches with `seq >= from` that the engine still has, oldest first; a gap in front means that it has forgotten. An engine
 * sends all it has at once and drops what its socket's queue of 1000 does not take: what is missing is asked for again, on
 * a fresh connection, so that late replies to the last request are not taken for the next's. Throws on silence, when it
 * takes too long, and the signal's reason when it aborts.
 */
export async function* replayBatches(
  target: ReplayTarget,
  from: number,
  deps: FeedDeps,
  signal: AbortSignal,
): AsyncGenerator<KvBatch> {
  const stop = new AbortController();
  const forward = () => stop.abort(signal.reason);
  signal.addEventListener("abort", forward, { once: true });
  const { totalMs } = target;
  const deadline = deps.clock.after(totalMs, () => stop.abort(new Error(`no end within ${totalMs} ms`)));
  try {
    signal.throwIfAborted();
    for (let next: number | undefined = Math.max(0, from); next !== undefined;) {
      next = yield* replayOnce(target, next, deps, stop.signal);
    }
  } catch (error) {
    signal.throwIfAborted();
    const reason = reasonOf(stop.signal.reason ?? error);
    throw new Error(`Cannot replay from ${zmqAddress(target.host, target.port)}: ${reason}`, { cause: error });
  } finally {
    deadline.cancel();
    signal.removeEventListener("abort", forward);
  }
}

/** One request and its answer up to the first hole; returns where to ask again, undefined when the answer was whole. */
async function* replayOnce(
  { host, port, idleMs }: ReplayTarget,
  from: number,
  deps: FeedDeps,
  signal: AbortSignal,
): AsyncGenerator<KvBatch, number | undefined> {
  const target = { host, port, socketType: "DEALER", connectTimeoutMs: idleMs } as const;
  const connection = await ZmqConnection.open(target, deps.clock, signal);
  const close = () => connection.close();
  signal.addEventListener("abort", close, { once: true });
  try {
    await connection.send(replayRequestFrames(from));
    let next: number | undefined;
    for (let strange = 0;;) {
      const frames = connection.next();
      if (!frames) {
        const begun = next !== undefined;
        if (await filled(connection, begun ? Math.min(gapMs, idleMs) : idleMs, deps)) continue;
        if (begun) return next;
        throw new Error(`no reply within ${idleMs} ms`);
      }
      const reply = parseReplayFrames(frames);
      if (reply === "end") return undefined;
      if (reply === undefined && ++strange > strangeRepliesMax) throw new Error("the replies are not an engine's");
      if (reply === undefined || reply.seq < (next ?? from)) continue;
      if (next !== undefined && reply.seq > next) return next;
      if (deps.turns.exhausted()) await deps.turns.next();
      signal.throwIfAborted();
      yield batchOf(reply);
      next = reply.seq + 1;
    }
  } finally {
    signal.removeEventListener("abort", close);
    connection.close();
  }
}

/** Whether bytes came within `ms`; when not, the connection is closed. */
async function filled(connection: ZmqConnection, ms: number, { clock }: FeedDeps): Promise<boolean> {
  let silent = false;
  const timer = clock.after(ms, () => {
    silent = true;
    connection.close();
  });
  try {
    await connection.fill();
    return true;
  } catch (error) {
    if (silent) return false;
    throw error;
  } finally {
    timer.cancel();
  }
}
