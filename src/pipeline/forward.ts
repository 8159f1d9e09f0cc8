import { concatBytes, type Outcome, RouterError } from "../core/mod.ts";
import {
  type BodyEdit,
  BodyObserver,
  errorBody,
  type ErrorShape,
  forwardedHeaders,
  ModelNameRestorer,
  returnedHeaders,
  UsageEventRemoval,
} from "../protocol/mod.ts";
import type { RetryReason } from "../telemetry/mod.ts";
import { type FailureKind, type ResponseHead, UpstreamFailure, type UpstreamRequest } from "../upstream/mod.ts";
import { type BodySource, SourcedResponse } from "./answer.ts";
import type { RequestLife } from "./life.ts";
import type { Placed } from "./dispatch.ts";
import type { PipelineParts } from "./parts.ts";
import type { Prepared } from "./view.ts";

// Read whole before anything is answered: a server lost in the middle of such a body costs the client nothing.
const wholeBodyBytesMax = 1 << 20;

/** An attempt that failed with nothing sent to the client yet. */
export class AttemptFailed extends Error {
  constructor(readonly reason: RetryReason, readonly failure: RouterError) {
    super(failure.message, { cause: failure.cause });
  }
}

/** Statuses that say the server, not the request, is the trouble. */
const retryableStatuses = new Set([502, 503, 504]);

/**
 * Sends the request to the placed endpoint and answers once the first body bytes are there.
 * Throws `AttemptFailed` when another endpoint may be tried. `lastTry` passes a retryable status on as it is.
 */
export async function attempt(
  life: RequestLife,
  prepared: Prepared,
  placed: Placed,
  parts: PipelineParts,
  lastTry: boolean,
): Promise<Response> {
  const meta = parts.table.meta(placed.placement.slot);
  const exchange = parts.upstream.send(meta, upstreamRequest(life, prepared, placed, parts));
  life.exchange = exchange;
  try {
    const head = await exchange.head;
    if (retryableStatuses.has(head.status) && !lastTry) {
      throw new AttemptFailed(
        "status",
        new RouterError("upstream-error", `The model server answered ${head.status}`),
      );
    }
    life.status = head.status;
    const sse = /^text\/event-stream\b/i.test(head.headers.get("content-type") ?? "");
    life.observer = new BodyObserver();
    const edits = editable(head) ? bodyEdits(life, prepared, sse) : [];
    const headers = responseHeaders(head, life, prepared, placed, parts);
    const first = await readFirst(
      life,
      !sse && Number(head.headers.get("content-length") ?? Infinity) <= wholeBodyBytesMax,
    );
    parts.pool.report(placed.placement.slot, head.status < 500);
    const init = { status: head.status, headers };
    if (first.done) {
      const body = bodyless(life.inbound.method, head.status) ? null : applyEdits(edits, first.bytes, true);
      if (body) headers.set("content-length", String(body.length));
      const response = new Response(body, init);
      life.end(outcomeOf(head.status));
      return response;
    }
    life.answering = true;
    return new SourcedResponse(new AnswerBody(life, first.bytes, edits, sse), init);
  } catch (error) {
    throw attemptError(error);
  }
}

/** A compressed body cannot be read into, and an error's is the engine's own words. */
function editable(head: ResponseHead): boolean {
  const encoding = head.headers.get("content-encoding");
  return head.status < 400 && (encoding === null || encoding === "identity");
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

function upstreamRequest(
  life: RequestLife,
  prepared: Prepared,
  { placement }: Placed,
  { scheduler, table, options }: PipelineParts,
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
    body: prepared.body,
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

/** The body's first bytes, or all of a small body. */
async function readFirst(life: RequestLife, whole: boolean): Promise<{ bytes: Uint8Array; done: boolean }> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const bytes = await life.exchange!.read();
    if (bytes === null) return { bytes: concatBytes(parts), done: true };
    life.sawChunk(bytes);
    parts.push(bytes);
    if (!whole) return { bytes, done: false };
  }
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

function attemptError(error: unknown): unknown {
  if (error instanceof AttemptFailed || error instanceof RouterError) return error;
  if (!(error instanceof UpstreamFailure)) return error;
  if (error.kind === "cancelled") return RouterError.clientLeft();
  return new AttemptFailed(retryReasons[error.kind], upstreamError(error));
}

const retryReasons: Readonly<Record<Exclude<FailureKind, "cancelled">, RetryReason>> = {
  "connect": "connect",
  "connect-timeout": "timeout",
  "first-byte-timeout": "timeout",
  "idle-timeout": "timeout",
  "reset": "reset",
  "protocol": "protocol",
};

function upstreamError(error: unknown): RouterError {
  if (error instanceof UpstreamFailure && error.kind.endsWith("timeout")) {
    return new RouterError("upstream-timeout", "The model server did not answer in time", { cause: error });
  }
  return new RouterError("upstream-error", "The model server could not be reached or ended the request early", {
    cause: error,
  });
}
