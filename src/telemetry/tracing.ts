import {
  type Attributes,
  type Context,
  context,
  createTraceState,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { HeaderReader, Prng } from "../core/mod.ts";
import type { RequestRecord } from "./record.ts";
import { errorCodes } from "./record.ts";

/** Span names shared with llm-d, so that saved searches carry over. */
export const spanNames = {
  request: "gateway.request",
  orchestration: "gateway.request_orchestration",
  profile: "run_scheduler_profile",
} as const;

/** Headers that continue the trace upstream. */
export interface TraceHeaders {
  readonly traceparent: string;
  readonly tracestate?: string;
}

/** A span that was started; `end` once. */
export interface TraceSpan {
  set(attributes: Attributes): void;
  end(): void;
}

/** The trace of one request. Where it is not recorded every method does nothing. */
export interface RequestTrace {
  readonly recording: boolean;
  /** Absent when there is neither a span nor a caller's trace. */
  readonly traceId?: string;
  /** What goes upstream in place of the client's trace headers; absent: forward those as they came. */
  readonly headers?: TraceHeaders;
  /** A child of the request's span. */
  span(name: string, attributes?: Attributes): TraceSpan;
  /** Puts the request's outcome on its span and ends it. */
  end(record: RequestRecord): void;
}

const noSpan: TraceSpan = { set() {}, end() {} };
const noTrace: RequestTrace = { recording: false, span: () => noSpan, end() {} };

export interface TracingOptions {
  readonly enabled: boolean;
  /** Share of requests recorded when their caller has not decided, 0 to 1. */
  readonly sampleRatio: number;
  readonly rng: Prng;
  /** The runtime's tracer by default: Deno exports its spans when started with `OTEL_DENO=true`. */
  readonly tracer?: Tracer;
}

/**
 * Starts a span for each request that is sampled: the caller's decision holds when it sent one, else the ratio decides.
 * A request that is not sampled costs one look at a header; with tracing off, nothing.
 */
export class Tracing {
  readonly #options: TracingOptions;
  readonly #tracer?: Tracer;

  constructor(options: TracingOptions) {
    this.#options = options;
    if (options.enabled) this.#tracer = options.tracer ?? trace.getTracer("warmpath");
  }

  startRequest(headers: HeaderReader, attributes?: Attributes): RequestTrace {
    if (!this.#tracer) return noTrace;
    const header = headers.get("traceparent");
    const caller = header ? parseTraceparent(header, headers.get("tracestate") ?? undefined) : undefined;
    const sampled = caller ? (caller.traceFlags & 1) === 1 : this.#options.rng.float() < this.#options.sampleRatio;
    if (!sampled) return caller ? { ...noTrace, traceId: caller.traceId } : noTrace;
    // The runtime's own server span, where it makes one, already continues the caller's trace.
    const active = trace.getSpanContext(context.active());
    const parent = active ? context.active() : caller ? trace.setSpanContext(ROOT_CONTEXT, caller) : ROOT_CONTEXT;
    const span = this.#tracer.startSpan(spanNames.request, { kind: SpanKind.SERVER, attributes }, parent);
    // Without an exporter the runtime's tracer makes spans that lead nowhere.
    if (!span.isRecording()) return caller ? { ...noTrace, traceId: caller.traceId } : noTrace;
    return new RecordedTrace(this.#tracer, span, trace.setSpan(parent, span), caller?.traceState?.serialize());
  }
}

class RecordedTrace implements RequestTrace {
  readonly recording = true;
  readonly traceId: string;
  readonly headers: TraceHeaders;
  readonly #tracer: Tracer;
  readonly #span: Span;
  readonly #context: Context;

  constructor(tracer: Tracer, span: Span, spanContext: Context, callerState?: string) {
    this.#tracer = tracer;
    this.#span = span;
    this.#context = spanContext;
    const own = span.spanContext();
    this.traceId = own.traceId;
    // The runtime's spans do not carry the caller's state; the rules ask that it is passed on.
    const tracestate = own.traceState?.serialize() ?? callerState;
    this.headers = { traceparent: formatTraceparent(own), ...(tracestate ? { tracestate } : {}) };
  }

  span(name: string, attributes?: Attributes): TraceSpan {
    const span = this.#tracer.startSpan(name, { attributes }, this.#context);
    return { set: (more) => void span.setAttributes(more), end: () => span.end() };
  }

  end(record: RequestRecord): void {
    this.#span.setAttributes(requestAttributes(record));
    const code = errorCodes[record.outcome];
    // A client that leaves, or sends what cannot be served, is no fault of the server.
    if (code !== undefined && record.status >= 500) {
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: record.outcome });
    }
    this.#span.end();
  }
}

/** OpenTelemetry's names where they exist, for generative AI and HTTP; ours under `warmpath.`. */
export function requestAttributes(record: RequestRecord): Attributes {
  const attributes: Attributes = {
    "gen_ai.request.id": record.id,
    "gen_ai.request.model": record.model,
    "gen_ai.response.model": record.targetModel,
    "gen_ai.usage.input_tokens": record.promptTokens,
    "gen_ai.usage.output_tokens": record.outputTokens,
    "gen_ai.usage.cache_read.input_tokens": record.cachedTokens,
    "http.request.method": record.method,
    "http.response.status_code": record.status || undefined,
    "url.path": record.path,
    "warmpath.outcome": record.outcome,
    "warmpath.endpoint": record.endpoint?.name,
    "warmpath.profile": record.profile,
    "warmpath.attempts": record.attempts,
    "warmpath.priority": record.priority,
    "warmpath.matched_tokens": record.matchedTokens,
    "warmpath.queued_ms": record.queuedMs,
    "warmpath.ttft_ms": record.ttftMs,
  };
  if (record.finishReason !== undefined) attributes["gen_ai.response.finish_reasons"] = [record.finishReason];
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** The caller's position in its trace, by the W3C Trace Context rules; undefined for a header that breaks them. */
export function parseTraceparent(header: string, tracestate?: string): SpanContext | undefined {
  const match = traceparentPattern.exec(header.trim());
  if (!match) return undefined;
  const [, version, traceId, spanId, flags, rest] = match;
  // Version 00 ends after the flags; later ones may go on.
  if (version === "ff" || (version === "00" && rest !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return {
    traceId,
    spanId,
    traceFlags: parseInt(flags, 16) & 1,
    isRemote: true,
    traceState: tracestate ? createTraceState(tracestate) : undefined,
  };
}

export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & 0xff).toString(16).padStart(2, "0")}`;
}
