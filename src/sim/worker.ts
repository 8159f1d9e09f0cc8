/** Entry of a worker that runs one simulated server; `startWorkerServers` speaks with it. */
import type { SimSettings } from "./options.ts";
import { type SimFeeds, type SimServer, startSimServer } from "./server.ts";

/** What the owner sends. */
export type WorkerCommand =
  | { readonly kind: "start"; readonly options: SimSettings }
  | { readonly kind: "faults"; readonly change: Record<string, unknown> }
  | { readonly kind: "stop" };

/** What the worker answers, once to each command. */
export type WorkerReply =
  | {
    readonly kind: "started";
    readonly url: string;
    readonly port: number;
    readonly podName: string;
    readonly feeds: SimFeeds;
  }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string };

/** The worker's own scope, as far as it is used. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerCommand>) => void) | null;
  postMessage(reply: WorkerReply): void;
}

const scope = globalThis as unknown as WorkerScope;
let server: SimServer | undefined;

async function obey(command: WorkerCommand): Promise<WorkerReply> {
  if (command.kind === "start") {
    server = startSimServer(command.options);
    const { url, port, podName } = server;
    try {
      return { kind: "started", url, port, podName, feeds: await server.feeds };
    } catch (error) {
      await server.stop();
      throw error;
    }
  }
  if (command.kind === "faults") server?.changeFaults(command.change);
  else await server?.stop();
  return { kind: "done" };
}

scope.onmessage = ({ data }) => {
  obey(data).catch((error): WorkerReply => ({ kind: "failed", message: String(error?.message ?? error) })).then((
    reply,
  ) => scope.postMessage(reply));
};
