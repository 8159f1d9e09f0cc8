import { ConfigError, systemClock } from "../core/mod.ts";
import {
  type Config,
  type EndpointOverride,
  type Flags,
  mergeOverrides,
  type Overrides,
  overridesFromEnv,
  overridesFromFlags,
} from "../config/mod.ts";
import { startWorkerServers, type WorkerServer, type WorkerServers } from "../sim/mod.ts";
import { callableHost, exitMisconfigured, type ProcessHost, untilSignal } from "./process.ts";
import { configStamp, readConfig, Reloader } from "./reload.ts";
import { Router } from "./router.ts";

/** Runs the router until a signal ends it. Returns the exit code. */
export async function serve(flags: Flags, host: ProcessHost): Promise<number> {
  let demo: WorkerServers | undefined;
  try {
    const overrides = mergeOverrides(overridesFromFlags(flags), overridesFromEnv(host.env));
    // Read again after the stamp: a change made in between would otherwise be taken for the version that was read.
    const seen = await configStamp(overrides, await readConfig(overrides));
    let config = await readConfig(overrides);
    let effective: Overrides = overrides;
    if (isDemo(config)) {
      const kvEvents = { endpoint: "tcp://127.0.0.1:0", replayEndpoint: "tcp://127.0.0.1:0" };
      demo = await startWorkerServers(3, { kvEvents });
      effective = { ...overrides, endpoints: demo.servers.map(demoEndpoint) };
      config = await readConfig(effective);
    }
    const router = await Router.start(config, host);
    const reloader = new Reloader(router, effective, systemClock, seen);
    announce(router, demo, host);
    host.onSignal("SIGHUP", () => void reloader.reload());
    await untilSignal(host);
    reloader.stop();
    router.log.info("Shutting down: running requests may finish", { requests: router.edges.active });
    const stopped = router.stop(router.config.server.drainTimeoutMs).then(() => 0);
    // Asked a second time, it goes at once.
    return await Promise.race([stopped, untilSignal(host).then(() => 1)]);
  } catch (error) {
    if (error instanceof ConfigError) {
      host.err(error.message);
      return exitMisconfigured;
    }
    if (listenErrors.has((error as { code?: string }).code ?? "")) {
      host.err(`Cannot listen: ${(error as Error).message}. Choose other ports with --port and --admin-port`);
      return exitMisconfigured;
    }
    throw error;
  } finally {
    await demo?.stop();
  }
}

function demoEndpoint({ port, feeds: { kvEvents, kvReplay } }: WorkerServer): EndpointOverride {
  const portOf = (endpoint: string) => Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
  const feed = { kind: "zmq", port: portOf(kvEvents[0]), replayPort: portOf(kvReplay[0]) } as const;
  return { scheme: "http", host: "127.0.0.1", port, feed };
}

const listenErrors = new Set(["EADDRINUSE", "EACCES", "EADDRNOTAVAIL", "ENOTFOUND"]);

/** Nothing was said of where model servers are. */
function isDemo({ endpoints, discovery, scheduling }: Config): boolean {
  const own = endpoints.length === 0 && discovery.file === undefined && discovery.dns.length === 0;
  return own && scheduling.from !== "endpoint-picker-config";
}

function announce(router: Router, demo: WorkerServers | undefined, host: ProcessHost): void {
  const { server, admin } = router.config;
  const url = `${server.tls ? "https" : "http"}://${callableHost(server.host)}:${router.port}`;
  if (demo) {
    host.err("");
    host.err(
      "  DEMO POOL: no endpoints are configured, so three SIMULATED model servers answer. Their words mean nothing.",
    );
    host.err(`  ${demo.urls.join("  ")}`);
    host.err("  Route to real servers with --endpoints http://host:port,… or --config FILE. Try it:");
    host.err("");
    host.err(`  curl -N ${url}/v1/chat/completions -H 'content-type: application/json' \\`);
    host.err(
      `    -d '{"model":"sim/model-8b","stream":true,"max_tokens":16,"messages":[{"role":"user","content":"Hello"}]}'`,
    );
    host.err("");
  }
  router.log.info("Serving", {
    url,
    admin: `${admin.tls ? "https" : "http"}://${callableHost(admin.host)}:${router.adminPort}`,
    endpoints: router.pool.readiness().total,
  });
}
