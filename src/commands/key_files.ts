/** Certificates and keys that the router shows, read from files and read again when these change. */
import { type Clock, ConfigError, type KeyPair, reasonOf, type Timer } from "../core/mod.ts";
import type { Config, KeyPairFiles } from "../config/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { fileStamp } from "./file_stamp.ts";

/** Between looks at the files: certificates are renewed hours before they end. */
const checkMs = 5_000;

export interface KeyFilesEvents {
  /** New connections get this pair from now on. Rejects when it cannot be used. */
  readonly onChange: (pair: KeyPair) => Promise<void>;
  readonly onRenewed: (key: string) => void;
  /** The files cannot be used: the old pair stays. */
  readonly onProblem: (key: string, problem: string) => void;
}

/** One certificate with its key. */
export class KeyFiles {
  readonly #files: KeyPairFiles;
  readonly #key: string;
  #pair: KeyPair;
  #seen: string;
  #events: KeyFilesEvents | undefined;
  #timer: Timer | undefined;
  #checking: Promise<void> = Promise.resolve();

  private constructor(files: KeyPairFiles, key: string, seen: string, pair: KeyPair) {
    this.#files = files;
    this.#key = key;
    this.#seen = seen;
    this.#pair = pair;
  }

  /** `key` is where the configuration names the files. Throws ConfigError for files that cannot be used. */
  static async open(files: KeyPairFiles, key: string): Promise<KeyFiles> {
    try {
      const seen = await stampOf(files);
      return new KeyFiles(files, key, seen, await readPair(files));
    } catch (error) {
      throw new ConfigError(files.certFile, key, `must be a certificate and its key: ${reasonOf(error)}`);
    }
  }

  get pair(): KeyPair {
    return this.#pair;
  }

  /** Looks at the files every few seconds until `stop`. */
  watch(clock: Clock, events: KeyFilesEvents): void {
    this.#events = events;
    const later = () => {
      this.#timer = clock.after(checkMs, () => void this.check().then(() => this.#events && later()), {
        background: true,
      });
    };
    later();
  }

  stop(): void {
    this.#events = undefined;
    this.#timer?.cancel();
  }

  /** Reads the files when they have changed since they were last looked at. Never rejects. */
  check(): Promise<void> {
    this.#checking = this.#checking.then(() => this.#check());
    return this.#checking;
  }

  async #check(): Promise<void> {
    try {
      const now = await stampOf(this.#files);
      if (now === this.#seen) return;
      this.#seen = now;
      const pair = await readPair(this.#files);
      // First: what is opened meanwhile gets the new one.
      this.#pair = pair;
      try {
        await this.#events?.onChange(pair);
      } catch (error) {
        // Tried again at the next look.
        this.#seen = "";
        throw error;
      }
      this.#events?.onRenewed(this.#key);
    } catch (error) {
      this.#events?.onProblem(this.#key, reasonOf(error));
    }
  }
}

/** What the configuration's sections show to whom: clients, operators, model servers. */
export interface RouterKeys {
  readonly server?: KeyFiles;
  readonly admin?: KeyFiles;
  readonly upstream?: KeyFiles;
}

/** Opens every pair that the configuration names. Throws ConfigError. */
export async function openKeys({ server, admin, upstream }: Config): Promise<RouterKeys> {
  const { certFile, keyFile } = upstream.tls;
  return {
    ...(server.tls && { server: await KeyFiles.open(server.tls, "server.tls") }),
    ...(admin.tls && { admin: await KeyFiles.open(admin.tls, "admin.tls") }),
    ...(certFile !== undefined && keyFile !== undefined &&
      { upstream: await KeyFiles.open({ certFile, keyFile }, "upstream.tls") }),
  };
}

/** Has every pair looked at from now on; `onChange` is told of a new one by section. */
export function watchKeys(
  keys: RouterKeys,
  clock: Clock,
  log: Logger,
  onChange: Readonly<Record<keyof RouterKeys, KeyFilesEvents["onChange"]>>,
): void {
  for (const [section, files] of Object.entries(keys) as [keyof RouterKeys, KeyFiles][]) {
    files.watch(clock, {
      onChange: onChange[section],
      onRenewed: (key) => log.info("Certificate renewed", { key }),
      onProblem: (key, problem) => log.error("Cannot renew a certificate: the old one stays", { key, problem }),
    });
  }
}

async function readPair({ certFile, keyFile }: KeyPairFiles): Promise<KeyPair> {
  const [cert, key] = await Promise.all([Deno.readTextFile(certFile), Deno.readTextFile(keyFile)]);
  // The runtime checks a pair where it listens with it, and nowhere else.
  Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key }).close();
  return { cert, key };
}

async function stampOf({ certFile, keyFile }: KeyPairFiles): Promise<string> {
  return (await Promise.all([certFile, keyFile].map(fileStamp))).join();
}
