/** What was learned of latencies, kept over restarts, and models to begin with. */
import { type Clock, ConfigError, reasonOf, type Timer } from "../core/mod.ts";
import { decodeSnapshot, encodeSnapshot, snapshotBytesMax, type SnapshotParts, targets } from "../latency/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import type { LatencyDesk } from "./latency_desk.ts";
import type { LatencySetup } from "./scheduling.ts";

/** A model file that is read. */
const modelBytesMax = 32 << 20;

export class LatencyFiles {
  readonly #desk: LatencyDesk;
  readonly #parts: SnapshotParts;
  readonly #setup: LatencySetup;
  readonly #log: Logger;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  /** Ends when the write before has: two at once would spoil the file. */
  #written: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(desk: LatencyDesk, parts: SnapshotParts, setup: LatencySetup, log: Logger) {
    this.#desk = desk;
    this.#parts = parts;
    this.#setup = setup;
    this.#log = log;
    this.#clock = parts.clock;
  }

  /**
   * Takes over what the last life of the router learned; where it had no model, begins with the configured one. Throws ConfigError
   * for a model that cannot be used; of a snapshot that is told alone.
   */
  async begin(): Promise<void> {
    await this.#recall();
    await this.#seed();
    this.#later();
  }

  /** Writes the snapshot, where one is configured; a failure is told. */
  keep(): Promise<void> {
    const { file } = this.#setup.snapshot;
    if (file !== undefined) this.#written = this.#written.then(() => this.#write(file));
    return this.#written;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #write(file: string): Promise<void> {
    const unfinished = `${file}.part`;
    try {
      await Deno.writeFile(unfinished, encodeSnapshot(this.#parts), { mode: 0o600 });
      await Deno.rename(unfinished, file);
    } catch (error) {
      this.#log.error("Cannot write what was learned of latencies", { file, cause: reasonOf(error) });
    }
  }

  #later(): void {
    const { file, intervalMs } = this.#setup.snapshot;
    if (file === undefined || this.#stopped) return;
    this.#timer = this.#clock.after(intervalMs, () => void this.keep().finally(() => this.#later()), {
      background: true,
    });
  }

  async #recall(): Promise<void> {
    const { file } = this.#setup.snapshot;
    if (file === undefined) return;
    try {
      const bytes = await readBounded(file, snapshotBytesMax);
      this.#desk.remember(await decodeSnapshot(bytes, this.#parts));
      this.#log.info("What was learned of latencies is read", { file });
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      this.#log.warn("Cannot use what was learned of latencies", { file, cause: reasonOf(error) });
    }
  }

  async #seed(): Promise<void> {
    const { governor } = this.#desk;
    for (const [target, name] of targets.entries()) {
      const path = this.#setup.seedModel[name];
      if (path === undefined || governor.champion(target)) continue;
      try {
        await governor.adopt(target, await readBounded(path, modelBytesMax));
      } catch (error) {
        const why = `must be a model file in XGBoost's JSON or UBJSON: ${reasonOf(error)}`;
        throw new ConfigError(path, `latency.seedModel.${name}`, why);
      }
      this.#log.info("A model predicts latency from a file", { target: name, file: path });
    }
  }
}

/** Reads a file that is not larger than it may be. */
async function readBounded(path: string, bytesMax: number): Promise<Uint8Array> {
  const { size } = await Deno.stat(path);
  if (size > bytesMax) throw new RangeError(`it has ${size} bytes, ${bytesMax} at most are read`);
  return await Deno.readFile(path);
}
