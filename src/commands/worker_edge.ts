/** An edge in a worker, as the control isolate sees it. */
import { Worker } from "node:worker_threads";
import type { KeyPair } from "../core/mod.ts";
import type { Config } from "../config/mod.ts";
import type { Explained, ExplainRequest } from "../edge/mod.ts";
import type { KeyPlan } from "../keys/mod.ts";
import type { FlowQueue } from "../pipeline/mod.ts";
import type { MirrorUpdate } from "../pool/mod.ts";
import type { MetricsDump } from "../telemetry/mod.ts";
import type { EdgeAddress, EdgeDoor, EdgeStatus } from "./edge.ts";
import type { EdgeInit } from "./edge_worker.ts";
import { IsolateRpc } from "./isolate_rpc.ts";

export interface WorkerEdgeEvents {
  readonly refreshModels: () => Promise<void>;
  /** Where its requests wait. */
  readonly flow: FlowQueue;
  /** The worker is gone, asked or not; said once. */
  readonly onGone: (cause: string) => void;
}

export class WorkerEdge implements EdgeDoor {
  readonly #worker: Worker;
  readonly #rpc: IsolateRpc;
  readonly #exited = Promise.withResolvers<void>();

  constructor({ refreshModels, flow, onGone }: WorkerEdgeEvents) {
    this.#worker = new Worker(new URL("./edge_worker.ts", import.meta.url));
    this.#rpc = new IsolateRpc(this.#worker, {
      refreshModels,
      enqueue: flow.enqueue,
      cancel: flow.cancel,
      resize: flow.resize,
    });
    let cause = "";
    this.#worker.on("error", (error: Error) => cause = error.message);
    this.#worker.on("exit", (code: number) => {
      cause ||= `it ended with code ${code}`;
      this.#rpc.abandon(`The edge is gone: ${cause}`);
      this.#exited.resolve();
      onGone(cause);
    });
  }

  init(init: EdgeInit): Promise<void> {
    return this.#rpc.call("init", init) as Promise<void>;
  }

  listen(address: EdgeAddress): Promise<number> {
    return this.#rpc.call("listen", address) as Promise<number>;
  }

  mirror(updates: readonly MirrorUpdate[]): Promise<void> {
    return this.#rpc.call("mirror", updates) as Promise<void>;
  }

  prepare(config: Config, epoch: number, keyPlan: KeyPlan): Promise<void> {
    return this.#rpc.call("prepare", config, epoch, keyPlan) as Promise<void>;
  }

  renew(of: "server" | "upstream", pair: KeyPair): Promise<void> {
    return this.#rpc.call("renew", of, pair) as Promise<void>;
  }

  explain(request: ExplainRequest): Promise<Explained> {
    return this.#rpc.call("explain", request) as Promise<Explained>;
  }

  reconsider(): Promise<void> {
    return this.#rpc.call("reconsider") as Promise<void>;
  }

  revoke(id: number): Promise<void> {
    return this.#rpc.call("revoke", id) as Promise<void>;
  }

  dump(): Promise<MetricsDump> {
    return this.#rpc.call("dump") as Promise<MetricsDump>;
  }

  status(): Promise<EdgeStatus> {
    return this.#rpc.call("status") as Promise<EdgeStatus>;
  }

  drain(): Promise<void> {
    return this.#rpc.call("drain") as Promise<void>;
  }

  /** Closes its connections, then ends it. */
  async close(): Promise<void> {
    try {
      await this.#rpc.call("close");
    } finally {
      await this.kill();
    }
  }

  /** Ends the worker as it stands. */
  async kill(): Promise<void> {
    void this.#worker.terminate();
    await this.#exited.promise;
  }
}
