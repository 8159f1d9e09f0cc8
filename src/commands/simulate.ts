import { ConfigError } from "../core/mod.ts";
import { type SimServer, type SimSettings, startSimServer } from "../sim/mod.ts";
import { exitMisconfigured, type ProcessHost, untilSignal } from "./process.ts";

/** Runs one simulated model server until a signal ends it. Returns the exit code. */
export async function simulate(options: SimSettings, host: ProcessHost): Promise<number> {
  let server: SimServer | undefined;
  try {
    server = startSimServer(options);
    const { kvEvents, kvReplay, grpcUrl } = await server.feeds;
    host.err(`Simulated model server ${server.podName} listens at ${server.url}`);
    for (const address of kvEvents) {
      host.err(
        address
          ? `Cache events are published at ${address}`
          : `Cache events are sent to ${options.kvEvents?.endpoint}, where a collector must listen; tcp://*:PORT listens here`,
      );
    }
    for (const address of kvReplay) host.err(`Cache events are resent from ${address}`);
    if (grpcUrl !== undefined) host.err(`The gRPC service listens at ${grpcUrl}`);
    await untilSignal(host);
    await server.stop();
    return 0;
  } catch (error) {
    await server?.stop();
    if (error instanceof ConfigError || isAddressInUse(error)) {
      host.err(error.message);
      return exitMisconfigured;
    }
    throw error;
  }
}

/** Deno's error, or that of a socket of another library. */
function isAddressInUse(error: unknown): error is Error {
  return error instanceof Deno.errors.AddrInUse ||
    (error instanceof Error && "code" in error && error.code === "EADDRINUSE");
}
