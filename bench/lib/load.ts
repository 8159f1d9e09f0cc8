/** The client's side: paced streams at once, requests in closed and open loop, batches, and times one by one. */
import type { Prng } from "../../src/core/mod.ts";
import { chunkBytes } from "./chunk.ts";
import { type Answer, Connection, type Target } from "./http.ts";
import { shortBody } from "./prompts.ts";

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Streams that run until `stop`; `chunks` counts what has arrived over all of them. */
export class PacedStreams {
  readonly #connections: readonly Connection[];
  readonly #streams: Promise<void>[];
  #bytes = 0;
  #stopping = false;
  /** What went wrong with the first stream that did not run until `stop`. */
  #failure: unknown;

  constructor(target: Target, count: number, chunksEach: number) {
    const body = shortBody({ maxTokens: chunksEach, stream: true });
    const onBody = (bytes: number) => void (this.#bytes += bytes);
    this.#connections = Array.from({ length: count }, () => new Connection(target, { onBody, bufferBytes: 16_384 }));
    this.#streams = this.#connections.map((connection) => this.#run(connection, body));
  }

  get chunks(): number {
    return this.#bytes / chunkBytes;
  }

  /** Cuts the streams; throws when one of them had ended before. */
  async stop(): Promise<void> {
    const failure = this.#failure;
    this.#stopping = true;
    for (const connection of this.#connections) connection.close();
    await Promise.all(this.#streams);
    if (failure !== undefined) throw new Error("Cannot count chunks as a stream ended early", { cause: failure });
  }

  async #run(connection: Connection, body: Uint8Array): Promise<void> {
    try {
      await connection.ask(body);
      this.#failure ??= new Error("The stream was complete");
    } catch (error) {
      if (!this.#stopping) this.#failure ??= error;
    }
  }
}

/** Runs `use` with `count` connections, and closes them. */
async function withConnections<T>(
  target: Target,
  count: number,
  use: (connections: Connection[]) => Promise<T>,
): Promise<T> {
  const connections = Array.from({ length: count }, () => new Connection(target));
  try {
    return await use(connections);
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** Each of `connections` sends its next request when the last is answered, for `seconds`; how many were answered. */
export function closedLoop(
  target: Target,
  connections: number,
  seconds: number,
  next: () => Uint8Array,
): Promise<number> {
  return withConnections(target, connections, async (all) => {
    const endMs = performance.now() + seconds * 1000;
    let answered = 0;
    await Promise.all(all.map(async (connection) => {
      for (; performance.now() < endMs; answered++) await connection.ask(next());
    }));
    return answered;
  });
}

/** `count` requests, `inFlight` at once, begun evenly over the first `rampMs`. */
export function batch(
  target: Target,
  { count, inFlight, rampMs }: { readonly count: number; readonly inFlight: number; readonly rampMs: number },
  next: () => Uint8Array,
): Promise<Answer[]> {
  return withConnections(target, Math.min(inFlight, count), async (all) => {
    const answers: Answer[] = [];
    let sent = 0;
    await Promise.all(all.map(async (connection, i) => {
      await pause(i * rampMs / all.length);
      while (sent++ < count) answers.push(await connection.ask(next()));
    }));
    return answers;
  });
}

/** Requests arrive by chance at a rate, whatever becomes of those before. */
export interface OpenLoop {
  readonly perS: number;
  readonly seconds: number;
  readonly prng: Prng;
  /** A request that finds all in use waits for one, and its time counts. */
  readonly connections: number;
}

/**
 * Milliseconds from each arrival to the end of its answer, ascending. Timers tick once a millisecond: what is due between two
 * ticks arrives at the second, together.
 */
export function openLoop(target: Target, options: OpenLoop, body: Uint8Array): Promise<Float64Array> {
  const { perS, seconds, prng, connections } = options;
  return withConnections(target, connections, async (all) => {
    const tookMs: number[] = [], dueMs: number[] = [], idle = [...all], running = new Set<Promise<void>>();
    const work = async (connection: Connection) => {
      for (let due; (due = dueMs.shift()) !== undefined; tookMs.push(performance.now() - due)) {
        await connection.ask(body);
      }
      idle.push(connection);
    };
    const startMs = performance.now(), endMs = startMs + seconds * 1000;
    for (let nextMs = startMs; nextMs < endMs;) {
      await pause(Math.max(0, nextMs - performance.now()));
      for (const nowMs = performance.now(); nextMs <= nowMs; nextMs += prng.exponential(1000 / perS)) {
        dueMs.push(nowMs);
      }
      while (dueMs.length > 0 && idle.length > 0) {
        const run = work(idle.pop()!);
        running.add(run);
        // A failure stays, for the end to throw.
        run.then(() => running.delete(run), () => {});
      }
    }
    await Promise.all(running);
    return Float64Array.from(tookMs).sort();
  });
}

/** The same requests asked of each target in turn, one at a time; times to the first body byte, ascending, by target. */
export async function inTurns(
  targets: readonly Target[],
  count: number,
  next: () => Uint8Array,
): Promise<Float64Array[]> {
  const connections = targets.map((target) => new Connection(target));
  const took = targets.map(() => new Float64Array(count));
  try {
    for (let i = 0; i < count; i++) {
      const body = next();
      for (const [t, connection] of connections.entries()) took[t][i] = (await connection.ask(body)).firstByteMs;
    }
  } finally {
    for (const connection of connections) connection.close();
  }
  return took.map((times) => times.sort());
}

/**
 * Asks until an answer comes: a router serves once it has found its endpoints. Throws the last refusal after `ms`, and at
 * once what `unless` says, such as the last words of a program that has ended.
 */
export async function untilAnswers(
  target: Target,
  { ms = 10_000, unless = () => undefined }: { readonly ms?: number; readonly unless?: () => string | undefined } = {},
): Promise<void> {
  const endMs = performance.now() + ms, body = shortBody({ maxTokens: 1, stream: true });
  for (;;) {
    const connection = new Connection(target);
    const timer = setTimeout(() => connection.close(), Math.max(0, endMs - performance.now()));
    try {
      return void await connection.ask(body);
    } catch (error) {
      const reason = unless();
      if (reason !== undefined) throw new Error(reason);
      if (performance.now() > endMs) throw error;
      await pause(50);
    } finally {
      clearTimeout(timer);
      connection.close();
    }
  }
}
