import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { ConfigError, reasonOf } from "../core/mod.ts";
import { chat } from "./api/chat.ts";
import { parseBody } from "./api/call.ts";
import { completions } from "./api/completions.ts";
import { countTokens, messages } from "./api/messages.ts";
import { loadAdapter, models, unloadAdapter } from "./api/models.ts";
import { detokenizeIds, generate, sglangGenerate, tokenizeText } from "./api/native.ts";
import { embeddings, rerank, score } from "./api/pooling.ts";
import { renderChat, renderCompletions } from "./api/render.ts";
import { responses } from "./api/responses.ts";
import { ApiError } from "./api_error.ts";
import { type Fault, type Faults, faultsOnWire, parseFaultHeader } from "./faults.ts";
import { serverInfo } from "./server_info.ts";
import { withFault } from "./fault_response.ts";
import type { ModelServer } from "./model_server.ts";
import { z } from "zod";

/** What the routes need of the listening server. */
export interface AppHost {
  /** Where rank 0 publishes cache events; "" for nowhere. */
  readonly kvEndpoint: string;
  /** Value of `x-inference-pod`. */
  readonly podName: string;
  readonly faults: Faults;
  /** The fault of the next request, if any. */
  nextFault(): Fault | undefined;
  /** Changes faults by wire names; throws ConfigError. */
  changeFaults(change: unknown): void;
}

type Handler = (server: ModelServer, c: Context) => Response | Promise<Response>;

/** Paths that faults hit. */
const inference: Readonly<Record<string, Handler>> = {
  "/v1/chat/completions": chat,
  "/v1/completions": completions,
  "/v1/responses": responses,
  "/v1/embeddings": embeddings,
  "/v1/messages": messages,
  "/v1/messages/count_tokens": countTokens,
  "/inference/v1/generate": generate,
  "/generate": sglangGenerate,
  "/tokenize": tokenizeText,
  "/detokenize": detokenizeIds,
  "/v1/chat/completions/render": renderChat,
  "/v1/completions/render": renderCompletions,
  "/v1/rerank": rerank,
  "/rerank": rerank,
  "/v1/score": score,
  "/score": score,
};

/** The HTTP side of a model server. */
export function createApp(server: ModelServer, host: AppHost): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    c.header("x-inference-pod", host.podName);
    const id = c.req.header("x-request-id");
    if (id !== undefined) c.header("x-request-id", id);
  });
  const maxSize = server.options.bodyBytesMax;
  app.use(bodyLimit({
    maxSize,
    onError: () => {
      throw new ApiError(413, "BadRequestError", `The body is longer than ${maxSize} bytes`);
    },
  }));
  for (const [path, handler] of Object.entries(inference)) {
    app.post(path, (c) => underFaults(server, host, c, async () => await handler(server, c)));
  }
  app.get("/v1/models", (c) => models(server, c));
  app.post("/v1/load_lora_adapter", (c) => loadAdapter(server, c));
  app.post("/v1/unload_lora_adapter", (c) => unloadAdapter(server, c));
  app.post("/reset_prefix_cache", () => resetCache(server));
  if (server.options.dialect === "sglang") {
    for (const path of ["/server_info", "/get_server_info"]) {
      app.get(path, (c) => c.json(serverInfo(server.options, host.kvEndpoint)));
    }
    app.on(["GET", "POST"], "/flush_cache", () => resetCache(server));
  }
  app.get("/health", (c) => c.body(null, 200));
  app.get("/version", (c) => c.json({ version: "sim" }));
  app.get(
    "/metrics",
    async (c) => c.body(await server.metrics.text(), 200, { "content-type": server.metrics.contentType }),
  );
  app.get("/admin/config", (c) => c.json(faultsOnWire(host.faults)));
  app.post("/admin/config", async (c) => {
    host.changeFaults(parseBody(await c.req.text(), z.unknown()));
    return c.json(faultsOnWire(host.faults));
  });
  app.notFound((c) =>
    errorResponse(c, new ApiError(404, "NotFoundError", `There is no ${c.req.method} ${c.req.path}`))
  );
  app.onError((error, c) => errorResponse(c, toApiError(error)));
  return app;
}

/** Empties the prefix cache, as far as it is not in use. */
function resetCache(server: ModelServer): Response {
  if (server.resetCache()) return new Response(null, { status: 200 });
  throw ApiError.badRequest("The prefix cache is in use by running requests");
}

function underFaults(
  server: ModelServer,
  host: AppHost,
  c: Context,
  answer: () => Promise<Response>,
): Promise<Response> {
  const header = c.req.header("x-sim-fault");
  let fault: Fault | undefined;
  if (server.options.allowFaultHeader && header !== undefined) {
    fault = parseFaultHeader(header);
    if (fault === undefined) throw ApiError.badRequest(`There is no fault "${header}"`, "x-sim-fault");
  } else {
    fault = host.nextFault();
  }
  if (fault === undefined) return answer();
  return withFault(fault, { clock: server.clock, signal: c.req.raw.signal }, answer);
}

function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof ConfigError) return ApiError.badRequest(error.message, error.key || null);
  if (error instanceof DOMException && error.name === "AbortError") {
    return new ApiError(499, "ClientClosedRequest", "The client closed the request");
  }
  return new ApiError(500, "InternalServerError", reasonOf(error));
}

function errorResponse(c: Context, error: ApiError): Response {
  const anthropic = c.req.path.startsWith("/v1/messages");
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (error.status === 429 || error.status === 503) headers["retry-after"] = "1";
  const body = JSON.stringify(anthropic ? error.anthropic() : error.openai());
  return new Response(body, { status: error.status, headers });
}
