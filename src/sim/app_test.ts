import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { systemClock } from "../core/mod.ts";
import { type AppHost, createApp } from "./app.ts";
import { changedFaults, noFaults } from "./faults.ts";
import { ModelServer } from "./model_server.ts";
import { resolveSimOptions, type SimOptions } from "./options.ts";

function make(partial: Partial<SimOptions> = {}) {
  const server = new ModelServer(resolveSimOptions({ speed: 50, ...partial }), systemClock);
  const host = {
    podName: "pod-7",
    kvEndpoint: "tcp://127.0.0.1:5557",
    faults: noFaults,
    nextFault: () => undefined,
    changeFaults(change: unknown) {
      host.faults = changedFaults(host.faults, change);
    },
  } satisfies AppHost;
  const app = createApp(server, host);
  const post = (path: string, body: BodyInit, headers = {}) => app.request(path, { method: "POST", body, headers });
  return { app, host, post, server };
}

const question = JSON.stringify({ prompt: "x", max_tokens: 1 });

Deno.test("createApp() says which pod answered and echoes the request id, on errors too", async () => {
  const { post } = make();
  for (const body of [question, "{"]) {
    const response = await post("/v1/completions", body, { "x-request-id": "abc" });
    equal(response.headers.get("x-inference-pod"), "pod-7");
    equal(response.headers.get("x-request-id"), "abc");
    await response.body?.cancel();
  }
  const plain = await post("/v1/completions", question);
  equal(plain.headers.get("x-request-id"), null);
  ok((await plain.json()).id.length > 10);
});

Deno.test("createApp() answers in OpenAI's error shape for what it does not have or want", async () => {
  const { app, post } = make({ bodyBytesMax: 2000 });
  const cases: [Response | Promise<Response>, number][] = [
    [app.request("/nothing"), 404],
    [app.request("/v1/completions"), 404],
    [post("/v1/completions", "not json"), 400],
    [post("/v1/completions", JSON.stringify({ prompt: "x".repeat(3000) })), 413],
    [post("/v1/completions", question, { "x-data-parallel-rank": "3" }), 400],
  ];
  for (const [pending, status] of cases) {
    const response = await pending;
    equal(response.status, status);
    const { error } = await response.json();
    deepStrictEqual(Object.keys(error), ["message", "type", "param", "code"]);
    equal(error.code, status);
  }
});

Deno.test("createApp() shows health, metrics and admin config, which refuses unknown fields", async () => {
  const { app, host, post } = make();
  equal((await app.request("/health")).status, 200);
  const metrics = await app.request("/metrics");
  ok(metrics.headers.get("content-type")?.startsWith("text/plain"));
  ok((await metrics.text()).includes("vllm:num_requests_running"));
  equal((await post("/admin/config", '{"slow-factor":3}')).status, 200);
  equal(host.faults.slowFactor, 3);
  equal((await (await app.request("/admin/config")).json())["slow-factor"], 3);
  equal((await post("/admin/config", '{"slow-factor":4,"nope":1}')).status, 400);
  equal(host.faults.slowFactor, 3);
});

Deno.test("createApp() obeys x-sim-fault only when allowed", async () => {
  const ask = async (allowFaultHeader: boolean, fault: string) => {
    const response = await make({ allowFaultHeader }).post("/v1/completions", question, { "x-sim-fault": fault });
    await response.body?.cancel();
    return response.status;
  };
  equal(await ask(false, "status=503"), 200);
  equal(await ask(true, "status=503"), 503);
  equal(await ask(true, "fire"), 400);
});

Deno.test("createApp() gives 429 with Retry-After when the queue is full", async () => {
  const { post, server } = make({ maxNumSeqs: 1, maxWaitingQueueLength: 1 });
  const response = await post("/v1/completions", JSON.stringify({ prompt: "x", max_tokens: 1000, n: 3 }));
  equal(response.status, 429);
  equal(response.headers.get("retry-after"), "1");
  equal(server.ranks[0].metrics().waiting, 0);
});
