import { ConfigError } from "../core/mod.ts";
import { readConfig } from "./reload.ts";
import { exitMisconfigured, type ProcessHost } from "./process.ts";
import { schedulingSetup } from "./scheduling.ts";

/** Checks a configuration file as `serve` would read it, and says what it finds. Returns the exit code. */
export async function checkConfig(file: string, host: ProcessHost): Promise<number> {
  try {
    const config = await readConfig({ configPath: file });
    const setup = schedulingSetup(config);
    for (const warning of [...config.warnings, ...setup.warnings]) host.err(`warning: ${warning}`);
    host.out(`${file}: ok`);
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    host.err(error.message);
    return exitMisconfigured;
  }
}
