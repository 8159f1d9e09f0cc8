import { deepStrictEqual, equal } from "node:assert/strict";
import { outcomes, RouterError } from "../core/mod.ts";
import { errorShape } from "./apis.ts";
import { controlHeader, controlHeaders, forwardedHeaders, presentedKey, returnedHeaders } from "./headers.ts";
import { errorResponse, outcomeTable } from "./outcomes.ts";

Deno.test("outcomeTable has a row for every outcome and errors only above 399", () => {
  deepStrictEqual(Object.keys(outcomeTable).sort(), [...outcomes].sort());
  for (const outcome of outcomes) {
    if (outcome !== "completed") equal(outcomeTable[outcome].status >= 400, true, outcome);
  }
});

Deno.test("errorResponse() gives each client its own error shape", async () => {
  const error = new RouterError("model-not-found", "The model `x` does not exist", { param: "model" });
  const openai = errorResponse(error, errorShape("/v1/chat/completions"), "id-1");
  equal(openai.status, 404);
  deepStrictEqual(await openai.json(), {
    error: {
      message: "The model `x` does not exist",
      type: "invalid_request_error",
      param: "model",
      code: "model_not_found",
    },
  });
  const anthropic = errorResponse(error, errorShape("/v1/messages"), "id-2");
  deepStrictEqual(await anthropic.json(), {
    type: "error",
    error: { type: "not_found_error", message: "The model `x` does not exist" },
    request_id: "id-2",
  });
});

Deno.test("errorResponse() names the reason and the wait of a refusal", () => {
  const response = errorResponse(
    new RouterError("rejected-no-endpoints", "none", { retryAfterS: 2.2 }),
    "openai",
    "id",
  );
  equal(response.status, 503);
  equal(response.headers.get("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
  equal(response.headers.get("retry-after"), "3");
});

Deno.test("errorResponse() tells of targets that would be missed as of a limit, with the time to come again", async () => {
  const unmet = (retryAfterS?: number) =>
    errorResponse(new RouterError("rejected-slo", "none would meet them", { retryAfterS }), "openai", "id");
  const response = unmet(7);
  equal(response.status, 429);
  equal(response.headers.get("x-llm-d-request-dropped-reason"), "rejected-slo");
  equal(response.headers.get("retry-after"), "7");
  deepStrictEqual(await response.json(), {
    error: { message: "none would meet them", type: "rate_limit_error", param: null, code: "slo_unmet" },
  });
  equal(unmet().headers.get("retry-after"), "1");
});

Deno.test("forwardedHeaders() keeps what is the client's and drops hop-by-hop, control and listed headers", () => {
  const lines = forwardedHeaders(
    new Headers({
      "authorization": "Bearer k",
      "content-type": "application/json",
      "connection": "close, x-listed",
      "x-listed": "1",
      "transfer-encoding": "chunked",
      "host": "a",
      "content-length": "3",
      "x-llm-d-slo-ttft-ms": "100",
      "x-gateway-destination-endpoint": "1.2.3.4:80",
      "x-prefiller-host-port": "1.2.3.4:80",
      "x-custom": "yes",
    }),
  );
  equal(lines, "content-type: application/json\r\nx-custom: yes\r\n");
});

Deno.test("forwardedHeaders() lets credentials go on only when told to, and the router's own always", () => {
  const headers = new Headers({ "authorization": "Bearer k", "x-api-key": "k", "api-key": "k", "x-custom": "yes" });
  equal(forwardedHeaders(headers), "x-custom: yes\r\n");
  equal(
    forwardedHeaders(headers, {}, true),
    "api-key: k\r\nauthorization: Bearer k\r\nx-api-key: k\r\nx-custom: yes\r\n",
  );
  equal(forwardedHeaders(headers, { authorization: "Bearer ours" }), "x-custom: yes\r\nauthorization: Bearer ours\r\n");
});

Deno.test("presentedKey() takes the first credential header that is there, whatever stands in it", () => {
  const key = (headers: Record<string, string>) => presentedKey(new Headers(headers));
  equal(key({}), undefined);
  equal(key({ authorization: "Bearer a" }), "a");
  equal(key({ authorization: "bearer   a  " }), "a");
  equal(key({ "x-api-key": "a b" }), "a b");
  equal(key({ "api-key": "a" }), "a");
  equal(key({ authorization: "Bearer a", "x-api-key": "b" }), "a");
  for (const value of ["Basic a", "Bearer", "Bearer a b", "Bearer a, Bearer b", "a", `Bearer ${"a".repeat(4097)}`]) {
    equal(key({ authorization: value, "x-api-key": "b" }), "", value);
  }
});

Deno.test("forwardedHeaders() puts the router's own headers in place of the client's", () => {
  const headers = new Headers({ "x-request-id": "theirs", "traceparent": "old", "accept": "*/*" });
  equal(
    forwardedHeaders(headers, { "x-request-id": "ours" }),
    "accept: */*\r\ntraceparent: old\r\nx-request-id: ours\r\n",
  );
});

Deno.test("returnedHeaders() drops framing and router-owned headers and keeps several cookies", () => {
  const headers = new Headers([
    ["set-cookie", "a=1"],
    ["set-cookie", "b=2"],
    ["transfer-encoding", "chunked"],
    ["content-length", "9"],
    ["x-llm-d-request-dropped-reason", "x"],
    ["x-own", "1"],
  ]);
  deepStrictEqual([...returnedHeaders(headers)], [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-own", "1"]]);
});

Deno.test("controlHeader() prefers the canonical name over its alias", () => {
  const headers = new Headers({ "x-slo-ttft-ms": "5", "x-llm-d-slo-ttft-ms": "7" });
  equal(controlHeader(headers, controlHeaders.sloTtftMs), "7");
  equal(controlHeader(new Headers({ "x-slo-ttft-ms": "5" }), controlHeaders.sloTtftMs), "5");
  equal(controlHeader(new Headers(), controlHeaders.sloTtftMs), undefined);
});
