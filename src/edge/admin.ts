import { type Context, Hono } from "hono";
import { RouterError } from "../core/mod.ts";
import { errorAnswer, errorResponse } from "../protocol/mod.ts";
import { answerOf } from "../pipeline/mod.ts";
import type { LatencyReport } from "../latency/mod.ts";
import { type AdminAccess, checkAccess } from "./admin_access.ts";
import { readBody } from "./body.ts";
import type { BodyBudget } from "./body_budget.ts";
import type { Explained, ExplainRequest } from "./explain.ts";
import { type ClientBody, type Handler, platformRequest } from "./http/request.ts";
import { latencyPage } from "./latency_page.ts";

/** What pages are told of a request beside the `Request`: its body, which has no stream. */
type Env = { Bindings: { readonly body: ClientBody; readonly peer: string } };

/** What the operators' app is joined from. */
export interface AdminParts {
  readonly explain: (request: ExplainRequest) => Promise<Explained>;
  readonly metrics: () => Promise<string>;
  /** Whether requests would be served, and why not. */
  readonly readiness: () => {
    readonly ready: boolean;
    readonly reason: string;
    readonly endpoints: { readonly ready: number; readonly total: number };
  };
  readonly endpoints: () => unknown;
  /** Takes the endpoint out by hand, or ends that; false when there is none to do it to. */
  readonly drain: (id: string, drained: boolean) => boolean;
  readonly tokens: () => Promise<unknown>;
  readonly config: () => unknown;
  /** What waits, and why. */
  readonly flow: () => unknown;
  /** What is known of latencies, with so many of the last predictions of each target; undefined where nothing is predicted. */
  readonly latency: (pairsMax: number) => LatencyReport | undefined;
  /** Keys and what they have left. */
  readonly keys: () => unknown;
  readonly access: () => AdminAccess;
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
      return answerOf(await app.fetch(platformRequest(request), { body: request.body, peer: request.peer }));
    } catch (error) {
      return errorAnswer(RouterError.from(error), "openai", crypto.randomUUID());
    }
  };
}

function adminApp(parts: AdminParts): Hono<Env> {
  const app = new Hono<Env>({ strict: false });
  app.use(async ({ req: { raw: request, path }, env }, next) => {
    checkAccess(parts.access(), path, request.headers, env.peer);
    await next();
  });
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
  for (const verb of ["drain", "undrain"] as const) {
    app.post(`/endpoints/:id/${verb}`, (c) => {
      const id = c.req.param("id");
      if (parts.drain(id, verb === "drain")) return c.json({ endpoint: id, drained: verb === "drain" });
      throw new RouterError(
        "not-found",
        `Cannot ${verb} ${id}: ${verb === "drain" ? "no such endpoint" : "not drained"}`,
      );
    });
  }
  app.get("/debug/tokens", async (c) => c.json(await parts.tokens() as object));
  app.get("/debug/keys", (c) => c.json(parts.keys() as object));
  app.get("/debug/flow", (c) => c.json(parts.flow() as object));
  app.get("/debug/latency", (c) => c.json(parts.latency(pairsOf(c.req.query("pairs"))) ?? { enabled: false }));
  app.get("/debug/latency.html", () => latencyPage(parts.latency(pairsMax)));
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
  const path = new URL(request.url).searchParams.get("path") ?? "/v1/chat/completions";
  const read = await readBody(env.body, parts.bodyBytesMax(), parts.bodyBudget);
  try {
    const { status, body } = await parts.explain({ path, headers: [...request.headers], body: read.bytes });
    return new Response(body, { status, headers: { "content-type": "application/json" } });
  } finally {
    read.release();
  }
}

/** Predictions of a target that are kept. */
const pairsMax = 500, pairsShown = 100;

function pairsOf(text: string | undefined): number {
  if (text === undefined) return pairsShown;
  if (/^\d{1,9}$/.test(text)) return Math.min(pairsMax, Number(text));
  throw new RouterError("bad-request", "Cannot use parameter pairs: it must be a number of predictions", {
    param: "pairs",
  });
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
