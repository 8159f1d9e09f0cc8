import { type Clock, ConfigError } from "../core/mod.ts";
import {
  type Config,
  emptyRawConfig,
  type Overrides,
  readConfigFile,
  resolveConfig,
  withKeysFile,
} from "../config/mod.ts";
import { fileStamp } from "./file_stamp.ts";
import type { Router } from "./router.ts";

/** Between looks at the configuration file. */
const checkMs = 1_000;

/** Reads the configuration the overrides name, with the overrides applied. Throws ConfigError. */
export async function readConfig(overrides: Overrides): Promise<Config> {
  const raw = overrides.configPath === undefined ? emptyRawConfig : await readConfigFile(overrides.configPath);
  const { keysFile } = overrides;
  return resolveConfig(keysFile === undefined ? raw : await withKeysFile(raw, keysFile), overrides);
}

/** Keeps a router in step with its configuration file: at each change and whenever asked. A bad file changes nothing. */
export class Reloader {
  readonly #router: Router;
  readonly #overrides: Overrides;
  readonly #clock: Clock;
  #seen: string;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  /** `seen` is the stamp of the configuration the router was started with. */
  constructor(router: Router, overrides: Overrides, clock: Clock, seen: string) {
    this.#router = router;
    this.#overrides = overrides;
    this.#clock = clock;
    this.#seen = seen;
    if (overrides.configPath !== undefined || overrides.keysFile !== undefined) this.#later();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Reads the file again, after a reload that is under way. */
  reload(): Promise<void> {
    this.#running = this.#running.then(() => this.#reload());
    return this.#running;
  }

  #later(): void {
    this.#clock.after(checkMs, async () => {
      if (this.#stopped) return;
      const now = await configStamp(this.#overrides, this.#router.config);
      if (now !== this.#seen) {
        this.#seen = now;
        await this.reload();
      }
      this.#later();
    }, { background: true });
  }

  async #reload(): Promise<void> {
    if (this.#stopped) return;
    const { log, metrics } = this.#router;
    try {
      await this.#router.reload(await readConfig(this.#overrides));
      metrics.configReloaded(true);
      log.info("Configuration reloaded", { file: this.#overrides.configPath ?? this.#overrides.keysFile });
    } catch (error) {
      metrics.configReloaded(false);
      const problem = error instanceof ConfigError ? error.message : String(error);
      log.error("Cannot reload the configuration: the old one stays", { problem });
    }
  }
}

/** What tells one version of the configuration from the next: of the file itself and of those it names. */
export async function configStamp({ configPath }: Overrides, { files }: Config): Promise<string> {
  const paths = configPath === undefined ? files : [configPath, ...files];
  return (await Promise.all(paths.map((path) => fileStamp(path).catch(() => "absent")))).join();
}
