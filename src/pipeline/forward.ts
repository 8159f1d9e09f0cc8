import { concatBytes, RouterError } from "../core/mod.ts";
import {
  type BodyEdit,
  BodyObserver,
  type Fields,
  forwardedHeaders,
  ModelNameRestorer,
  type ResponseHead,
  returnedHeaders,
  UsageEventRemoval,
} from "../protocol/mod.ts";
import type { RetryReason } from "../telemetry/mod.ts";
import { type FailureKind, UpstreamFailure, type UpstreamRequest } from "../upstream/mod.ts";
import type { Answer } from "./answer.ts";
import { AnswerBody, applyEdits, outcomeOf, upstreamError } from "./answer_body.ts";
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
): Promise<Answer> {
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
    const { status } = head;
    life.inbound.body = undefined;
    if (first.done) {
      const body = bodyless(life.inbound.method, status) ? null : applyEdits(edits, first.bytes, true);
      life.end(outcomeOf(status));
      return { status, headers, body };
    }
    life.answering = true;
    return { status, headers, body: new AnswerBody(life, first.bytes, edits, sse) };
  } catch (error) {
    throw attemptError(error);
  }
}

/** A compressed body cannot be read into, and an error's is the engine's own words. */
function editable(head: ResponseHead): boolean {
  const encoding = head.headers.get("content-encoding");
  return head.status < 400 && (encoding === null || encoding === "identity");
}

function responseHeaders(
  head: ResponseHead,
  life: RequestLife,
  { view }: Prepared,
  { placement }: Placed,
  parts: PipelineParts,
): Fields {
  const headers = returnedHeaders(head.headers);
  headers.set("x-request-id", life.inbound.id);
  for (const [name, value] of parts.scheduler.responseHeaders(view, placement, placement.slot)) {
    headers.set(name, value);
  }
  return headers;
}

function upstreamRequest(
  life: RequestLife,
  prepared: Prepared,
  { placement }: Placed,
  { scheduler, table }: PipelineParts,
): UpstreamRequest {
  const { inbound } = life;
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
    }),
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
