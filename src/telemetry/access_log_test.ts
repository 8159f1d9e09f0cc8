import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { AccessLog } from "./mod.ts";
import { requestRecord } from "./testing.ts";

function lineOf(part: Parameters<typeof requestRecord>[0]): string {
  const lines: string[] = [];
  new AccessLog({ write: (line) => lines.push(line), clock: new VirtualClock() }).write(requestRecord(part));
  equal(lines.length, 1);
  return lines[0];
}

Deno.test("AccessLog writes what is known of a request as one JSON line", () => {
  const line = lineOf({
    durationMs: 2100.123456,
    rewriteRule: "canary",
    targetModel: "llama-v2",
    traceId: "t",
    predictedTtftMs: 90.12345,
    tpotMs: 20,
    predictedTpotMs: 19.5,
  });
  ok(line.endsWith("}") && !line.includes("\n"));
  deepStrictEqual(JSON.parse(line), {
    time: "2023-11-14T22:13:20.000Z",
    id: "req-1",
    method: "POST",
    path: "/v1/chat/completions",
    api: "chat",
    status: 200,
    outcome: "completed",
    model: "llama",
    target_model: "llama-v2",
    rewrite: "canary",
    fairness_id: "default-flow",
    priority: 0,
    stream: true,
    endpoint: "a",
    profile: "default",
    attempts: 1,
    duration_ms: 2100.123,
    ttft_ms: 100,
    predicted_ttft_ms: 90.123,
    tpot_ms: 20,
    predicted_tpot_ms: 19.5,
    processing_ms: 1.5,
    decision_ms: 0.2,
    request_bytes: 3000,
    response_bytes: 9000,
    prompt_tokens: 800,
    cached_tokens: 640,
    matched_tokens: 640,
    output_tokens: 101,
    finish_reason: "stop",
    trace_id: "t",
  });
});

Deno.test("AccessLog leaves out what is unknown, hides credentials and cuts long names", () => {
  const line = lineOf({
    outcome: "upstream-error",
    endpoint: undefined,
    ttftMs: undefined,
    error: "401 for Bearer abcdef123456",
    model: "m".repeat(100_000),
    path: "/" + "p".repeat(100_000),
  });
  ok(line.length < 3000, `${line.length} characters`);
  const parsed = JSON.parse(line);
  equal("endpoint" in parsed || "ttft_ms" in parsed, false);
  equal(parsed.error, "401 for Bearer [hidden]");
});
