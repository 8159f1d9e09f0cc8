import { concatBytes, type Outcome, RouterError } from "../core/mod.ts";
import {
  type BodyEdit,
  errorBody,
  type ErrorShape,
  forwardedHeaders,
  hasStreamOptions,
  ModelNameRestorer,
  returnedHeaders,
  UsageEventRemoval,
} from "../protocol/mod.ts";
import type { ResponseHead, UpstreamRequest } from "../upstream/mod.ts";
import { type BodySource, SourcedResponse } from "./answer.ts";
import { type Answer, plain, upstreamError } from "./attempt.ts";
import { ContinuedStream, type GoOn } from "./continuation.ts";
import type { RequestLife } from "./life.ts";
import type { PipelineParts } from "./parts.ts";
import type { Placed } from "./placed.ts";
import type { Prepared } from "./view.ts";

/**
 * The response to an answer that has begun: the rest of its body is read as the client takes it. With `goOn` a stream that
 * loses its endpoint goes on from another one.
 */
export function respond(
  life: RequestLife,
  prepared: Prepared,
  answer: Answer,
  parts: PipelineParts,
  goOn?: GoOn,
): Response {
  const { head, sse, done } = answer;
  life.adopt(answer);
  const edits = plain(head) ? bodyEdits(life, prepared, sse) : [];
  const headers = responseHeaders(head, life, prepared, answer.attempt.placed, parts);
  const first = concatBytes(answer.first);
  const init = { status: head.status, headers };
  if (done) {
    const body = bodyless(life.inbound.method, head.status) ? null : applyEdits(edits, first, true);
    if (body) headers.set("content-length", String(body.length));
    const response = new Response(body, init);
    life.end(outcomeOf(head.status));
    return response;
  }
  life.answering = true;
  if (!goOn || !sse || !plain(head)) return new SourcedResponse(new AnswerBody(life, first, edits, sse), init);
  const continued = new ContinuedStream(answer.attempt.exchange, goOn);
  life.exchange = continued;
  return new SourcedResponse(new AnswerBody(life, continued.push(first), edits, sse), init);
}

/** An answer of 5xx is the server's failure even when it arrives whole; one of 4xx is what the request deserved. */
function outcomeOf(status: number): Outcome {
  return status >= 500 ? "upstream-error" : "completed";
}

function responseHeaders(
  head: ResponseHead,
  life: RequestLife,
  { view }: Prepared,
  { placement }: Placed,
  parts: PipelineParts,
): Headers {
  const headers = returnedHeaders(head.headers);
  headers.set("x-request-id", life.inbound.id);
  const limits = life.bill?.headers();
  for (const name in limits) headers.set(name, limits[name]);
  for (const [name, value] of parts.scheduler.responseHeaders(view, placement, placement.slot)) {
    headers.set(name, value);
  }
  return headers;
}

/** The request as it goes to the endpoint; with `body` in place of the client's. */
export function upstreamRequest(
  life: RequestLife,
  prepared: Prepared,
  { placement }: Placed,
  { scheduler, table, options }: PipelineParts,
  body = prepared.body,
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
    firstTokenTimeoutMs: prepared.view.stream && hasStreamOptions(inbound.api)
      ? options.firstTokenTimeoutMs
      : undefined,
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

function applyEdits(edits: readonly BodyEdit[], bytes: Uint8Array, last: boolean): Uint8Array<ArrayBuffer> {
  let out = bytes;
  for (const edit of edits) {
    out = edit.push(out);
    if (!last) continue;
    const rest = edit.end();
    if (rest.length > 0) out = concatBytes([out, rest]);
  }
  return out as Uint8Array<ArrayBuffer>;
}

/** The rest of the body, read from the server only as the client takes it: nothing is buffered here beyond one read. */
class AnswerBody implements BodySource {
  readonly #life: RequestLife;
  readonly #edits: readonly BodyEdit[];
  readonly #sse: boolean;
  #first: Uint8Array | undefined;
  #done = false;

  constructor(life: RequestLife, first: Uint8Array, edits: readonly BodyEdit[], sse: boolean) {
    this.#life = life;
    this.#first = first;
    this.#edits = edits;
    this.#sse = sse;
  }

  async read(): Promise<Uint8Array | null> {
    if (this.#done) return null;
    try {
      for (;;) {
        const bytes = this.#first ?? await this.#life.exchange!.read();
        if (bytes === null) return this.#end();
        if (this.#first) this.#first = undefined;
        else this.#life.sawChunk(bytes);
        const out = this.#edits.length > 0 ? applyEdits(this.#edits, bytes, false) : bytes;
        if (out.length > 0) return out;
      }
    } catch (error) {
      return this.#breakOff(error);
    }
  }

  cancel(): void {
    this.#done = true;
    this.#life.end("client-disconnect");
  }

  #end(): Uint8Array | null {
    this.#done = true;
    this.#life.end(outcomeOf(this.#life.status));
    const rest = applyEdits(this.#edits, new Uint8Array(), true);
    return rest.length > 0 ? rest : null;
  }

  /** The server was lost in the middle of an answer: a stream is told so in its own format, another body is cut off. */
  #breakOff(error: unknown): Uint8Array {
    this.#done = true;
    const life = this.#life;
    const timedOut = upstreamError(error).outcome === "upstream-timeout";
    const lost = new RouterError(timedOut ? "upstream-timeout" : "upstream-aborted", lostMessage, { cause: error });
    if (life.ended) throw lost;
    life.failedMidStream();
    life.end(lost.outcome, lost);
    if (!this.#sse) throw lost;
    // An empty line first: the last event may have been cut in the middle.
    return new TextEncoder().encode(`\n\n${lostEvent(life.inbound.errorShape)}\n\n`);
  }
}

const lostMessage = "The model server ended the response early";

function lostEvent(shape: ErrorShape): string {
  if (shape === "openai") return `data: ${errorBody(new RouterError("upstream-aborted", lostMessage), shape, "")}`;
  return `event: error\ndata: ${JSON.stringify({ type: "error", error: { type: "api_error", message: lostMessage } })}`;
}
