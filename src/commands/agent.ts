/** `warmpath agent`: beside a model server, tells routers what it caches and how loaded it is. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { type Clock, ConfigError, type KeyPair, Prng, randomSeed, systemClock } from "../core/mod.ts";
import { Agent, type AgentParts, openBlockTree } from "../agent/mod.ts";
import { type FeedDeps, type FeedSource, feedSource, Turns } from "../kv/mod.ts";
import { Dialects, HttpFetcher } from "../pool/mod.ts";
import { Logger } from "../telemetry/mod.ts";
import { type AgentFlags, type AgentSettings, agentSettings } from "./agent_flags.ts";
import { callableHost, exitMisconfigured, type ProcessHost, untilSignal, version } from "./process.ts";

/**
 * Bytes of the tree for each rank. A block the engine announced takes two entries of 16 bytes and less than a quarter
 * goes to waste: this is room for caches of 1.5 M blocks, and what is not used costs no memory.
 */
const rankTreeBytes = 64 << 20;

/** Between two questions for load to an engine's gRPC port, which serves no metrics page. */
const loadIntervalMs = 50;

/** Runs the agent until a signal ends it. Returns the exit code. */
export async function agent(flags: AgentFlags, host: ProcessHost): Promise<number> {
  const clock = systemClock;
  const format = host.errIsTerminal ? "text" : "json";
  const log = new Logger({ write: (line) => host.err(line.trimEnd()), clock, format });
  const fetcher = new HttpFetcher({ clock });
  try {
    const settings = agentSettings(flags, host.env);
    const running = await Agent.start(await partsOf(settings, { clock, log, fetcher }));
    announce(running.port, settings, log);
    await untilSignal(host);
    log.info("Shutting down: routers are told");
    const stopped = running.stop().then(() => 0);
    // Asked a second time, it goes at once.
    return await Promise.race([stopped, untilSignal(host).then(() => 1)]);
  } catch (error) {
    const complaint = complaintOf(error);
    if (complaint === undefined) throw error;
    host.err(complaint);
    return exitMisconfigured;
  } finally {
    fetcher.close();
  }
}

async function partsOf(
  settings: AgentSettings,
  { clock, log, fetcher }: { clock: Clock; log: Logger; fetcher: HttpFetcher },
): Promise<AgentParts> {
  const { ranks, hashSeed, host, port, metrics } = settings;
  const deps = { clock, turns: new Turns(clock) };
  return {
    clock,
    rng: new Prng(randomSeed()),
    log,
    version,
    tree: await openBlockTree(ranks, rankTreeBytes * ranks, hashSeed),
    sources: Array.from({ length: ranks }, (_, rank) => openSource(settings, rank, deps)),
    server: { host, port, tls: await readTls(settings) },
    metrics: metrics && {
      target: metrics,
      path: metrics.path,
      dialect: dialectOf(metrics.engine),
      fetchText: fetcher.fetch,
    },
  };
}

function openSource(settings: AgentSettings, rank: number, deps: FeedDeps): FeedSource {
  const { engine, engineHost: host, enginePort, topic } = settings;
  if (engine !== "zmq") return feedSource({ kind: engine, host, port: enginePort, loadIntervalMs }, deps);
  const replayPort = settings.replayPort === undefined ? undefined : settings.replayPort + rank;
  return feedSource({ kind: engine, host, port: enginePort + rank, replayPort, topic }, deps);
}

function dialectOf(engine: string) {
  const dialects = new Dialects();
  if (dialects.names.includes(engine)) return dialects.of({}, engine);
  const known = dialects.names.join(", ");
  throw new ConfigError("--metrics-engine", "", `must be one of ${known}: current value is "${engine}"`);
}

/** Reads and checks both: the port itself would say nothing of a bad one and fail every handshake. */
async function readTls({ tls }: AgentSettings): Promise<KeyPair | undefined> {
  if (!tls) return undefined;
  // One after the other, so that of two mistakes it is always the first that is told.
  const cert = await readText("--tls-cert", tls.certFile);
  const key = await readText("--tls-key", tls.keyFile);
  const certificate = parsed("--tls-cert", "a PEM certificate", () => new X509Certificate(cert));
  const privateKey = parsed("--tls-key", "a PEM private key without a password", () => createPrivateKey(key));
  if (certificate.checkPrivateKey(privateKey)) return { cert, key };
  throw new ConfigError("--tls-key", "", "must be the key of the certificate: it is another's");
}

async function readText(flag: string, file: string): Promise<string> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    throw new ConfigError(flag, "", `must be a readable file: ${(error as Error).message}`);
  }
}

function parsed<T>(flag: string, form: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw new ConfigError(flag, "", `must hold ${form}: it does not`);
  }
}

function announce(port: number, settings: AgentSettings, log: Logger): void {
  const { engine, engineHost, enginePort, ranks, tls, host } = settings;
  log.info("Serving routers", {
    url: `${tls ? "https" : "http"}://${callableHost(host)}:${port}`,
    engine,
    from: `${engineHost}:${enginePort}`,
    ranks,
  });
}

/** What to say to the operator; undefined for what is no mistake of theirs. */
function complaintOf(error: unknown): string | undefined {
  if (error instanceof ConfigError) return error.message;
  if (!(error instanceof Error)) return undefined;
  if (!/^(listen|getaddrinfo) /.test(error.message)) return undefined;
  return `Cannot listen: ${error.message}. Choose another address with --host and --port`;
}
