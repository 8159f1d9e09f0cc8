import { ConfigError } from "../core/mod.ts";
import { type SimOptions, startSimServer } from "../sim/mod.ts";
import { exitMisconfigured, type ProcessHost } from "./process.ts";

/** Runs one simulated model server until a signal ends it. Returns the exit code. */
export async function simulate(options: Partial<SimOptions>, host: ProcessHost): Promise<number> {
  try {
    const server = startSimServer(options);
    host.err(`Simulated model server ${server.podName} listens at ${server.url}`);
    await new Promise<void>((resolve) => {
      host.onSignal("SIGTERM", resolve);
      host.onSignal("SIGINT", resolve);
    });
    await server.stop();
    return 0;
  } catch (error) {
    if (error instanceof ConfigError || error instanceof Deno.errors.AddrInUse) {
      host.err(error.message);
      return exitMisconfigured;
    }
    throw error;
  }
}
