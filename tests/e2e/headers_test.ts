/** What crosses the router in headers, in both directions. */
import { deepStrictEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { fact, model, openAiError, post, type Stage, withRouter } from "./harness.ts";
import { type Recorder, withRecorder } from "./recorder.ts";

const body = { model, prompt: "x", max_tokens: 1 };

function withPair(
  answer: (() => Response) | undefined,
  use: (stage: Stage, recorder: Recorder) => Promise<void>,
  config: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  return withRecorder(
    { answer },
    (recorder) => withRouter({ endpoints: [recorder.url], config }, (stage) => use(stage, recorder)),
  );
}

/** POSTs `body` with headers that `fetch` would not let through, and reads the answer to its end. */
async function sendRaw(port: number, headers: Readonly<Record<string, string>>): Promise<string> {
  const text = JSON.stringify(body);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    const head = `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${text.length}\r\n${lines}\r\n`;
    await connection.write(new TextEncoder().encode(head + text));
    const buffer = new Uint8Array(16_384);
    const size = await connection.read(buffer);
    return new TextDecoder().decode(buffer.subarray(0, size ?? 0));
  } finally {
    connection.close();
  }
}

fact(
  "x-request-id is kept when it is fit, made when it is not, and told to server, client and access log",
  () =>
    withPair(undefined, async (stage, recorder) => {
      const given = await post(`${stage.url}/v1/completions`, body, { headers: { "x-request-id": "req-42/a" } });
      await given.body?.cancel();
      equal(given.headers.get("x-request-id"), "req-42/a");
      equal(recorder.last.headers.get("x-request-id"), "req-42/a");
      equal((await stage.accessLine("req-42/a")).status, 200);
      const unfit: Record<string, string>[] = [{}, { "x-request-id": "x".repeat(129) }, {
        "x-request-id": "two words",
      }];
      for (const headers of unfit) {
        const made = await post(`${stage.url}/v1/completions`, body, { headers });
        await made.body?.cancel();
        const id = made.headers.get("x-request-id")!;
        match(id, /^[0-9a-f-]{36}$/);
        equal(recorder.last.headers.get("x-request-id"), id);
      }
    }),
);

fact("x-request-id is echoed on refusals too", () =>
  withPair(undefined, async ({ url }) => {
    const headers = { "x-request-id": "mine" };
    for (
      const response of [
        await post(`${url}/v1/completions`, "{", { headers }),
        await post(`${url}/v1/completions`, { model: "none", prompt: "x" }, { headers }),
        await post(`${url}/v1/completions`, "x".repeat(2 << 20), { headers }),
        await fetch(`${url}/v1/completions`, { headers }),
        await fetch(`${url}/v1/models/none`, { headers }),
      ]
    ) {
      ok(response.status >= 400);
      equal(response.headers.get("x-request-id"), "mine");
      await openAiError(response);
    }
  }));

for (const enabled of [false, true]) {
  fact(
    `traceparent and tracestate go on to the server with tracing ${enabled ? "on" : "off"}`,
    () =>
      withPair(undefined, async (stage, recorder) => {
        const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
        const response = await post(`${stage.url}/v1/completions`, body, {
          headers: {
            traceparent: `00-${traceId}-00f067aa0ba902b7-01`,
            tracestate: "vendor=1",
            "x-request-id": "traced",
          },
        });
        await response.body?.cancel();
        match(recorder.last.headers.get("traceparent")!, new RegExp(`^00-${traceId}-[0-9a-f]{16}-0[01]$`));
        equal(recorder.last.headers.get("tracestate"), "vendor=1");
        equal((await stage.accessLine("traced")).trace_id, enabled ? traceId : undefined);
      }, { tracing: { enabled } }),
  );
}

fact(
  "hop-by-hop headers and the router's own stay at the router; everything else goes on",
  () =>
    withPair(undefined, async ({ router }, recorder) => {
      await sendRaw(router.port, {
        "connection": "keep-alive, x-only-this-hop",
        "x-only-this-hop": "1",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "upgrade": "h2c",
        "proxy-authorization": "Basic x",
        "accept-encoding": "gzip",
        "x-llm-d-inference-objective": "batch",
        "x-gateway-inference-fairness-id": "tenant",
        "x-llm-d-slo-ttft-ms": "100",
        "x-gateway-destination-endpoint": "evil:1",
        "x-prefiller-host-port": "evil:1",
        "x-data-parallel-host-port": "evil:1",
        "x-session-token": "abc",
        "authorization": "Bearer secret",
        "x-api-key": "secret",
        "api-key": "secret",
        "x-custom": "kept",
        "cookie": "a=1; b=2",
      });
      const { headers } = recorder.last;
      for (
        const name of [
          "x-only-this-hop",
          "keep-alive",
          "te",
          "upgrade",
          "proxy-authorization",
          "accept-encoding",
          "x-llm-d-inference-objective",
          "x-gateway-inference-fairness-id",
          "x-llm-d-slo-ttft-ms",
          "x-gateway-destination-endpoint",
          "x-prefiller-host-port",
          "x-data-parallel-host-port",
          "x-session-token",
          "authorization",
          "x-api-key",
          "api-key",
        ]
      ) equal(headers.get(name), null, name);
      equal(headers.get("x-custom"), "kept");
      equal(headers.get("cookie"), "a=1; b=2");
      equal(headers.get("host"), new URL(recorder.url).host);
    }),
);

fact(
  "upstream.forwardAuthorization lets the client's credentials go on",
  () =>
    withPair(undefined, async ({ url }, recorder) => {
      const headers = { authorization: "Bearer theirs", "x-api-key": "theirs" };
      await (await post(`${url}/v1/completions`, body, { headers })).body?.cancel();
      equal(recorder.last.headers.get("authorization"), "Bearer theirs");
      equal(recorder.last.headers.get("x-api-key"), "theirs");
    }, { upstream: { forwardAuthorization: true } }),
);

fact(
  "upstream.authorization is what servers are sent, whatever the client sends",
  () =>
    withPair(undefined, async ({ url, adminUrl }, recorder) => {
      const sent: Record<string, string>[] = [{}, { authorization: "Bearer theirs", "x-api-key": "theirs" }];
      for (const headers of sent) {
        await (await post(`${url}/v1/completions`, body, { headers })).body?.cancel();
        equal(recorder.last.headers.get("authorization"), "Bearer ours");
        equal(recorder.last.headers.get("x-api-key"), null);
      }
      deepStrictEqual(
        recorder.probed.map((headers) => headers.get("authorization")),
        recorder.probed.map(() => "Bearer ours"),
      );
      ok(recorder.probed.length > 0);
      const page = await (await fetch(`${adminUrl}/debug/config`)).text();
      ok(!page.includes("Bearer ours"));
    }, { upstream: { authorization: "Bearer ours" } }),
);

fact("internal headers of the server do not reach the client; its others do", () =>
  withPair(() =>
    new Response("{}", {
      headers: [
        ["content-type", "application/json"],
        ["x-llm-d-request-dropped-reason", "forged"],
        ["x-gateway-destination-endpoint-served", "10.0.0.1:1"],
        ["x-gateway-destination-endpoint-scores", "a=1"],
        ["x-prefiller-host-port", "10.0.0.2:1"],
        ["x-request-id", "the-server's"],
        ["x-ratelimit-remaining-requests", "7"],
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ],
    }), async ({ url }) => {
    const response = await post(`${url}/v1/completions`, body, { headers: { "x-request-id": "mine" } });
    await response.body?.cancel();
    for (
      const name of [
        "x-llm-d-request-dropped-reason",
        "x-gateway-destination-endpoint-served",
        "x-gateway-destination-endpoint-scores",
        "x-prefiller-host-port",
      ]
    ) equal(response.headers.get(name), null, name);
    equal(response.headers.get("x-request-id"), "mine");
    equal(response.headers.get("x-ratelimit-remaining-requests"), "7");
    deepStrictEqual(response.headers.getSetCookie(), ["a=1", "b=2"]);
  }));

fact(
  "a refusal for want of endpoints says why and when to come back",
  () =>
    withRecorder({}, (recorder) =>
      withRouter({ endpoints: [recorder.url] }, async ({ url }) => {
        const response = await post(`${url}/v1/completions`, body, {
          headers: { "x-gateway-destination-endpoint-subset": "10.9.9.9:8000" },
        });
        equal(response.status, 503);
        notEqual(response.headers.get("x-llm-d-request-dropped-reason"), null);
        match(response.headers.get("retry-after")!, /^\d+$/);
        equal((await openAiError(response)).type, "server_error");
        equal(recorder.received.length, 0);
      })),
);
