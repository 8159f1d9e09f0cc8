import { type Clock, ConfigError } from "../core/mod.ts";
import { type Config, emptyRawConfig, type Overrides, readConfigFile, resolveConfig } from "../config/mod.ts";
import type { Router } from "./router.ts";

/** Between looks at the configuration file. */
const checkMs = 1_000;

/** Reads the configuration the overrides name, with the overrides applied. Throws ConfigError. */
export async function readConfig(overrides: Overrides): Promise<Config> {
  const raw = overrides.configPath === undefined ? emptyRawConfig : await readConfigFile(overrides.configPath);
  return resolveConfig(raw, overrides);
}

/** Keeps a router in step with its configuration file: at each change and whenever asked. A bad file changes nothing. */
export class Reloader {
  readonly #router: Router;
  readonly #overrides: Overrides;
  readonly #clock: Clock;
  #seen: string;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(router: Router, overrides: Overrides, clock: Clock, seen: string) {
    this.#router = router;
    this.#overrides = overrides;
    this.#clock = clock;
    this.#seen = seen;
    if (overrides.configPath !== undefined) this.#later();
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
      const now = await fileStamp(this.#overrides.configPath!);
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
      log.info("Configuration reloaded", { file: this.#overrides.configPath });
    } catch (error) {
      metrics.configReloaded(false);
      const problem = error instanceof ConfigError ? error.message : String(error);
      log.error("Cannot reload the configuration: the old one stays", { problem });
    }
  }
}

/** What tells one version of a file from the next, through links too: a mounted ConfigMap is swapped by its link. */
export async function fileStamp(path: string): Promise<string> {
  try {
    const { mtime, size, ino } = await Deno.stat(path);
    return `${mtime?.getTime()} ${size} ${ino}`;
  } catch {
    return "absent";
  }
}
