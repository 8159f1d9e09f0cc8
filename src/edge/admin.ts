import { type Context, Hono } from "hono";
import { type Clock, RouterError } from "../core/mod.ts";
import { apiPaths, errorAnswer, errorResponse, errorShape } from "../protocol/mod.ts";
import { answerOf, type Pipeline } from "../pipeline/mod.ts";
import { type ReadBody, readBody } from "./body.ts";
import type { BodyBudget } from "./body_budget.ts";
import { type ClientBody, type Handler, platformRequest } from "./http/request.ts";

/** What pages are told of a request beside the `Request`: its body, which has no stream. */
type Env = { Bindings: { readonly body: ClientBody } };

/** What the operators' app is joined from. */
export interface AdminParts {
  readonly pipeline: Pipeline;
  readonly clock: Clock;
  readonly metrics: () => Promise<string>;
  /** Whether requests would be served, and why not. */
  readonly readiness: () => {
    readonly ready: boolean;
    readonly reason: string;
    readonly endpoints: { readonly ready: number; readonly total: number };
  };
  readonly endpoints: () => unknown;
  readonly tokens: () => unknown;
  readonly config: () => unknown;
  /** Writes the snapshot file and says what was written; undefined when none is configured. */
  readonly saveSnapshot: () => Promise<object> | undefined;
  /** Procedures other routers call; undefined for a path that is none. */
  readonly procedures: (request: Request) => Promise<Response> | undefined;
  readonly bodyBytesMax: () => number;
  readonly bodyBudget: BodyBudget;
}

/** What operators and probes talk to, on its own port. */
export function adminHandler(parts: AdminParts): Handler {
  const app = adminApp(parts);
  return async (request) => {
    try {
      return answerOf(await app.fetch(platformRequest(request), { body: request.body }));
    } catch (error) {
      return errorAnswer(RouterError.from(error), "openai", crypto.randomUUID());
    }
  };
}

function adminApp(parts: AdminParts): Hono<Env> {
  const app = new Hono<Env>({ strict: false });
  app.get("/livez", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => {
    const state = parts.readiness();
    return c.json(state, state.ready ? 200 : 503);
  });
  app.get(
    "/metrics",
    async () =>
      new Response(await parts.metrics(), { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } }),
  );
  app.get("/debug/endpoints", (c) => c.json(parts.endpoints() as object));
  app.get("/debug/tokens", (c) => c.json(parts.tokens() as object));
  app.get("/debug/config", (c) => c.json(parts.config() as object));
  app.post("/debug/decide", (c) => decide(c, parts));
  app.post("/debug/snapshot", async (c) => {
    const saving = parts.saveSnapshot();
    if (!saving) throw new RouterError("not-found", "Cannot write a snapshot as snapshot.file is not configured");
    return c.json(await saving);
  });
  app.post("/:service{warmpath\\.[^/]+}/:method", (c) => procedure(c, parts));
  app.notFound((c) =>
    errorResponse(new RouterError("not-found", `No such page: ${c.req.path}`), "openai", crypto.randomUUID())
  );
  app.onError((error) => errorResponse(RouterError.from(error), "openai", crypto.randomUUID()));
  return app;
}

/**
 * Explains the decision for the request in the body, which is written as a client would send it. `?path=` says to which
 * API, `/v1/chat/completions` when absent. Headers count as a request's.
 */
async function decide({ req: { raw: request }, env }: Context<Env>, parts: AdminParts): Promise<Response> {
  const id = crypto.randomUUID();
  const path = new URL(request.url).searchParams.get("path") ?? "/v1/chat/completions";
  let body: ReadBody | undefined;
  try {
    body = await readBody(env.body, parts.bodyBytesMax(), parts.bodyBudget);
    const report = await parts.pipeline.explain({
      id,
      api: Object.hasOwn(apiPaths, path) ? apiPaths[path] : "passthrough",
      method: "POST",
      path,
      headers: request.headers,
      body: body.bytes,
      errorShape: errorShape(path),
      signal: request.signal,
      receivedAtMs: parts.clock.now(),
    });
    const { view, ...rest } = report;
    return Response.json({
      request: {
        api: view.api,
        model: view.model,
        requestedModel: view.requestedModel,
        stream: view.stream,
        promptTokens: view.promptTokens,
        promptBlocks: view.blocks.hashes.length,
        blockTokens: view.blocks.blockTokens,
        maxOutputTokens: view.maxOutputTokens,
        mediaParts: view.mediaParts,
        fairnessId: view.fairnessId,
        objective: view.objective,
        priority: view.priority,
        slo: view.slo,
      },
      ...rest,
    });
  } catch (error) {
    return errorResponse(RouterError.from(error), errorShape(path), id);
  } finally {
    body?.release();
  }
}

/** What a procedure is asked with is a few bytes. */
const procedureBytesMax = 65_536;

async function procedure(c: Context<Env>, { procedures, bodyBudget }: AdminParts): Promise<Response> {
  const { method, url, headers, signal } = c.req.raw;
  const { bytes, release } = await readBody(c.env.body, procedureBytesMax, bodyBudget);
  const asked = new Request(url, { method, headers, signal, body: bytes?.slice() });
  release();
  return await procedures(asked) ?? c.notFound();
}
