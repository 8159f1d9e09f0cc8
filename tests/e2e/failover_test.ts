/** What a client sees when model servers fail it. */
import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import {
  busy,
  eventData,
  fact,
  model,
  nothingReserved,
  openAiError,
  post,
  reserved,
  type Stage,
  type StageOptions,
  until,
  withRouter,
} from "./harness.ts";
import { withRecorder } from "./recorder.ts";

const asked = { model, prompt: "Once upon a time", max_tokens: 6 };

/** One simulator that fails, preferred by a session-free prefix, and one that does not. */
const pair = (
  bad: Readonly<Record<string, unknown>>,
  config: Readonly<Record<string, unknown>> = {},
): StageOptions => ({
  sims: [{ allowFaultHeader: true, ...bad }, { allowFaultHeader: true }],
  config: { upstream: { firstByteTimeout: "300ms" }, pool: { ejection: { enabled: false } }, ...config },
});

/** Asks until the endpoint that is to fail was tried first, and answers that request's access line. */
async function untilFailedOver(stage: Stage): Promise<Readonly<Record<string, unknown>>> {
  for (let i = 0; i < 50; i++) {
    const id = `try-${i}`;
    const response = await post(`${stage.url}/v1/completions`, { ...asked, prompt: `${i} times` }, {
      headers: { "x-request-id": id },
    });
    const text = await response.text();
    equal(response.status, 200, text);
    equal(JSON.parse(text).usage.completion_tokens, 6);
    const line = await stage.accessLine(id);
    if (line.attempts === 2) {
      equal(response.headers.get("x-inference-pod"), "sim-1");
      return line;
    }
    equal(line.attempts, 1);
  }
  throw new Error("No request went to the failing endpoint first");
}

for (
  const [what, fault] of [
    ["refuses connections", { "refuse": true }],
    ["answers 503", { "status-rate": 1, "status-code": 503 }],
    ["answers 502", { "status-rate": 1, "status-code": 502 }],
    ["cuts the connection before the first body byte", { "reset-rate": 1, "reset-after": 0 }],
    ["stalls before the first byte", { "stall-rate": 1 }],
    ["stalls between the head and the first body byte", { "stall-rate": 1, "stall-after": 0 }],
  ] as const
) {
  fact(
    `an endpoint that ${what} is passed over for another before the client hears anything`,
    () =>
      withRouter(pair({}), async (stage) => {
        stage.sims[0].changeFaults(fault);
        if ("refuse" in fault) {
          await until("the port is closed", () =>
            Deno.connect({ hostname: "127.0.0.1", port: stage.sims[0].port }).then((connection) => {
              connection.close();
              return false;
            }, () =>
              true));
        }
        const line = await untilFailedOver(stage);
        equal(line.outcome, "completed");
        deepStrictEqual(reserved(stage), nothingReserved);
        await until("the failing engine is idle", () =>
          busy(stage.sims[0]) === 0);
      }),
  );
}

fact(
  "a 500 or a 429 of the server is the client's answer, not a reason to try another",
  () =>
    withRouter(pair({}), async (stage) => {
      for (const status of [500, 429, 400]) {
        const response = await post(`${stage.url}/v1/completions`, asked, {
          headers: { "x-sim-fault": `status=${status}`, "x-request-id": `s${status}` },
        });
        equal(response.status, status);
        equal((await openAiError(response)).message, `Injected fault with status ${status}`);
        equal((await stage.accessLine(`s${status}`)).attempts, 1);
      }
    }),
);

fact(
  "a stream that is cut after its first byte ends with an error event and is not begun again",
  () =>
    withRouter(pair({}), async (stage) => {
      const response = await post(`${stage.url}/v1/completions`, { ...asked, stream: true }, {
        headers: { "x-sim-fault": "reset-after=3", "x-request-id": "cut" },
      });
      equal(response.status, 200);
      const events = eventData(await response.text());
      equal(events.length, 4);
      for (const event of events.slice(0, 3)) equal(JSON.parse(event).object, "text_completion");
      const { error } = JSON.parse(events[3]);
      deepStrictEqual([error.type, error.code, error.param], ["server_error", "upstream_aborted", null]);
      const line = await stage.accessLine("cut");
      deepStrictEqual([line.outcome, line.attempts, line.status], ["upstream-aborted", 1, 200]);
      deepStrictEqual(reserved(stage), nothingReserved);
    }),
);

fact(
  "a Messages stream that is cut ends with an error event in Anthropic's shape",
  () =>
    withRouter(pair({}), async ({ url }) => {
      const body = { model, max_tokens: 20, stream: true, messages: [{ role: "user", content: "x" }] };
      const response = await post(`${url}/v1/messages`, body, { headers: { "x-sim-fault": "reset-after=4" } });
      const text = await response.text();
      match(text, /\n\nevent: error\ndata: \{"type":"error","error":\{"type":"api_error","message":"[^"]+"\}\}\n\n$/);
    }),
);

fact(
  "silence inside a stream longer than the idle timeout ends it with an error event",
  () =>
    withRouter(pair({}, { upstream: { idleTimeout: "300ms" } }), async (stage) => {
      const response = await post(`${stage.url}/v1/completions`, { ...asked, stream: true }, {
        headers: { "x-sim-fault": "stall=2", "x-request-id": "silent" },
      });
      const events = eventData(await response.text());
      equal(events.length, 3);
      ok(JSON.parse(events[2]).error);
      equal((await stage.accessLine("silent")).outcome, "upstream-timeout");
      await until("the engines are idle", () => stage.sims.every((sim) => busy(sim) === 0));
    }),
);

fact(
  "a body that is no event stream and is cut short reaches the client as a cut body, never as a whole one",
  () =>
    withRecorder({
      answer: () => {
        let sent = false;
        const body = new ReadableStream<Uint8Array>({
          async pull(controller) {
            if (sent) {
              await new Promise((resolve) => setTimeout(resolve, 20));
              return controller.error(new Error("cut on purpose"));
            }
            sent = true;
            controller.enqueue(new Uint8Array(100_000));
          },
        });
        return new Response(body, { headers: { "content-type": "audio/wav" } });
      },
    }, (recorder) =>
      withRouter({ endpoints: [recorder.url] }, async (stage) => {
        const response = await post(`${stage.url}/v1/audio/speech`, { model, input: "x" });
        equal(response.status, 200);
        await rejects(response.arrayBuffer());
        await until("the access line is written", () => stage.accessLines.length === 1);
        equal(stage.accessLines[0].outcome, "upstream-aborted");
        deepStrictEqual(stage.logLines.filter(({ level }) => level === "error"), []);
      })),
);

fact(
  "with every endpoint down the answer is an OpenAI error of 5xx: 502 while it is news, 503 once it is known",
  () =>
    withRouter({
      sims: [{}, {}],
      config: { pool: { health: { interval: "100ms", failures: 1 } }, flow: { noEndpointTtl: "100ms" } },
    }, async (stage) => {
      await Promise.all(stage.sims.map((sim) => sim.stop()));
      const response = await post(`${stage.url}/v1/completions`, asked);
      ok(response.status === 502 || response.status === 503, `${response.status}`);
      equal((await openAiError(response)).type, "server_error");
      await until("no endpoint is ready", () => stage.router.pool.readiness().ready === 0);
      const known = await post(`${stage.url}/v1/completions`, asked);
      equal(known.status, 503);
      equal(known.headers.get("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
      match(known.headers.get("retry-after")!, /^\d+$/);
      equal((await openAiError(known)).code, "no_endpoints");
      const messages = await post(`${stage.url}/v1/messages`, {
        model,
        max_tokens: 1,
        messages: [{ role: "user", content: "x" }],
      });
      equal(messages.status, 503);
      deepStrictEqual((await messages.json()).error.type, "overloaded_error");
    }),
);

const limit = 4096;

/** A request for the model of exactly so many bytes. */
function bodyOf(size: number): string {
  const head = `{"model":"${model}","max_tokens":1,"prompt":"`;
  return `${head}${"a ".repeat(size).slice(0, size - head.length - 2)}"}`;
}

fact(
  "a body over the limit is 413, declared or counted; one of exactly the limit is served",
  () =>
    withRouter({ sims: [{}], config: { server: { bodyBytesMax: limit } } }, async (stage) => {
      const { url } = stage;
      const exact = await post(`${url}/v1/completions`, bodyOf(limit));
      equal(exact.status, 200, await exact.text());
      const counted = (size: number) =>
        fetch(`${url}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: new Blob([bodyOf(size)]).stream(),
        });
      const exactCounted = await counted(limit);
      equal(exactCounted.status, 200, await exactCounted.text());
      for (const response of [await post(`${url}/v1/completions`, bodyOf(limit + 1)), await counted(limit + 1)]) {
        equal(response.status, 413);
        equal((await openAiError(response)).code, "request_too_large");
      }
      const messages = await post(`${url}/v1/messages`, bodyOf(limit + 1));
      equal(messages.status, 413);
      equal((await messages.json()).error.type, "request_too_large");
      equal(stage.sims[0].models.ranks[0].metrics().finished, 2);
    }),
);
