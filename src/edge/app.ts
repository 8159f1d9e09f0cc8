import { type Context, Hono } from "hono";
import { type Api, type Clock, RouterError } from "../core/mod.ts";
import type { Caller, KeyGuard } from "../keys/mod.ts";
import { apiPaths, errorResponse, errorShape } from "../protocol/mod.ts";
import { modelNotFound, type Pipeline } from "../pipeline/mod.ts";
import { readBody } from "./body.ts";
import type { Bindings } from "./listener.ts";
import type { OverloadGuard } from "./overload.ts";
import { type ListedModel, modelList, modelObject } from "./models.ts";

type Env = { Bindings: Bindings };

/** What the client-facing app is joined from. */
export interface EdgeParts {
  readonly pipeline: Pipeline;
  readonly clock: Clock;
  /** Every model a client may ask for: the pool's, adapters, and aliases. */
  readonly models: () => readonly ListedModel[];
  readonly bodyBytesMax: () => number;
  readonly keys: Pick<KeyGuard, "enforced" | "identify">;
  readonly overload: OverloadGuard;
}

// What probes of load balancers ask for, and browsers before they send a key.
const openPaths = new Set(["/health", "/ping"]);

function isOpen({ method }: Request, path: string): boolean {
  return method === "OPTIONS" || (method === "GET" || method === "HEAD") && openPaths.has(path);
}

/** Client ids longer than this, or with bytes that cannot stand in a header or a log line, are replaced. */
const requestId = /^[\x21-\x7e]{1,128}$/;

/** The app clients talk to: the known APIs, the list of models, and everything else passed to a scheduled endpoint. */
export function edgeApp(parts: EdgeParts): Hono<Env> {
  const app = new Hono<Env>({ strict: false });
  const modelsFor = ({ headers }: Request) => {
    const caller = parts.keys.identify(headers);
    return parts.models().filter(({ id }) => caller?.lists(id) ?? true);
  };
  app.get("/v1/models", (c) => c.json(modelList(modelsFor(c.req.raw))));
  // Model names contain slashes, so the name is whatever follows.
  app.get("/v1/models/*", (c) => {
    const id = decoded(bare(pathOf(c.req.raw.url)).slice("/v1/models/".length));
    const model = modelsFor(c.req.raw).find((model) => model.id === id);
    if (model) return c.json(modelObject(model));
    return errorResponse(modelNotFound(id), "openai", idOf(c.req.raw));
  });
  for (const [path, api] of Object.entries(apiPaths)) {
    app.post(path, (c) => route(c, api, parts));
    app.all(path, refuseMethod);
  }
  app.all("*", (c) => route(c, "passthrough", parts));
  app.onError((error, c) =>
    errorResponse(RouterError.from(error), errorShape(bare(pathOf(c.req.raw.url))), idOf(c.req.raw))
  );
  return app;
}

/** Answers 405 to anything but POST. */
function refuseMethod({ req }: Context): Response {
  const path = bare(pathOf(req.raw.url));
  const error = new RouterError("bad-request", `Cannot ${req.method} ${path}: it takes POST`, {
    code: "method_not_allowed",
  });
  const response = errorResponse(error, errorShape(path), idOf(req.raw));
  return new Response(response.body, { status: 405, headers: [...response.headers, ["allow", "POST"]] });
}

function idOf(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && requestId.test(given) ? given : crypto.randomUUID();
}

/** The path and query as the client wrote them: `Request.url` is absolute. */
function pathOf(url: string): string {
  const from = url.indexOf("/", url.indexOf("//") + 2);
  return from < 0 ? "/" : url.slice(from);
}

function bare(path: string): string {
  return path.split("?", 1)[0];
}

/** Percent-decoded; as it is where it cannot be decoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function route(
  { req: { raw: request }, env }: Context<Env>,
  api: Api,
  { pipeline, clock, bodyBytesMax, keys, overload }: EdgeParts,
): Promise<Response> {
  const path = pathOf(request.url);
  const inbound = {
    id: idOf(request),
    api,
    method: request.method,
    path,
    headers: request.headers,
    errorShape: errorShape(bare(path)),
    signal: request.signal,
    receivedAtMs: clock.now(),
  };
  const refusal = overload.refusal(() => pipeline.priorityOf(request.headers));
  if (refusal) return pipeline.refuse(inbound, refusal);
  let caller: Caller | undefined;
  let body: Uint8Array | undefined;
  try {
    // Before the body: who may not send one is told so at once.
    const stranger = keys.enforced && isOpen(request, bare(path));
    if (!stranger) caller = keys.identify(request.headers);
    body = await readBody(request.headers, env.incoming, stranger ? 0 : bodyBytesMax());
  } catch (error) {
    return pipeline.refuse({ ...inbound, caller }, error);
  }
  return await pipeline.handle({ ...inbound, caller, body });
}
