import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { type Attributes, type Context, type Span, type SpanOptions, trace, type Tracer } from "@opentelemetry/api";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { spanNames, Tracing } from "./mod.ts";
import { requestRecord } from "./testing.ts";
import { formatTraceparent, parseTraceparent } from "./tracing.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const parentId = "b7ad6b7169203331";

interface Recorded {
  readonly name: string;
  readonly kind?: number;
  readonly parent?: string;
  attributes: Attributes;
  status?: number;
  ended: number;
}

/** A tracer that keeps its spans. */
function recorder(recording = true): { tracer: Tracer; spans: Recorded[] } {
  const spans: Recorded[] = [];
  const startSpan = (name: string, options: SpanOptions = {}, context?: Context): Span => {
    const parent = context && trace.getSpanContext(context);
    const spanId = (spans.length + 1).toString(16).padStart(16, "0");
    const record: Recorded = {
      name,
      kind: options.kind,
      parent: parent?.spanId,
      attributes: { ...options.attributes },
      ended: 0,
    };
    spans.push(record);
    const span: Span = {
      spanContext: () => ({
        traceId: parent?.traceId ?? "f".repeat(32),
        spanId,
        traceFlags: 1,
      }),
      setAttribute: (key, value) => (record.attributes[key] = value, span),
      setAttributes: (more) => (Object.assign(record.attributes, more), span),
      setStatus: ({ code }) => (record.status = code, span),
      addEvent: () => span,
      addLink: () => span,
      addLinks: () => span,
      updateName: () => span,
      recordException: () => {},
      isRecording: () => recording,
      end: () => void record.ended++,
    };
    return span;
  };
  return {
    tracer: {
      startSpan,
      startActiveSpan: () => {
        throw new Error("not used");
      },
    },
    spans,
  };
}

const tracing = (tracer: Tracer, sampleRatio = 1, enabled = true) =>
  new Tracing({ enabled, sampleRatio, rng: new Prng(1), tracer });

Deno.test("startRequest() makes nothing when tracing is off, and leaves the caller's headers alone", () => {
  const { tracer, spans } = recorder();
  const request = tracing(tracer, 1, false).startRequest(new Headers({ traceparent: `00-${traceId}-${parentId}-01` }));
  equal(request.headers, undefined);
  request.span("x").end();
  request.end(requestRecord());
  equal(spans.length, 0);
});

Deno.test("startRequest() continues the caller's trace and puts its own span upstream", () => {
  const { tracer, spans } = recorder();
  const headers = new Headers({ traceparent: `00-${traceId}-${parentId}-01`, tracestate: "vendor=1" });
  const request = tracing(tracer, 0).startRequest(headers, { "url.path": "/v1/x" });
  equal(request.traceId, traceId);
  deepStrictEqual(request.headers, { traceparent: `00-${traceId}-0000000000000001-01`, tracestate: "vendor=1" });
  const child = request.span(spanNames.orchestration, { a: 1 });
  child.set({ b: 2 });
  child.end();
  request.end(requestRecord({ targetModel: "llama-v2" }));
  deepStrictEqual(spans.map(({ name, parent, ended }) => ({ name, parent, ended })), [
    { name: "gateway.request", parent: parentId, ended: 1 },
    { name: "gateway.request_orchestration", parent: "0000000000000001", ended: 1 },
  ]);
  equal(spans[0].kind, 1);
  deepStrictEqual(spans[1].attributes, { a: 1, b: 2 });
  equal(spans[0].attributes["gen_ai.request.model"], "llama");
  equal(spans[0].attributes["gen_ai.request.id"], "req-1");
  equal(spans[0].attributes["gen_ai.usage.output_tokens"], 101);
  equal(spans[0].status, undefined);
});

Deno.test("startRequest() follows the caller's decision not to sample, and passes its trace on", () => {
  const { tracer, spans } = recorder();
  const request = tracing(tracer, 1).startRequest(new Headers({ traceparent: `00-${traceId}-${parentId}-00` }));
  deepStrictEqual([request.recording, request.traceId, request.headers, spans.length], [false, traceId, undefined, 0]);
});

Deno.test("startRequest() samples by ratio when no caller decided", () => {
  const { tracer, spans } = recorder();
  const subject = tracing(tracer, 0.25);
  for (let i = 0; i < 4000; i++) subject.startRequest(new Headers(i % 2 ? { traceparent: "broken" } : {}));
  ok(Math.abs(spans.length - 1000) < 100, `${spans.length} of 4000`);
  ok(spans.every(({ parent }) => parent === undefined));
});

Deno.test("startRequest() passes the caller's trace on when no one exports spans", () => {
  const { tracer } = recorder(false);
  const request = tracing(tracer).startRequest(new Headers({ traceparent: `00-${traceId}-${parentId}-01` }));
  deepStrictEqual([request.recording, request.traceId, request.headers], [false, traceId, undefined]);
});

for (
  const { outcome, status, error } of [
    { outcome: "upstream-timeout", status: 504, error: true },
    { outcome: "internal-error", status: 500, error: true },
    { outcome: "client-disconnect", status: 0, error: false },
    { outcome: "bad-request", status: 400, error: false },
  ] as const
) {
  Deno.test(`end() marks ${outcome} as ${error ? "an error" : "no error"} of the server`, () => {
    const { tracer, spans } = recorder();
    tracing(tracer).startRequest(new Headers()).end(requestRecord({ outcome, status }));
    equal(spans[0].status, error ? 2 : undefined);
    equal(spans[0].attributes["warmpath.outcome"], outcome);
    equal(Object.values(spans[0].attributes).includes(undefined), false);
  });
}

Deno.test("parseTraceparent() keeps the rules of Trace Context", () => {
  for (
    const [header, valid] of [
      [`00-${traceId}-${parentId}-01`, true],
      [` 00-${traceId}-${parentId}-01 `, true],
      [`01-${traceId}-${parentId}-01-more`, true],
      [`00-${traceId}-${parentId}-01-more`, false],
      [`ff-${traceId}-${parentId}-01`, false],
      [`00-${"0".repeat(32)}-${parentId}-01`, false],
      [`00-${traceId}-${"0".repeat(16)}-01`, false],
      [`00-${traceId.toUpperCase()}-${parentId}-01`, false],
      [`00-${traceId}-${parentId}`, false],
      ["", false],
    ] as const
  ) equal(parseTraceparent(header) !== undefined, valid, header);
});

Deno.test("formatTraceparent() is read back as the same position", () => {
  const hex = (length: number) =>
    fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
  fc.assert(fc.property(hex(31), hex(15), fc.integer({ min: 0, max: 1 }), (id, span, traceFlags) => {
    const position = { traceId: `1${id}`, spanId: `1${span}`, traceFlags };
    const { traceId, spanId, traceFlags: flags } = parseTraceparent(formatTraceparent(position))!;
    deepStrictEqual({ traceId, spanId, traceFlags: flags }, position);
  }));
});
