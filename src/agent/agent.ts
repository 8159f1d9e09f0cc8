/** The whole agent: feeds from the engine into a tree, the load beside them, and the port that tells both. */
import { type Clock, type FeedState, feedStateNames, type Prng, randomSeed } from "../core/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import { EndpointFeed, type FeedSource, seedCheck } from "../kv/mod.ts";
import type { EngineDialect, FetchTarget, FetchText } from "../pool/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { JournalTree } from "./journal.ts";
import { LoadWatch } from "./load_watch.ts";
import { Publisher } from "./publisher.ts";
import { AgentServer, type AgentServerOptions } from "./server.ts";

export interface AgentParts {
  readonly clock: Clock;
  readonly rng: Prng;
  readonly log: Logger;
  /** Release of the program, for hellos. */
  readonly version: string;
  /** The agent's alone, with a slot for each source. */
  readonly tree: BlockTreeApi;
  /** The engine's data-parallel ranks, in order. */
  readonly sources: readonly FeedSource[];
  readonly server: Omit<AgentServerOptions, "seedCheck">;
  /** Where load is read; absent: only what the sources tell. */
  readonly metrics?: {
    readonly target: FetchTarget;
    readonly path: string;
    readonly dialect: EngineDialect;
    readonly fetchText: FetchText;
  };
}

export class Agent {
  readonly #publishers: readonly Publisher[];
  readonly #feeds: readonly EndpointFeed[];
  readonly #load?: LoadWatch;
  readonly #server: AgentServer;

  private constructor(
    publishers: readonly Publisher[],
    feeds: readonly EndpointFeed[],
    load: LoadWatch | undefined,
    server: AgentServer,
  ) {
    this.#publishers = publishers;
    this.#feeds = feeds;
    this.#load = load;
    this.#server = server;
  }

  /** Listens, then starts to read the engine. Rejects when the address cannot be had. */
  static async start(parts: AgentParts): Promise<Agent> {
    const { clock, tree, sources, version } = parts;
    // A new life each start: what an earlier process told is no position here.
    const epoch = [randomSeed(), randomSeed()].map((half) => half.toString(16).padStart(8, "0")).join("");
    const publishers = sources.map(({ kind: engine }, slot) =>
      new Publisher(clock, { epoch, engine, version }, { tree, slot })
    );
    const load = parts.metrics &&
      watchLoad(parts, parts.metrics, publishers, (seconds) => feeds.forEach((feed) => feed.restartHint(seconds)));
    const journal = new JournalTree(tree, publishers.map(({ log }) => log), () => load?.poke());
    const feeds = sources.map((source, slot) => openFeed(parts, journal, source, publishers[slot], slot));
    const listen = { ...parts.server, seedCheck: seedCheck(tree) };
    const server = await AgentServer.start(publishers, listen, clock, {
      metrics: () => load ? loadMetrics(load) : "",
      link: (rank) => {
        const { address, connected, linkError } = feeds[rank].status();
        return { address, connected, linkError };
      },
    });
    for (const feed of feeds) feed.start();
    load?.start();
    return new Agent(publishers, feeds, load, server);
  }

  get port(): number {
    return this.#server.port;
  }

  /** By rank. */
  get states(): readonly FeedState[] {
    return this.#publishers.map(({ state }) => state);
  }

  async stop(): Promise<void> {
    this.#load?.stop();
    await Promise.all([this.#server.stop(), ...this.#feeds.map((feed) => feed.stop())]);
  }
}

function openFeed(
  { clock, rng, log }: AgentParts,
  journal: JournalTree,
  source: FeedSource,
  publisher: Publisher,
  slot: number,
): EndpointFeed {
  return new EndpointFeed({
    slot,
    source,
    tree: journal,
    clock,
    rng,
    clear: () => journal.clear(slot),
    onState: (state, _before, reason) => {
      publisher.setState(state, reason);
      log.info("Feed of the engine changed state", {
        rank: slot,
        engine: source.address,
        state: feedStateNames[state],
        reason,
      });
    },
    onTrouble: (cause) => log.warn("No link to the engine's feed", { rank: slot, engine: source.address, cause }),
    onLoad: (sample) => publisher.setLoad(sample),
    onBlockTokens: (cacheBlockTokens) => publisher.setLoad({ cacheBlockTokens }),
  });
}

function watchLoad(
  { clock, log, sources }: AgentParts,
  metrics: NonNullable<AgentParts["metrics"]>,
  publishers: readonly Publisher[],
  onStartTime: (startSeconds: number) => void,
): LoadWatch {
  return new LoadWatch({
    ...metrics,
    clock,
    onStartTime,
    ranks: sources.length,
    onLoad: (rank, sample) => publishers[rank].setLoad(sample),
    onTrouble: (reason) => {
      if (reason === undefined) log.info("The engine's metrics are read again");
      else log.warn("Cannot read the engine's metrics", { path: metrics.path, reason });
    },
  });
}

function loadMetrics({ reads, errors }: LoadWatch): string {
  return "# HELP warmpath_agent_load_reads_total Metrics pages of the engine read\n" +
    `# TYPE warmpath_agent_load_reads_total counter\nwarmpath_agent_load_reads_total ${reads}\n` +
    "# HELP warmpath_agent_load_errors_total Metrics pages of the engine that could not be read\n" +
    `# TYPE warmpath_agent_load_errors_total counter\nwarmpath_agent_load_errors_total ${errors}\n`;
}
