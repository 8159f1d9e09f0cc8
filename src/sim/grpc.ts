import { bracketed } from "../core/mod.ts";
import { createServer, type Http2ServerRequest, type Http2ServerResponse, type Http2Session } from "node:http2";
import { type ConnectRouter, createContextValues } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus as ServingStatus } from "../proto/mod.ts";
import { headersNow } from "./grpc_common.ts";
import { sglangService } from "./grpc_sglang.ts";
import { vllmService } from "./grpc_vllm.ts";
import type { ModelServer } from "./model_server.ts";

/** A listening gRPC service. */
export interface GrpcServer {
  /** `http://host:port`, plain HTTP/2. */
  readonly url: string;
  /** Cuts open calls. */
  disconnect(): void;
  /** Closes the port and cuts open calls. */
  close(): Promise<void>;
}

/**
 * Sends the headers of an answer whose first message may be long in coming: engines do, and the adapter, which waits for
 * the message, is kept from sending them again.
 */
function sendHeaders(request: Http2ServerRequest, response: Http2ServerResponse): void {
  response.writeHead(200, { "content-type": request.headers["content-type"] });
  response.writeHead = () => response;
}

/** Serves the engine's gRPC API, vLLM's or SGLang's by the server's dialect. Rejects when the port is taken. */
export async function startGrpcServer(models: ModelServer, hostname: string, port: number): Promise<GrpcServer> {
  const shutdown = new AbortController();
  const routes = (router: ConnectRouter) => {
    router.service(Health, { check: () => ({ status: ServingStatus.SERVING }) });
    if (models.options.dialect === "sglang") sglangService(router, models);
    else vllmService(router, models);
  };
  const responses = new WeakMap<object, () => void>();
  const adapter = connectNodeAdapter({
    routes,
    contextValues: (request) => createContextValues().set(headersNow, responses.get(request) ?? (() => {})),
    connect: false,
    grpcWeb: false,
    // As grpc-python's servers, which compress nothing unless told to.
    acceptCompression: [],
    shutdownSignal: shutdown.signal,
  });
  const server = createServer((request, response) => {
    responses.set(request, () => sendHeaders(request, response));
    adapter(request, response);
  });
  const sessions = new Set<Http2Session>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, hostname, resolve);
  });
  const disconnect = () => {
    for (const session of sessions) session.destroy();
  };
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Cannot serve gRPC as there is no port");
  return {
    url: `http://${bracketed(hostname)}:${address.port}`,
    disconnect,
    async close() {
      shutdown.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      disconnect();
      await closed;
    },
  };
}
