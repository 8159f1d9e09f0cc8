import type { EndpointMeta, Outcome, RequestView, RouterError } from "../core/mod.ts";
import type { DisconnectPhase, RequestRecord, RequestSeries, RequestTrace } from "../telemetry/mod.ts";
import type { Exchange } from "../upstream/mod.ts";
import type { BodyObserver, Usage } from "../protocol/mod.ts";
import type { Placed } from "./dispatch.ts";
import type { PipelineParts } from "./parts.ts";
import type { Inbound } from "./types.ts";

/**
 * One request from its arrival to its one end. Holds what the request took (place, prefix entry, connection), so that every
 * way out gives all of it back.
 */
export class RequestLife {
  readonly inbound: Inbound;
  readonly trace: RequestTrace;
  readonly #parts: PipelineParts;
  readonly #onEnd: () => void;
  readonly #requestBytes: number;
  readonly #leave = () => this.abandon();
  view: RequestView | undefined;
  #placed: Placed | undefined;
  #placedMs = 0;
  exchange: Exchange | undefined;
  observer: BodyObserver | undefined;
  /** Usage read from an event that was taken out of the stream. */
  removedUsage: (() => Uint8Array | undefined) | undefined;
  /** Absent until the request is known to be one the pool can serve. */
  series: RequestSeries | undefined;
  rewriteRule: string | undefined;
  attempts = 0;
  decisionMs = 0;
  processingMs: number | undefined;
  /** Status the client was given; 0 before. */
  status = 0;
  /** The answer has begun: from here on the client's leaving ends the request. */
  answering = false;
  #lastEndpoint: EndpointMeta | undefined;
  #firstByteMs: number | undefined;
  #lastChunkMs = 0;
  #ended = false;

  constructor(inbound: Inbound, parts: PipelineParts, onEnd: () => void) {
    this.inbound = inbound;
    this.trace = parts.tracing.startRequest(inbound.headers);
    this.#parts = parts;
    this.#onEnd = onEnd;
    this.#requestBytes = inbound.body?.length ?? 0;
    inbound.signal.addEventListener("abort", this.#leave);
  }

  /** The endpoint in hand; absent before the decision and after a failed attempt. */
  get placed(): Placed | undefined {
    return this.#placed;
  }

  set placed(placed: Placed | undefined) {
    this.#placed = placed;
    this.#placedMs = this.#parts.clock.now();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** The attempt in hand failed: its place and prefix entry are given back and it counts against its endpoint. */
  dropAttempt(endpointAtFault: boolean): void {
    const { placed, exchange } = this;
    this.placed = undefined;
    this.exchange = undefined;
    // Bytes of a dropped answer reached nobody: the next attempt starts its own clock.
    this.observer = undefined;
    this.#firstByteMs = undefined;
    exchange?.cancel();
    if (!placed) return;
    this.#lastEndpoint = this.#parts.table.peek(placed.placement.slot);
    placed.ticket?.withdraw();
    placed.reservation.release();
    if (endpointAtFault) this.#parts.pool.report(placed.placement.slot, false);
  }

  /** The client is gone: the endpoint stops computing, whatever phase the request is in. */
  abandon(): void {
    if (this.answering) this.end("client-disconnect");
    else this.exchange?.cancel();
  }

  /** The endpoint was lost after the first byte: that counts against it, and the answer is not begun again. */
  failedMidStream(): void {
    if (this.placed) this.#parts.pool.report(this.placed.placement.slot, false);
  }

  /** Body bytes arrived from the endpoint. */
  sawChunk(bytes: Uint8Array): void {
    this.observer!.chunk(bytes);
    this.arrived();
  }

  /** Body bytes arrived that the observer has seen. */
  arrived(): void {
    const now = this.#parts.clock.now();
    if (this.#firstByteMs === undefined) {
      this.#firstByteMs = now;
      this.placed!.reservation.firstByte();
      // The prompt is computed: it stays in the endpoint's cache whatever becomes of the answer.
      if (this.status >= 200 && this.status < 300) this.placed!.ticket?.confirm();
      this.placed!.firstByte(now - this.#placedMs);
    } else if (this.view!.stream) {
      this.series?.itl(now - this.#lastChunkMs);
    }
    this.#lastChunkMs = now;
  }

  /** Ends the request; what is called after the first time does nothing. */
  end(outcome: Outcome, error?: RouterError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.inbound.signal.removeEventListener("abort", this.#leave);
    const { placed, exchange } = this;
    const endpoint = placed ? this.#parts.table.peek(placed.placement.slot) : this.#lastEndpoint;
    exchange?.cancel();
    if (placed) {
      // Does nothing where the first byte has confirmed it.
      placed.ticket?.withdraw();
      placed.reservation.release();
    }
    if (outcome === "client-disconnect") this.#parts.metrics.clientDisconnected(this.#phase());
    try {
      this.#report(outcome, endpoint, error);
    } finally {
      this.#onEnd();
    }
  }

  #phase(): DisconnectPhase {
    if (this.#firstByteMs !== undefined) return "streaming";
    if (this.attempts > 0) return "first-byte";
    return this.view ? "placing" : "body";
  }

  #report(outcome: Outcome, endpoint: EndpointMeta | undefined, error: RouterError | undefined): void {
    const { inbound, view, observer, placed } = this;
    const usage: Usage = observer?.usage(this.removedUsage?.()) ?? {};
    if (usage.cachedTokens !== undefined) placed?.ticket?.reported(usage.cachedTokens);
    const record: RequestRecord = {
      id: inbound.id,
      api: inbound.api,
      method: inbound.method,
      path: inbound.path.split("?", 1)[0],
      model: view?.requestedModel ?? "",
      targetModel: view?.model ?? "",
      fairnessId: view?.fairnessId ?? "default-flow",
      priority: view?.priority ?? 0,
      stream: view?.stream ?? false,
      outcome,
      status: this.status,
      durationMs: this.#parts.clock.now() - inbound.receivedAtMs,
      ttftMs: this.#firstByteMs === undefined ? undefined : this.#firstByteMs - inbound.receivedAtMs,
      processingMs: this.processingMs,
      decisionMs: this.decisionMs,
      requestBytes: this.#requestBytes,
      responseBytes: observer?.bytes ?? 0,
      promptTokens: usage.promptTokens,
      cachedTokens: usage.cachedTokens,
      outputTokens: usage.completionTokens,
      finishReason: observer?.finishReason(),
      endpoint,
      profile: placed?.placement.profile,
      matchedTokens: placed?.cachedTokens,
      attempts: this.attempts,
      rewriteRule: this.rewriteRule,
      traceId: this.trace.traceId,
      error: error && describe(error),
    };
    this.#parts.metrics.requestEnded(record, this.series);
    this.trace.end(record);
    this.#parts.ended(record);
  }
}

/** The message and what caused it, for operators; the client sees the message alone. */
function describe(error: RouterError): string {
  const { cause } = error;
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message;
}
