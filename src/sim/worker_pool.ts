import type { SimSettings } from "./options.ts";
import type { SimFeeds } from "./server.ts";
import type { WorkerCommand, WorkerReply } from "./worker.ts";

/** A simulated server in a thread of its own. */
export interface WorkerServer {
  readonly url: string;
  readonly port: number;
  readonly podName: string;
  /** Where else it can be reached. */
  readonly feeds: SimFeeds;
  /** Changes faults by the names `POST /admin/config` takes. */
  changeFaults(change: Record<string, unknown>): Promise<void>;
  /** Ends the thread as it stands: the port closes and open connections are cut, as when a process is killed. */
  kill(): void;
  /** Closes the port, cuts connections, ends the thread. Idempotent. */
  stop(): Promise<void>;
}

/** Several of them. */
export interface WorkerServers {
  readonly servers: readonly WorkerServer[];
  readonly urls: readonly string[];
  stop(): Promise<void>;
}

/**
 * Starts one server in a worker. `options.port` 0 takes a free port. Rejects when the server cannot start.
 *
 * The worker module is found beside this one, so a compiled program must embed `worker.ts`.
 */
export async function startWorkerServer(options: SimSettings): Promise<WorkerServer> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const ended = Promise.withResolvers<WorkerReply>();
  // One command at a time: replies carry no number.
  let turn: Promise<unknown> = Promise.resolve();
  const end = () => {
    worker.terminate();
    ended.resolve({ kind: "done" });
  };
  const ask = (command: WorkerCommand) => {
    const reply = turn.then(() => Promise.race([ended.promise, exchange(worker, command)]));
    turn = reply.catch(() => {});
    return reply;
  };
  try {
    const started = await ask({ kind: "start", options });
    if (started.kind !== "started") throw new Error("Cannot start a simulated server as its worker ended");
    const { url, port, podName, feeds } = started;
    return {
      url,
      port,
      podName,
      feeds,
      changeFaults: async (change) => void await ask({ kind: "faults", change }),
      kill: end,
      async stop() {
        await ask({ kind: "stop" }).finally(end);
      },
    };
  } catch (error) {
    end();
    throw error;
  }
}

/** Sends one command and waits for its reply. Errors of the worker between exchanges go to the program. */
function exchange(worker: Worker, command: WorkerCommand): Promise<WorkerReply> {
  return new Promise<WorkerReply>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => {
      if (data.kind === "failed") reject(new Error(`A simulated server failed: ${data.message}`));
      else resolve(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(`A simulated server failed: ${event.message}`));
    };
    worker.postMessage(command);
  }).finally(() => {
    worker.onmessage = null;
    worker.onerror = null;
  });
}

/**
 * Starts `count` servers with the same options, each in its worker, named `sim-0`, `sim-1`, … Ports follow each other from
 * `options.port`, or are free ones for 0 or none.
 */
export async function startWorkerServers(count: number, options: SimSettings = {}): Promise<WorkerServers> {
  const port = options.port ?? 0;
  const starting = Array.from({ length: count }, (_, i) =>
    startWorkerServer({
      ...options,
      port: port === 0 ? 0 : port + i,
      name: options.name ? `${options.name}-${i}` : `sim-${i}`,
    }));
  const settled = await Promise.allSettled(starting);
  const servers = settled.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
  const stop = async () => void await Promise.all(servers.map((server) => server.stop()));
  const failed = settled.find((each) => each.status === "rejected");
  if (failed !== undefined) {
    await stop();
    throw failed.reason;
  }
  return { servers, urls: servers.map(({ url }) => url), stop };
}
