import { createServer, type Http2Session } from "node:http2";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../proto/mod.ts";
import { sglangService } from "./grpc_sglang.ts";
import { vllmService } from "./grpc_vllm.ts";
import type { ModelServer } from "./model_server.ts";

/** A listening gRPC service. */
export interface GrpcServer {
  /** `http://host:port`, plain HTTP/2. */
  readonly url: string;
  /** Closes the port and cuts open calls. */
  close(): Promise<void>;
}

/** Serves the engine's gRPC API, vLLM's or SGLang's by the server's dialect. Rejects when the port is taken. */
export async function startGrpcServer(models: ModelServer, hostname: string, port: number): Promise<GrpcServer> {
  const shutdown = new AbortController();
  const routes = (router: ConnectRouter) => {
    router.service(Health, { check: () => ({ status: ServingStatus.SERVING }) });
    if (models.options.dialect === "sglang") sglangService(router, models);
    else vllmService(router, models);
  };
  const adapter = connectNodeAdapter({
    routes,
    connect: false,
    grpcWeb: false,
    shutdownSignal: shutdown.signal,
  });
  const server = createServer(adapter);
  const sessions = new Set<Http2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Cannot serve gRPC as there is no port");
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return {
    url: `http://${host}:${address.port}`,
    async close() {
      shutdown.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}
