import { Hono } from "hono";
import { type Api, type Clock, RouterError } from "../core/mod.ts";
import type { Caller, KeyGuard } from "../keys/mod.ts";
import { apiPaths, errorAnswer, errorResponse, errorShape, type HeaderFields } from "../protocol/mod.ts";
import { type Answer, answerOf, modelNotFound, type Pipeline } from "../pipeline/mod.ts";
import { readBody } from "./body.ts";
import type { BodyBudget } from "./body_budget.ts";
import { type ClientRequest, type Handler, platformRequest } from "./http/request.ts";
import type { OverloadGuard } from "./overload.ts";
import { type ListedModel, modelList, modelObject } from "./models.ts";

/** What the client-facing app is joined from. */
export interface EdgeParts {
  readonly pipeline: Pipeline;
  readonly clock: Clock;
  /** Every model a client may ask for: the pool's, adapters, and aliases. */
  readonly models: () => readonly ListedModel[];
  readonly bodyBytesMax: () => number;
  readonly bodyBudget: BodyBudget;
  readonly keys: Pick<KeyGuard, "enforced" | "identify">;
  readonly overload: OverloadGuard;
}

// What probes of load balancers ask for, and browsers before they send a key.
const openPaths = new Set(["/health", "/ping"]);

function isOpen({ method }: ClientRequest, path: string): boolean {
  return method === "OPTIONS" || (method === "GET" || method === "HEAD") && openPaths.has(path);
}

/** Client ids longer than this, or with bytes that cannot stand in a header or a log line, are replaced. */
const requestId = /^[\x21-\x7e]{1,128}$/;

/**
 * What clients talk to: the known APIs, the list of models, and everything else passed to a scheduled endpoint. The paths
 * that models answer are looked up at once; pages go through Hono, whose request and response objects cost more than a
 * short request's whole way.
 */
export function edgeHandler(parts: EdgeParts): Handler {
  const pages = modelPages(parts);
  return (request) => {
    const path = bare(request.path);
    const api = apiOf(path);
    if (api !== undefined) {
      return request.method === "POST" ? route(request, path, api, parts) : refuseMethod(request, path);
    }
    return isModelPage(request.method, path) ? page(request, pages) : route(request, path, "passthrough", parts);
  };
}

/** A slash at the end makes no other path. */
function apiOf(path: string): Api | undefined {
  const known = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  return Object.hasOwn(apiPaths, known) ? apiPaths[known] : undefined;
}

function isModelPage(method: string, path: string): boolean {
  return (method === "GET" || method === "HEAD") && (path === "/v1/models" || path.startsWith("/v1/models/"));
}

function modelPages({ models, keys }: EdgeParts): Hono {
  const app = new Hono({ strict: false });
  const modelsFor = ({ headers }: Request) => {
    const caller = keys.identify(headers);
    return models().filter(({ id }) => caller?.lists(id) ?? true);
  };
  app.get("/v1/models", (c) => c.json(modelList(modelsFor(c.req.raw))));
  // Model names contain slashes, so the name is whatever follows.
  app.get("/v1/models/*", (c) => {
    const id = decoded(new URL(c.req.raw.url).pathname.slice("/v1/models/".length));
    const model = modelsFor(c.req.raw).find((model) => model.id === id);
    if (!model) throw modelNotFound(id);
    return c.json(modelObject(model));
  });
  app.onError((error, c) => errorResponse(RouterError.from(error), "openai", idOf(c.req.raw.headers)));
  return app;
}

async function page(request: ClientRequest, pages: Hono): Promise<Answer> {
  try {
    return answerOf(await pages.fetch(platformRequest(request)));
  } catch (error) {
    return errorAnswer(RouterError.from(error), "openai", idOf(request.headers));
  }
}

/** Answers 405 to anything but POST. */
function refuseMethod({ method, headers }: ClientRequest, path: string): Answer {
  const error = new RouterError("bad-request", `Cannot ${method} ${path}: it takes POST`, {
    code: "method_not_allowed",
  });
  const answer = errorAnswer(error, errorShape(path), idOf(headers));
  answer.headers.append("allow", "POST");
  return { ...answer, status: 405 };
}

function idOf(headers: HeaderFields): string {
  const given = headers.get("x-request-id");
  return given !== null && requestId.test(given) ? given : crypto.randomUUID();
}

function bare(path: string): string {
  const query = path.indexOf("?");
  return query < 0 ? path : path.slice(0, query);
}

/** Percent-decoded; as it is where it cannot be decoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** `barePath` is the request's, without its query. */
async function route(request: ClientRequest, barePath: string, api: Api, parts: EdgeParts): Promise<Answer> {
  const { pipeline, clock, keys, overload } = parts;
  const { method, path, headers, signal } = request;
  const inbound = {
    id: idOf(headers),
    api,
    method,
    path,
    headers,
    errorShape: errorShape(barePath),
    signal,
    receivedAtMs: clock.now(),
  };
  let caller: Caller | undefined, body;
  try {
    // Before the body: who may not send one is told so at once.
    const stranger = keys.enforced && isOpen(request, barePath);
    const identify = () => stranger ? undefined : caller ??= keys.identify(headers);
    const refusal = overload.refusal(() => {
      const asked = pipeline.priorityOf(headers);
      return identify()?.priority(asked) ?? asked;
    });
    if (refusal) throw refusal;
    identify();
    body = await readBody(request.body, stranger ? 0 : parts.bodyBytesMax(), parts.bodyBudget);
  } catch (error) {
    return pipeline.refuse({ ...inbound, caller }, error);
  }
  return await pipeline.handle({ ...inbound, caller, body: body.bytes, releaseBody: body.release });
}
