import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { ApiError } from "./api_error.ts";
import { withFault } from "./fault_response.ts";

const encoder = new TextEncoder();

function scene() {
  const clock = new VirtualClock();
  const abort = new AbortController();
  return { clock, abort, signal: abort.signal };
}

/** An endless event stream; `cancelled` turns true when its reader goes. */
function endless() {
  const state = { cancelled: false };
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(encoder.encode("data: x\n\n")),
    cancel: () => void (state.cancelled = true),
  });
  const headers = { "content-type": "text/event-stream" };
  return { state, answer: () => Promise.resolve(new Response(body, { headers })) };
}

/** Lets pending promise reactions run. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

Deno.test("withFault() answers a status without asking for the real answer", async () => {
  await rejects(
    withFault({ kind: "status", status: 429 }, scene(), () => Promise.reject(new Error("asked"))),
    (error) => error instanceof ApiError && error.status === 429,
  );
});

Deno.test("withFault() cuts a stream after its pieces and drops the real answer", async () => {
  const { clock, signal } = scene();
  const { state, answer } = endless();
  const response = await withFault({ kind: "reset", after: 2 }, { clock, signal }, answer);
  const reader = response.body!.getReader();
  ok(!(await reader.read()).done);
  ok(!(await reader.read()).done);
  const third = rejects(reader.read(), /Injected reset/);
  await settle();
  clock.advance(10);
  await third;
  ok(state.cancelled);
});

Deno.test("withFault() sends half of a plain body before a reset after one piece", async () => {
  const { clock, signal } = scene();
  const response = await withFault(
    { kind: "reset", after: 1 },
    { clock, signal },
    () => Promise.resolve(new Response("abcdef", { headers: { "content-length": "6" } })),
  );
  equal(response.headers.get("content-length"), null);
  const reader = response.body!.getReader();
  equal(new TextDecoder().decode((await reader.read()).value), "abc");
  const rest = rejects(reader.read(), /Injected reset/);
  await settle();
  clock.advance(10);
  await rest;
});

Deno.test("withFault() stalls for its time and goes on", async () => {
  const { clock, signal } = scene();
  const { answer } = endless();
  const response = await withFault({ kind: "stall", after: 1, ms: 500 }, { clock, signal }, answer);
  const reader = response.body!.getReader();
  await reader.read();
  const seen: string[] = [];
  const second = reader.read().then(() => seen.push("second"));
  await settle();
  clock.advance(499);
  await settle();
  deepStrictEqual(seen, []);
  clock.advance(2);
  await second;
  deepStrictEqual(seen, ["second"]);
  await reader.cancel();
});

Deno.test("withFault() ends a stall when the client goes", async () => {
  const { clock, abort, signal } = scene();
  let asked = false;
  const stalled = withFault({ kind: "stall", after: -1, ms: 0 }, { clock, signal }, () => {
    asked = true;
    return Promise.resolve(new Response());
  });
  const gone = rejects(stalled, { name: "AbortError" });
  abort.abort();
  await gone;
  ok(!asked);
});
