/** Endpoints from a file that may be rewritten at any time, in place or by an atomic rename. */
import { basename, dirname } from "node:path";
import { type Clock, ConfigError, type Timer } from "../../core/mod.ts";
import type { DiscoveredEndpoint, Discovery } from "./discovery.ts";
import { endpointFileBytesMax, loadEndpointFile } from "./endpoint_file.ts";

export interface FileDiscoveryOptions {
  /** Follow changes. @default {true} */
  readonly watch: boolean;
  /** Between looks at the file where no notification comes, as on network file systems. @default {2000} */
  readonly pollIntervalMs: number;
  /** Quiet time after a change was seen, so that a file written in pieces is read once and whole. @default {50} */
  readonly quietMs: number;
}

const defaults: FileDiscoveryOptions = { watch: true, pollIntervalMs: 2000, quietMs: 50 };

/** Reads a file of at most the endpoint file's size. @throws {ConfigError} When it cannot be read or is too long. */
async function readBounded(path: string): Promise<string> {
  try {
    using file = await Deno.open(path);
    const info = await file.stat();
    if (!info.isFile) throw new ConfigError(path, "", "must be a file");
    const buffer = new Uint8Array(Math.min(info.size, endpointFileBytesMax) + 1);
    let length = 0;
    for (let read; length < buffer.length && (read = await file.read(buffer.subarray(length))) !== null;) {
      length += read;
    }
    if (length > endpointFileBytesMax) {
      throw new ConfigError(path, "", `must be at most ${endpointFileBytesMax} bytes long`);
    }
    return new TextDecoder().decode(buffer.subarray(0, length));
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(path, "", `must be a readable file: ${error instanceof Error ? error.message : error}`);
  }
}

/**
 * llm-d's file discovery. The parent directory is watched, since a rename replaces the file itself and Kubernetes swaps a
 * link beside it; a slow poll covers file systems without notifications. A file that turned bad keeps the old list.
 */
export class FileDiscovery implements Discovery {
  readonly name: string;
  readonly #path: string;
  readonly #clock: Clock;
  readonly #options: FileDiscoveryOptions;
  #onChange: (desired: readonly DiscoveredEndpoint[]) => void = () => {};
  #onError: (error: Error) => void = () => {};
  #watcher?: Deno.FsWatcher;
  #pollTimer?: Timer;
  #quietTimer?: Timer;
  #stopped = false;
  #checking?: Promise<void>;
  /** What the file system said of the version read last. */
  #seen = "";
  #text?: string;
  #lastError = "";

  constructor(path: string, clock: Clock, options: Partial<FileDiscoveryOptions> = {}) {
    this.name = `file ${basename(path)}`;
    this.#path = path;
    this.#clock = clock;
    this.#options = { ...defaults, ...options };
  }

  async start(
    onChange: (desired: readonly DiscoveredEndpoint[]) => void,
    onError: (error: Error) => void,
  ): Promise<void> {
    this.#onChange = onChange;
    this.#onError = onError;
    this.#seen = await this.#stamp();
    const text = await readBounded(this.#path);
    const endpoints = loadEndpointFile(text, this.#path);
    if (this.#stopped) return;
    this.#text = text;
    onChange(endpoints);
    if (!this.#options.watch) return;
    this.#watch();
    this.#poll();
  }

  stop(): void {
    this.#stopped = true;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#pollTimer?.cancel();
    this.#quietTimer?.cancel();
  }

  /** Looks at the file now; the list is read again when it changed. */
  check(): Promise<void> {
    return this.#checking ??= this.#reload().finally(() => this.#checking = undefined);
  }

  #watch(): void {
    try {
      this.#watcher = Deno.watchFs(dirname(this.#path), { recursive: false });
    } catch (error) {
      // Without notifications (none left to have, or no such file system) the poll goes on.
      this.#onError(new Error(`Cannot watch ${this.#path}, polling it`, { cause: error }));
      return;
    }
    const watcher = this.#watcher;
    (async () => {
      for await (const event of watcher) if (event.kind !== "access") this.#settle();
    })().catch((error) =>
      this.#onError(new Error(`Cannot watch ${this.#path} any longer, polling it`, { cause: error }))
    );
  }

  #settle(): void {
    this.#quietTimer?.cancel();
    this.#quietTimer = this.#clock.after(this.#options.quietMs, () => void this.check(), { background: true });
  }

  #poll(): void {
    this.#pollTimer = this.#clock.after(this.#options.pollIntervalMs, () => {
      void this.#stamp().then((stamp) => {
        if (this.#stopped) return;
        if (stamp !== this.#seen) this.#settle();
        this.#poll();
      });
    }, { background: true });
  }

  async #stamp(): Promise<string> {
    try {
      const { mtime, size, ino, dev } = await Deno.stat(this.#path);
      return `${mtime?.getTime()} ${size} ${ino} ${dev}`;
    } catch {
      return "missing";
    }
  }

  async #reload(): Promise<void> {
    const stamp = await this.#stamp();
    if (this.#stopped || stamp === this.#seen) return;
    this.#seen = stamp;
    try {
      const text = await readBounded(this.#path);
      if (this.#stopped || text === this.#text) return;
      const endpoints = loadEndpointFile(text, this.#path);
      this.#text = text;
      this.#lastError = "";
      this.#onChange(endpoints);
    } catch (error) {
      this.#report(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #report(error: Error): void {
    if (this.#stopped || error.message === this.#lastError) return;
    this.#lastError = error.message;
    this.#onError(error);
  }
}
