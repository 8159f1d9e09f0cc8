import { AttemptEnd, type EndpointMeta, type Outcome, type RequestView, type RouterError } from "../core/mod.ts";
import type { DisconnectPhase, RequestRecord, RequestSeries, RequestTrace } from "../telemetry/mod.ts";
import type { Exchange } from "../upstream/mod.ts";
import { BodyObserver, type ByteGate, type ByteSink, generates, type Usage } from "../protocol/mod.ts";
import { Attempt, type Begun } from "./attempt.ts";
import type { Bill } from "./bill.ts";
import type { PipelineParts } from "./parts.ts";
import type { Placed } from "./placed.ts";
import type { Inbound } from "./types.ts";

/** Where the bytes of an answer come from: an exchange, or several joined into one answer. See `Exchange`. */
export interface AnswerBytes {
  read(): Promise<Uint8Array | null>;
  pump?(gate: ByteGate, sink: ByteSink): Promise<Uint8Array | null>;
  cancel(): void;
}

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
  /** Attempts that were neither dropped nor ended with the request; two where one is hedged. */
  readonly #inHand = new Set<Attempt>();
  /** The attempt that answers; absent before it does. */
  #answering: Attempt | undefined;
  exchange: AnswerBytes | undefined;
  observer: BodyObserver | undefined;
  /** Usage read from an event that was taken out of the stream. */
  removedUsage: (() => Uint8Array | undefined) | undefined;
  /** What it has reserved of its key's quota; absent before, and where no key is asked for. */
  bill: Bill | undefined;
  /** Absent until the request is known to be one the pool can serve. */
  series: RequestSeries | undefined;
  rewriteRule: string | undefined;
  attempts = 0;
  #continuations = 0;
  decisionMs = 0;
  /** Waited for an endpoint with room. */
  queuedMs = 0;
  /** Its place was taken back and it has not got another yet. */
  revoked = false;
  revocations = 0;
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

  get ended(): boolean {
    return this.#ended;
  }

  /** Attempts under way. */
  get inHand(): number {
    return this.#inHand.size;
  }

  /** Sends the request to `placed`, whose place is the life's to give back. */
  begin(placed: Placed, send: () => Exchange): Attempt {
    this.attempts++;
    try {
      const attempt = new Attempt(placed, send(), this.#parts.clock);
      this.#inHand.add(attempt);
      return attempt;
    } catch (error) {
      placed.release();
      throw error;
    }
  }

  /** An attempt is over, as `end` says: its place and prefix entry are given back. */
  drop(attempt: Attempt, end: AttemptEnd, tookMs = NaN): void {
    if (!this.#inHand.delete(attempt)) return;
    const { placed } = attempt;
    this.#lastEndpoint = this.#parts.table.peek(placed.slot);
    const waitedMs = end === AttemptEnd.Timeout ? attempt.ageMs : tookMs;
    if (this.view!.stream) placed.prediction?.gaveUp(waitedMs);
    attempt.release();
    placed.report(end, tookMs);
  }

  /** Lets go of every attempt but the one that answered: each took at least as long as it was waited for. */
  dropOthers(winner: Attempt): void {
    for (const other of this.#inHand) {
      if (other !== winner) this.drop(other, AttemptEnd.Cancelled, other.sentMs < winner.sentMs ? other.ageMs : NaN);
    }
  }

  /** Its place is taken back: what it began ends, and the request may wait again. */
  revoke(): void {
    this.revoked = true;
    this.revocations++;
    for (const { exchange } of this.#inHand) exchange.cancel();
  }

  /** Lets go of every attempt. */
  dropAll(): void {
    for (const attempt of this.#inHand) this.drop(attempt, AttemptEnd.Cancelled);
  }

  /** The answer is the client's: what was read of it so far counts as read now. */
  adopt({ attempt, head, first }: Begun): void {
    this.#answering = attempt;
    this.exchange = attempt.exchange;
    this.status = head.status;
    this.observer = new BodyObserver();
    if (first.length > 0) this.sawChunk(first);
  }

  /** The endpoint that answers was lost: that counts against it. Returns its slot, in a list for those tried next. */
  lose(): number[] {
    const lost = this.#answering;
    this.#answering = undefined;
    if (!lost) return [];
    this.drop(lost, AttemptEnd.Aborted);
    return [lost.placed.slot];
  }

  /** The answer goes on from the endpoint of `attempt`. */
  goOn(attempt: Attempt): void {
    this.#answering = attempt;
    this.#continuations++;
  }

  /** Nobody needs the request's body any more: a long answer does not hold its prompt. */
  letBodyGo(): void {
    this.inbound.body = undefined;
    this.inbound.releaseBody?.();
  }

  /** The client is gone: the endpoint stops computing, whatever phase the request is in. */
  abandon(): void {
    if (this.answering) this.end("client-disconnect");
    else for (const { exchange } of this.#inHand) exchange.cancel();
  }

  /** The endpoint was lost after the first byte: that counts against it, and the answer is not begun again. */
  failedMidStream(): void {
    this.#answering?.placed.report(AttemptEnd.Aborted);
  }

  /** Body bytes arrived from the endpoint. */
  sawChunk(bytes: Uint8Array): void {
    this.observer!.chunk(bytes);
    this.arrived();
  }

  /** Body bytes arrived that the observer has seen. */
  arrived(): void {
    const now = this.#parts.clock.now();
    if (this.#firstByteMs === undefined) this.#firstByteMs = now;
    else if (this.view!.stream) this.series?.itl(now - this.#lastChunkMs);
    this.#lastChunkMs = now;
  }

  /** Ends the request; what is called after the first time does nothing. */
  end(outcome: Outcome, error?: RouterError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.inbound.signal.removeEventListener("abort", this.#leave);
    this.letBodyGo();
    this.exchange?.cancel();
    for (const attempt of this.#inHand) {
      if (outcome === "client-disconnect" && this.view!.stream) attempt.placed.prediction?.gaveUp(attempt.ageMs);
      attempt.release();
    }
    const [first] = this.#inHand;
    const attempt = this.#answering ?? first;
    const placed = attempt?.placed;
    const endpoint = placed ? this.#parts.table.peek(placed.slot) : this.#lastEndpoint;
    this.#inHand.clear();
    if (outcome === "client-disconnect") this.#parts.metrics.clientDisconnected(this.#phase());
    try {
      this.#report(outcome, attempt, endpoint, error);
    } finally {
      this.#onEnd();
    }
  }

  #phase(): DisconnectPhase {
    if (this.#firstByteMs !== undefined) return "streaming";
    if (this.attempts > 0) return "first-byte";
    return this.view ? "placing" : "body";
  }

  /** What a request that waited its turn used of it, once that is known. */
  #settleTurn(placed: Placed | undefined, { promptTokens, completionTokens }: Usage): void {
    const { waited } = placed ?? {};
    if (!waited) return;
    const begun = this.#firstByteMs !== undefined;
    const { promptTokens: asked } = this.view!;
    const input = promptTokens ?? (begun ? asked : 0), output = completionTokens ?? this.observer?.events() ?? 0;
    this.#parts.flow?.settle(waited.account, input - asked, output - waited.outputTokens);
  }

  /** How long the answer's tokens took, where one endpoint gave all of them. */
  #tellLatency({ placed: { prediction }, ageMs }: Attempt, { completionTokens }: Usage): void {
    const { api, stream } = this.view!;
    if (!prediction || !generates(api) || this.#continuations > 0) return;
    if (!stream) prediction.completedWhole(ageMs, completionTokens ?? 0);
    else prediction.completed(this.#lastChunkMs - this.#firstByteMs!, completionTokens ?? this.observer!.events());
  }

  /** Mean time of a completed stream's tokens after the first, as the client saw it. */
  #tpotMs(outcome: Outcome, { completionTokens }: Usage): number | undefined {
    if (outcome !== "completed" || !this.view?.stream || !generates(this.view.api)) return undefined;
    const tokens = completionTokens ?? this.observer?.events() ?? 0;
    return tokens > 1 ? (this.#lastChunkMs - this.#firstByteMs!) / (tokens - 1) : undefined;
  }

  #report(
    outcome: Outcome,
    attempt: Attempt | undefined,
    endpoint: EndpointMeta | undefined,
    error: RouterError | undefined,
  ): void {
    const { inbound, view, observer } = this;
    const placed = attempt?.placed;
    const usage: Usage = observer?.usage(this.removedUsage?.()) ?? {};
    if (outcome === "completed" && attempt) this.#tellLatency(attempt, usage);
    this.bill?.settle(outcome, { status: this.status, attempts: this.attempts, usage, observer });
    this.#settleTurn(placed, usage);
    if (usage.cachedTokens !== undefined) placed?.ticket?.reported(usage.cachedTokens);
    const record: RequestRecord = {
      id: inbound.id,
      api: inbound.api,
      method: inbound.method,
      path: inbound.path.split("?", 1)[0],
      model: view?.requestedModel ?? "",
      targetModel: view?.model ?? "",
      fairnessId: view?.fairnessId ?? inbound.caller?.tenant ?? "default-flow",
      priority: view?.priority ?? 0,
      key: inbound.caller?.key,
      tenant: inbound.caller?.tenant,
      stream: view?.stream ?? false,
      outcome,
      status: this.status,
      durationMs: this.#parts.clock.now() - inbound.receivedAtMs,
      ttftMs: this.#firstByteMs === undefined ? undefined : this.#firstByteMs - inbound.receivedAtMs,
      tpotMs: this.#tpotMs(outcome, usage),
      ...(view && generates(view.api) && predicted(placed)),
      slo: view && generates(view.api) ? view.slo : undefined,
      processingMs: this.processingMs,
      decisionMs: this.decisionMs,
      queuedMs: this.queuedMs || undefined,
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
      continuations: this.#continuations || undefined,
      rewriteRule: this.rewriteRule,
      traceId: this.trace.traceId,
      error: error && describe(error),
    };
    this.#parts.metrics.requestEnded(record, this.series);
    this.trace.end(record);
    this.#parts.ended(record);
  }
}

function predicted(placed: Placed | undefined): Pick<RequestRecord, "predictedTtftMs" | "predictedTpotMs"> {
  const { prediction } = placed ?? {};
  return { predictedTtftMs: prediction?.ttftMs, predictedTpotMs: prediction?.tpotMs };
}

/** The message and what caused it, for operators; the client sees the message alone. */
function describe(error: RouterError): string {
  const { cause } = error;
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message;
}
