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

  constructor(desk: LatencyDesk, parts: SnapshotParts, setup: LatencySetup, log: Logger) {
    this.#desk = desk;
    this.#parts = parts;
    this.#setup = setup;
    this.#log = log;
    this.#clock = parts.clock;
  }

  /**
   * Takes over what the last life of the router learned; else begins with the configured models. Throws ConfigError for a model
   * that cannot be used; of a snapshot that is told alone.
   */
  async begin(): Promise<void> {
    if (!await this.#recall()) await this.#seed();
    this.#later();
  }

  /** Writes the snapshot, where one is configured; a failure is told. */
  async keep(): Promise<void> {
    const { file } = this.#setup.snapshot;
    if (file === undefined) return;
    const unfinished = `${file}.part`;
    try {
      await Deno.writeFile(unfinished, encodeSnapshot(this.#parts), { mode: 0o600 });
      await Deno.rename(unfinished, file);
    } catch (error) {
      this.#log.error("Cannot write what was learned of latencies", { file, cause: reasonOf(error) });
    }
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #later(): void {
    const { file, intervalMs } = this.#setup.snapshot;
    if (file === undefined) return;
    this.#timer = this.#clock.after(intervalMs, () => void this.keep().finally(() => this.#later()), {
      background: true,
    });
  }

  async #recall(): Promise<boolean> {
    const { file } = this.#setup.snapshot;
    if (file === undefined) return false;
    try {
      const bytes = await readBounded(file, snapshotBytesMax);
      this.#desk.remember(await decodeSnapshot(bytes, this.#parts));
      this.#log.info("What was learned of latencies is read", { file });
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      this.#log.warn("Cannot use what was learned of latencies", { file, cause: reasonOf(error) });
      return false;
    }
  }

  async #seed(): Promise<void> {
    for (const [target, name] of targets.entries()) {
      const path = this.#setup.seedModel[name];
      if (path === undefined) continue;
      try {
        await this.#desk.governor.adopt(target, await readBounded(path, modelBytesMax));
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
