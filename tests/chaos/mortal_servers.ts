/** Simulated model servers that are killed and come back at the same port. */
import { sleep, systemClock } from "../../src/core/mod.ts";
import { type SimOptions, startWorkerServer, type WorkerServer } from "../../src/sim/mod.ts";

export class MortalServers {
  readonly urls: readonly string[];
  kills = 0;
  /** Longest time from a kill to the server's return. */
  longestRestartMs = 0;
  readonly #servers: WorkerServer[];
  readonly #options: (index: number) => Partial<SimOptions>;

  static async start(count: number, options: Partial<SimOptions>): Promise<MortalServers> {
    const named = (index: number) => ({ seed: index, ...options, name: `mortal-${index}` });
    const servers = await Promise.all(
      Array.from({ length: count }, (_, index) => startWorkerServer({ ...named(index), port: 0 })),
    );
    return new MortalServers(servers, named);
  }

  private constructor(servers: WorkerServer[], options: (index: number) => Partial<SimOptions>) {
    this.#servers = servers;
    this.#options = options;
    this.urls = servers.map(({ url }) => url);
  }

  /** Kills a server in the middle of whatever it does and starts another one, with nothing in its cache, at its port. */
  async killAndRestart(index: number): Promise<void> {
    const { port } = this.#servers[index];
    const from = systemClock.now();
    this.kills++;
    this.#servers[index].kill();
    for (;;) {
      try {
        this.#servers[index] = await startWorkerServer({ ...this.#options(index), port });
        this.longestRestartMs = Math.max(this.longestRestartMs, systemClock.now() - from);
        return;
      } catch (error) {
        // The thread that ended may hold the port a moment longer.
        if (systemClock.now() - from > 5_000) throw error;
        await sleep(systemClock, 10);
      }
    }
  }

  /** Changes one server's faults, by the names `POST /admin/config` takes; none where it is being restarted. */
  async setFaults(index: number, change: Record<string, unknown>): Promise<void> {
    await this.#servers[index].changeFaults(change);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
  }
}
