/** What a restart is measured with: engines, agents, routers, each a process, and what the engines say is true. */
import { fetchSnapshot, type KnownEndpoint, seedCheck, SnapshotReader } from "../../src/kv/mod.ts";
import { openTree } from "../idle/tree.ts";
import { Child, freePorts } from "../lib/child.ts";
import { pause } from "../lib/load.ts";

/** Where an engine answers and publishes. */
export interface EnginePlace {
  readonly url: string;
  readonly port: number;
  readonly replayPort: number;
}

/** Blocks of one engine by tier, and its last batch. */
export interface Truth {
  readonly seq: number;
  readonly gpu: number;
  readonly cpu: number;
}

interface Row {
  readonly id: string;
  readonly held: {
    readonly blocks: Readonly<Record<string, number>>;
    readonly feed: { readonly state: string; readonly reason: string };
  };
}

/** How long a router may drain and write its snapshot. */
const drainMs = 30_000;
const patienceMs = 60_000;

/** The engines' process. */
export class Engines {
  readonly #control: string;

  private constructor(readonly child: Child, readonly places: readonly EnginePlace[], control: string) {
    this.#control = control;
  }

  static async start(args: readonly number[]): Promise<Engines> {
    const { child, said } = await Child.start(["bench/restart/engines.ts", ...args.map(String)], beginning("control"));
    return new Engines(child, said.engines, said.control);
  }

  /** `fill` the caches, `resume` or `pause` the stream of changes. */
  async tell(what: "fill" | "resume" | "pause"): Promise<Truth[]> {
    return await (await fetch(`${this.#control}/${what}`, { method: "POST" })).json();
  }

  /** Tiers of every block of engine `i`, bit by bit, by chained hash. */
  async held(i: number): Promise<Map<bigint, number>> {
    const bytes = await (await fetch(`${this.#control}/held?engine=${i}`)).arrayBuffer();
    const words = new BigUint64Array(bytes);
    const held = new Map<bigint, number>();
    for (let at = 0; at < words.length; at += 2) held.set(words[at], Number(words[at + 1]));
    return held;
  }
}

/** Agents beside engines, in one process; their ports. */
export async function startAgents(places: readonly EnginePlace[]): Promise<{ child: Child; ports: readonly number[] }> {
  const args = places.map(({ port, replayPort }) => `${port}:${replayPort}`);
  const { child, said } = await Child.start(["bench/restart/agents.ts", ...args], beginning("ports"));
  return { child, ports: said.ports };
}

export interface LiveTimes {
  readonly readyMs: number;
  readonly liveMs: number;
  readonly heldMs: number;
}

/** Asks a router every 10 ms whether it lives, without waiting for the answers. */
export class Probes {
  #longestMs = 0;
  readonly #open = new Set<Promise<void>>();
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(admin: string) {
    this.#timer = setInterval(() => {
      const probe = this.#ask(`${admin}/livez`).finally(() => this.#open.delete(probe));
      this.#open.add(probe);
    }, 10);
  }

  /** Longest wait for an answer. */
  async stop(): Promise<number> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
    return this.#longestMs;
  }

  async #ask(url: string): Promise<void> {
    const startMs = performance.now();
    try {
      await (await fetch(url)).text();
      this.#longestMs = Math.max(this.#longestMs, performance.now() - startMs);
    } catch {
      // It does not listen yet.
    }
  }
}

/** A router whose ports stay the same over its restarts. */
export class RestartedRouter {
  readonly url: string;
  readonly admin: string;
  readonly #file: string;
  #child: Child | undefined;
  /** Nobody is expected to answer. */
  down = true;

  private constructor(url: string, admin: string, file: string) {
    this.url = url;
    this.admin = admin;
    this.#file = file;
  }

  /** Writes the configuration; starts nothing. */
  static async prepare(file: string, config: Readonly<Record<string, unknown>>): Promise<RestartedRouter> {
    const [port, adminPort] = freePorts(2);
    // YAML is a superset of JSON.
    const text = JSON.stringify({
      server: { port },
      admin: { port: adminPort },
      tokens: { source: "none" },
      ...config,
    });
    await Deno.writeTextFile(file, text);
    return new RestartedRouter(`http://127.0.0.1:${port}`, `http://127.0.0.1:${adminPort}`, file);
  }

  /** Starts the process; resolves with its child once it says that it serves. */
  async start(): Promise<void> {
    const args = ["src/main.ts", "serve", "--config", this.#file];
    this.#child = (await Child.start(args, (line) => line.includes('"Serving"') || undefined)).child;
  }

  /** Ends it as an operator does; resolves when it has drained and is gone. */
  async stop(): Promise<void> {
    this.down = true;
    await this.#child?.stop(drainMs);
  }

  get lastWords(): string | undefined {
    return this.#child?.lastWords;
  }

  /**
   * Milliseconds from `startMs` until `/readyz` said yes and until every endpoint was LIVE, and the longest that a probe
   * waited for its answer meanwhile.
   */
  async untilLive(startMs: number): Promise<LiveTimes> {
    let readyMs = NaN;
    const probes = new Probes(this.admin);
    try {
      for (;;) {
        if (Number.isNaN(readyMs) && await this.#isReady()) {
          readyMs = performance.now() - startMs;
          this.down = false;
        }
        const rows = Number.isNaN(readyMs) ? [] : await this.rows();
        if (rows.length > 0 && rows.every(({ held }) => held.feed.state === "LIVE")) {
          return { readyMs, liveMs: performance.now() - startMs, heldMs: await probes.stop() };
        }
        if (performance.now() - startMs > patienceMs) {
          const states = rows.map(({ held: { feed } }) => `${feed.state} ${feed.reason}`);
          throw new Error(`Cannot measure as endpoints were not LIVE after ${patienceMs} ms: ${states.join("; ")}`);
        }
        await pause(20);
      }
    } finally {
      await probes.stop();
    }
  }

  async rows(): Promise<Row[]> {
    return await (await fetch(`${this.admin}/debug/endpoints`)).json();
  }

  /** What it knows, by endpoint id, as another router would be told. */
  async known(): Promise<Map<string, KnownEndpoint>> {
    const check = seedCheck(await openTree(1));
    const known = new Map<string, KnownEndpoint>();
    const reader = new SnapshotReader(check, (endpoint) => void known.set(endpoint.id, endpoint));
    await fetchSnapshot(this.admin, check, reader, AbortSignal.timeout(patienceMs));
    return known;
  }

  async #isReady(): Promise<boolean> {
    try {
      const response = await fetch(`${this.admin}/readyz`);
      await response.body?.cancel();
      return response.ok;
    } catch {
      return false;
    }
  }
}

/** A line of JSON that begins with this member. */
function beginning(member: string) {
  return (line: string) => line.startsWith(`{"${member}"`) ? JSON.parse(line) : undefined;
}
