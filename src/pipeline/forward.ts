import type { RequestView } from "../core/mod.ts";
import type { Told } from "../latency/mod.ts";
import {
  type BodyEdit,
  controlHeader,
  controlHeaders,
  type Fields,
  forwardedHeaders,
  generates,
  ModelNameRestorer,
  type ResponseHead,
  returnedHeaders,
  UsageEventRemoval,
} from "../protocol/mod.ts";
import type { UpstreamRequest } from "../upstream/mod.ts";
import type { Answer } from "./answer.ts";
import { AnswerBody, applyEdits, outcomeOf } from "./answer_body.ts";
import { type Attempt, type Begun, plain } from "./attempt.ts";
import { ContinuedStream, type GoOn } from "./continuation.ts";
import type { RequestLife } from "./life.ts";
import type { PipelineParts } from "./parts.ts";
import type { Placed } from "./placed.ts";
import { type Prepared, streamsTokens } from "./view.ts";

/**
 * The response to an answer that has begun: the rest of its body is read as the client takes it. With `goOn` a stream that
 * loses its endpoint goes on from another one.
 */
export function respond(
  life: RequestLife,
  prepared: Prepared,
  begun: Begun,
  parts: PipelineParts,
  goOn?: GoOn,
): Answer {
  const { attempt, head, sse, first, done } = begun;
  const { status } = head;
  const editable = plain(head);
  life.adopt(begun);
  const edits = editable ? bodyEdits(life, prepared, sse) : [];
  const headers = responseHeaders(head, life, prepared, attempt.placed, parts);
  if (done) {
    const body = bodyless(life.inbound.method, status) ? null : applyEdits(edits, first, true);
    life.end(outcomeOf(status));
    return { status, headers, body };
  }
  life.answering = true;
  if (!goOn || !sse || !editable) {
    life.letBodyGo();
    return { status, headers, body: new AnswerBody(life, first, edits, sse) };
  }
  const continued = new ContinuedStream(attempt.exchange, goOn);
  life.exchange = continued;
  return { status, headers, body: new AnswerBody(life, continued.push(first), edits, sse) };
}

function responseHeaders(
  head: ResponseHead,
  life: RequestLife,
  { view }: Prepared,
  { placement, prediction }: Placed,
  parts: PipelineParts,
): Fields {
  const headers = returnedHeaders(head.headers);
  headers.set("x-request-id", life.inbound.id);
  const limits = life.bill?.headers();
  for (const name in limits) headers.set(name, limits[name]);
  for (const [name, value] of parts.scheduler.responseHeaders(view, placement, placement.slot)) {
    headers.set(name, value);
  }
  // Beside what the engine says there.
  if (prediction && echoes(view, parts)) headers.append("server-timing", serverTiming(prediction.told, parts));
  return headers;
}

function echoes({ api, headers }: RequestView, { options: { predictions } }: PipelineParts): boolean {
  if (!predictions || predictions.echo === "never" || !generates(api)) return false;
  return predictions.echo === "always" || controlHeader(headers, controlHeaders.predictions) === "true";
}

/** What was predicted at the endpoint that answers, as metrics of a `Server-Timing` field: `pttft90` is the p90 of the TTFT. */
function serverTiming({ medianMs, highMs }: Told, { options: { predictions } }: PipelineParts): string {
  const percent = Number((predictions!.quantile * 100).toFixed(3));
  return (["pttft", "ptpot"] as const).map((name, target) =>
    `${name};dur=${medianMs[target].toFixed(3)}, ${name}${percent};dur=${highMs[target].toFixed(3)}`
  ).join(", ");
}

/** Sends the request to the endpoint of `placed`, whose place is the life's to give back; `body` replaces its own. */
export function send(
  life: RequestLife,
  prepared: Prepared,
  placed: Placed,
  parts: PipelineParts,
  body = prepared.body,
): Attempt {
  const { upstream, table } = parts;
  return life.begin(
    placed,
    () => upstream.send(table.meta(placed.slot), upstreamRequest(life, prepared, placed, parts, body)),
  );
}

/** The request as it goes to the endpoint. */
function upstreamRequest(
  life: RequestLife,
  prepared: Prepared,
  { placement }: Placed,
  { scheduler, table, options }: PipelineParts,
  body: Uint8Array | undefined,
): UpstreamRequest {
  const { inbound } = life;
  const { authorization } = options;
  const { rank } = table.meta(placement.slot);
  return {
    method: inbound.method,
    path: inbound.path,
    headerLines: forwardedHeaders(inbound.headers, {
      "x-request-id": inbound.id,
      ...life.trace.headers,
      // vLLM's front end sends the request to this engine instead of choosing one itself.
      ...(rank !== undefined && { "x-data-parallel-rank": String(rank) }),
      ...Object.fromEntries(scheduler.requestHeaders(prepared.view, placement, placement.slot)),
      ...(authorization !== undefined && { authorization }),
    }, options.forwardAuthorization),
    body,
    firstTokenTimeoutMs: streamsTokens(prepared.view) ? options.firstTokenTimeoutMs : undefined,
  };
}

function bodyless(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 205 || status === 304;
}

function bodyEdits(life: RequestLife, prepared: Prepared, sse: boolean): BodyEdit[] {
  const edits: BodyEdit[] = [];
  if (prepared.removesUsage && sse) {
    const removal = new UsageEventRemoval();
    life.removedUsage = () => removal.removed;
    edits.push(removal);
  }
  const { model, requestedModel } = prepared.view;
  if (model !== requestedModel && requestedModel !== "") edits.push(new ModelNameRestorer(model, requestedModel));
  return edits;
}
