/** One health question to one endpoint, over HTTP or gRPC. */
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { EndpointMeta } from "../core/mod.ts";
import { Health as HealthService, HealthCheckResponse_ServingStatus as ServingStatus } from "../proto/mod.ts";
import type { HealthCheck } from "./discovery/discovery.ts";
import type { FetchTarget, FetchText } from "./http.ts";

/** Resolves when the endpoint says it serves; rejects with the reason otherwise, and once `signal` aborts. */
export type Probe = (target: EndpointMeta, check: HealthCheck, signal: AbortSignal) => Promise<void>;

/** A health answer is a status; what an engine writes beside it is read and dropped up to this size. */
const answerBytesMax = 64 << 10;

interface GrpcSession {
  readonly manager: Http2SessionManager;
  readonly client: Client<typeof HealthService>;
}

/** Keeps one HTTP/2 connection for each gRPC port that is probed. */
export class Probes {
  readonly #fetchText: FetchText;
  readonly #sessions = new Map<string, GrpcSession>();

  constructor(fetchText: FetchText) {
    this.#fetchText = fetchText;
  }

  readonly probe: Probe = async (target, check, signal) => {
    if (check.kind === "none") return;
    if (check.kind === "http") {
      await this.#fetchText(target, check.path, { signal, bytesMax: answerBytesMax });
      return;
    }
    const { client } = this.#session(target, check.port);
    const { status } = await client.check({ service: check.service }, { signal });
    if (status !== ServingStatus.SERVING) throw new Error(`gRPC health is ${ServingStatus[status] ?? status}`);
  };

  /** Closes the connection to an endpoint that is no longer probed. */
  forget(target: FetchTarget, check: HealthCheck): void {
    if (check.kind !== "grpc") return;
    const origin = grpcOrigin(target, check.port);
    this.#sessions.get(origin)?.manager.abort();
    this.#sessions.delete(origin);
  }

  close(): void {
    for (const { manager } of this.#sessions.values()) manager.abort();
    this.#sessions.clear();
  }

  #session(target: FetchTarget, port: number): GrpcSession {
    const baseUrl = grpcOrigin(target, port);
    let session = this.#sessions.get(baseUrl);
    if (!session) {
      const manager = new Http2SessionManager(baseUrl, { idleConnectionTimeoutMs: Infinity });
      const client = createClient(
        HealthService,
        createGrpcTransport({ baseUrl, sessionManager: manager, readMaxBytes: answerBytesMax }),
      );
      this.#sessions.set(baseUrl, session = { manager, client });
    }
    return session;
  }
}

function grpcOrigin(target: FetchTarget, port: number): string {
  return `http://${target.host}:${port}`;
}
