/** What the router knows of caches, kept over its restarts and given to others. */
import type { Clock } from "../core/mod.ts";
import type { SnapshotConfig } from "../config/mod.ts";
import { type Caches, fetchSnapshot, readSnapshotFile, writeSnapshotFile } from "../kv/mod.ts";
import type { Logger } from "../telemetry/mod.ts";

/** How long a peer may take to tell what it knows: a start is not held up for longer. */
const peerTimeoutMs = 5_000;

export class CacheSnapshots {
  readonly #caches: Caches;
  readonly #config: SnapshotConfig;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #token: string | undefined;

  /** `token` is what the admin ports of peers ask for. */
  constructor(caches: Caches, config: SnapshotConfig, log: Logger, clock: Clock, token?: string) {
    this.#caches = caches;
    this.#config = config;
    this.#token = token;
    this.#log = log;
    this.#clock = clock;
  }

  /** Writes the file; undefined when none is configured. */
  save(): Promise<{ readonly file: string; readonly bytes: number }> | undefined {
    const { file } = this.#config;
    if (file === undefined) return undefined;
    return writeSnapshotFile(file, this.#caches.snapshot()).then((bytes) => ({ file, bytes }));
  }

  /** Writes the file where one is configured; a failure is told, as the router is going anyway. */
  async keep(): Promise<void> {
    try {
      const saved = await this.save();
      if (saved) this.#log.info("Snapshot written", { ...saved });
    } catch (error) {
      this.#log.error("Cannot write the snapshot", { cause: String(error) });
    }
  }

  /** Takes over what another router knows, or what this one knew when it ended. What cannot be used is told and left. */
  async recall(): Promise<void> {
    const { peers, file } = this.#config;
    for (const peer of peers) if (await this.#fetch(peer)) return;
    if (file === undefined) return;
    try {
      const found = await readSnapshotFile(file, this.#caches.reader());
      if (found) this.#log.info("Snapshot read", { file, endpoints: this.#caches.unclaimed });
    } catch (error) {
      this.#log.warn("Cannot use the snapshot", { file, cause: String(error) });
    }
  }

  async #fetch(peer: string): Promise<boolean> {
    const late = new AbortController();
    const timer = this.#clock.after(peerTimeoutMs, () => late.abort(new Error(`no end within ${peerTimeoutMs} ms`)));
    try {
      await fetchSnapshot(peer, this.#caches.seedCheck, this.#caches.reader(), late.signal, this.#token);
      this.#log.info("Snapshot fetched", { peer, endpoints: this.#caches.unclaimed });
      // One that has just started, this one itself included, knows nothing yet.
      return this.#caches.unclaimed > 0;
    } catch (error) {
      this.#log.warn("Cannot fetch a snapshot", { peer, cause: String(error) });
      return false;
    } finally {
      timer.cancel();
    }
  }
}
