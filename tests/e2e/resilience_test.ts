/** What keeps trouble at one endpoint from becoming everyone's: budget, circuit, hedge, first token, overload. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { sleep, systemClock } from "../../src/core/mod.ts";
import {
  busy,
  eventData,
  fact,
  metric,
  model,
  nothingReserved,
  openAiError,
  post,
  reserved,
  type Stage,
  until,
  withRouter,
} from "./harness.ts";
import { pieces, type Received, type Recorder, withRecorder } from "./recorder.ts";

const chat = { model, stream: true, messages: [{ role: "user", content: "x" }] };
const event = (delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
const role = event({ role: "assistant", content: "" });
const ending = event({ content: "!" }, "stop") + "data: [DONE]\n\n";

fact(
  "retries end with the budget: what the server answered is the client's as it is",
  () =>
    withRecorder({ answer: () => Response.json({}, { status: 503 }) }, (a) =>
      withRecorder({
        answer: () => Response.json({}, { status: 503 }),
      }, (b) =>
        withRouter({
          endpoints: [a.url, b.url],
          config: {
            upstream: { retryBudget: { ratio: 0.1, minPerSecond: 0, burst: 5 } },
            pool: { ejection: { enabled: false } },
          },
        }, async (stage) => {
          for (let i = 0; i < 60; i++) {
            const response = await post(`${stage.url}/v1/completions`, { model, prompt: `x${i}` });
            equal(response.status, 503, "the server's own answer, as it is");
            await response.body?.cancel();
          }
          const attempts = a.received.length + b.received.length;
          ok(attempts >= 65 && attempts <= 60 + 5 + 6, `${attempts} attempts of 60 requests`);
          equal(await metric(stage, 'upstream_retries_total{reason="status"}'), attempts - 60);
          deepStrictEqual(reserved(stage), nothingReserved);
        }))),
);

fact("a connection that fails with the budget spent is 502 with Retry-After", () =>
  withRouter({
    sims: [{}, {}],
    config: {
      upstream: { retryBudget: { ratio: 0, minPerSecond: 0, burst: 0 } },
      pool: { ejection: { enabled: false } },
    },
  }, async (stage) => {
    for (const sim of stage.sims) sim.changeFaults({ "reset-rate": 1, "reset-after": 0 });
    const response = await post(`${stage.url}/v1/completions`, { model, prompt: "x" });
    deepStrictEqual([response.status, response.headers.get("retry-after")], [502, "1"]);
    equal((await openAiError(response)).code, "upstream_error");
    equal(await metric(stage, "upstream_retries_refused_total"), 1);
  }));

fact("a circuit opens, lets a bounded number try it when its time is over, and closes", async () => {
  let failing = true;
  const held: PromiseWithResolvers<void>[] = [];
  const answer = async () => {
    if (failing) return Response.json({}, { status: 500 });
    const hold = Promise.withResolvers<void>();
    held.push(hold);
    await hold.promise;
    return Response.json({});
  };
  await withRecorder({ answer }, (bad) =>
    withRecorder({}, (good) =>
      withRouter({
        endpoints: [bad.url, good.url],
        config: {
          scheduling: { policy: "round-robin" },
          pool: { ejection: { failures: 3, time: "300ms", probes: 2 } },
        },
      }, async (stage) => {
        const send = () => post(`${stage.url}/v1/completions`, { model, prompt: "x" }).then((r) => r.body?.cancel());
        const breaker = async () => {
          const rows = await (await fetch(`${stage.adminUrl}/debug/endpoints`)).json();
          return rows.find(({ id }: { id: string }) => id === new URL(bad.url).host).breaker;
        };
        for (let i = 0; i < 20 && (await breaker()).state === "closed"; i++) await send();
        const open = await breaker();
        deepStrictEqual([open.state, open.ejections, bad.received.length], ["open", 1, 3]);
        match(open.reason, /3 requests in a row failed/);
        failing = false;
        await until("the circuit is half-open", async () => (await breaker()).state === "half-open");
        const asked = bad.received.length;
        const sent = Array.from({ length: 10 }, send);
        await until("the others are answered", () => stage.accessLines.filter((l) => l.status === 200).length >= 8);
        equal(bad.received.length - asked, 2, "two may try it at once");
        equal((await breaker()).permits, 0);
        for (const hold of held) hold.resolve();
        await Promise.all(sent);
        equal((await breaker()).state, "closed");
        const name = `endpoint_name="${new URL(bad.url).host}",namespace="default"`;
        equal(await metric(stage, `endpoint_ejections_total{${name},reason="failures"}`), 1);
        equal(await metric(stage, `endpoint_circuit{${name},state="closed"}`), 1);
      })));
});

/** Two recorders behind a router with hedging; each answers by its number of the request. */
async function hedging(
  answer: (who: number, received: Received) => Response | Promise<Response>,
  upstream: object,
  use: (stage: Stage, servers: readonly Recorder[]) => Promise<void>,
): Promise<void> {
  await withRecorder(
    { answer: (received) => answer(0, received) },
    (a) =>
      withRecorder(
        { answer: (received) => answer(1, received) },
        (b) => withRouter({ endpoints: [a.url, b.url], config: { upstream } }, (stage) => use(stage, [a, b])),
      ),
  );
}

fact("a stream slow to begin is asked of a second endpoint, the faster answers and the other is let go", async () => {
  let first: number | undefined;
  const gone = Promise.withResolvers<void>();
  await hedging(
    (who) => {
      first ??= who;
      if (who !== first) return pieces([role + event({ content: "fast" }) + ending]);
      const body = new ReadableStream<Uint8Array>({ cancel: () => gone.resolve() });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    },
    { hedge: { after: "30ms" } },
    async (stage, servers) => {
      const response = await post(`${stage.url}/v1/chat/completions`, chat, { headers: { "x-request-id": "h" } });
      equal(await response.text(), role + event({ content: "fast" }) + ending);
      const line = await stage.accessLine("h");
      deepStrictEqual([line.outcome, line.attempts, line.endpoint], [
        "completed",
        2,
        new URL(servers[1 - first!].url).host,
      ]);
      await gone.promise;
      deepStrictEqual(reserved(stage), nothingReserved);
      equal(await metric(stage, 'upstream_hedges_total{what="won"}'), 1);
    },
  );
});

fact("a first endpoint that answers after all wins, and its usage counts once", async () => {
  let first: number | undefined;
  const release = Promise.withResolvers<void>();
  const usage = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}\n\n';
  await hedging(
    (who) => {
      if (first === undefined) {
        first = who;
        return pieces([release.promise, event({ content: "slow" }), usage, "data: [DONE]\n\n"]);
      }
      release.resolve();
      return pieces([new Promise(() => {})]);
    },
    { hedge: { after: "30ms" } },
    async (stage) => {
      const body = { ...chat, stream_options: { include_usage: true } };
      const response = await post(`${stage.url}/v1/chat/completions`, body, { headers: { "x-request-id": "h" } });
      equal(await response.text(), event({ content: "slow" }) + usage + "data: [DONE]\n\n");
      const line = await stage.accessLine("h");
      deepStrictEqual([line.attempts, line.output_tokens, line.prompt_tokens], [2, 2, 3]);
      deepStrictEqual(reserved(stage), nothingReserved);
      deepStrictEqual([
        await metric(stage, 'upstream_hedges_total{what="begun"}'),
        await metric(stage, 'upstream_hedges_total{what="won"}'),
      ], [1, 0]);
    },
  );
});

fact("plain answers and long prompts are not asked for twice", async () => {
  let release = Promise.withResolvers<void>();
  await hedging(
    async () => {
      await release.promise;
      return Response.json({});
    },
    { hedge: { after: "20ms", promptTokensMax: 100 } },
    async (stage, [a, b]) => {
      const asked = () => a.received.length + b.received.length;
      const ask = async (body: object, times: number) => {
        const before = asked();
        const response = post(`${stage.url}/v1/chat/completions`, body);
        await until("the request is out", () => asked() === before + times);
        // Five times as long as a second attempt would have waited.
        await sleep(systemClock, 100);
        release.resolve();
        await (await response).text();
        equal(asked(), before + times);
        release = Promise.withResolvers();
      };
      await ask({ ...chat, stream: false }, 1);
      await ask({ ...chat, messages: [{ role: "user", content: "word ".repeat(400) }] }, 1);
      await ask(chat, 2);
    },
  );
});

fact(
  "silence after the role and before the first token moves the request on, and the client hears one role",
  async () => {
    let first: number | undefined;
    await hedging(
      (who) => {
        first ??= who;
        return who === first
          ? pieces([role, event({ content: "" }), new Promise(() => {})])
          : pieces([role, event({ content: "a" }), ending]);
      },
      { firstTokenTimeout: "300ms", idleTimeout: "30s" },
      async (stage, servers) => {
        const response = await post(`${stage.url}/v1/chat/completions`, chat, { headers: { "x-request-id": "t" } });
        equal(await response.text(), role + event({ content: "a" }) + ending);
        const line = await stage.accessLine("t");
        deepStrictEqual([line.outcome, line.attempts], ["completed", 2]);
        equal(line.endpoint, new URL(servers[1 - first!].url).host);
        equal(await metric(stage, 'upstream_retries_total{reason="timeout"}'), 1);
        deepStrictEqual(reserved(stage), nothingReserved);
      },
    );
  },
);

fact("a token that came in time ends the watch: a pause after it is the idle timeout's", async () => {
  await hedging(() => pieces([role, event({ content: "a" }), sleep(systemClock, 900), ending]), {
    firstTokenTimeout: "300ms",
  }, async (stage) => {
    const response = await post(`${stage.url}/v1/chat/completions`, chat);
    equal(eventData(await response.text()).length, 4);
  });
});

fact(
  "a router with too much under way refuses at once, negative priorities first, and takes all again",
  () =>
    withRouter({
      sims: [{ speed: 1 }],
      config: {
        server: { overload: { requestsMax: 5 } },
        objectives: [{ name: "batch", priority: -1 }],
      },
    }, async (stage) => {
      const abort = new AbortController();
      const slow = { model, prompt: "x", max_tokens: 4000, stream: true, ignore_eos: true };
      const hold = (count: number) =>
        Promise.all(
          Array.from({ length: count }, () => post(`${stage.url}/v1/completions`, slow, { signal: abort.signal })),
        );
      const send = (objective: string) =>
        post(`${stage.url}/v1/completions`, { model, prompt: "x", max_tokens: 1 }, {
          headers: { "x-llm-d-inference-objective": objective },
        });
      const held = await hold(4);
      const batch = await send("batch");
      deepStrictEqual([batch.status, batch.headers.get("retry-after")], [503, "1"]);
      equal(batch.headers.get("x-llm-d-request-dropped-reason"), "rejected-overloaded");
      equal((await openAiError(batch)).code, "router_overloaded");
      const normal = await send("");
      equal(normal.status, 200, await normal.text());
      held.push(...await hold(1));
      // A body that would take minutes is not waited for.
      const { port, hostname } = new URL(stage.url);
      const socket = await Deno.connect({ port: Number(port), hostname });
      const head = `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{"model":`;
      await socket.write(new TextEncoder().encode(head));
      const read = new Uint8Array(512);
      match(new TextDecoder().decode(read.subarray(0, await socket.read(read) ?? 0)), /^HTTP\/1\.1 503 /);
      socket.close();
      deepStrictEqual([
        await metric(stage, 'requests_shed_total{reason="requests",priority="negative"}'),
        await metric(stage, 'requests_shed_total{reason="requests",priority="other"}'),
        await metric(stage, "overloaded"),
      ], [1, 1, 2]);
      abort.abort();
      await Promise.allSettled(held.map((response) => response.text()));
      await until("all have ended", () => stage.router.edges.active === 0);
      const after = await send("batch");
      equal(after.status, 200, await after.text());
      await until("the engine is idle", () => busy(stage.sims[0]) === 0);
    }),
);

fact("an endpoint is drained by hand and taken back", () =>
  withRouter({ sims: [{}, {}] }, async (stage) => {
    const id = `127.0.0.1:${stage.sims[0].port}`;
    const ask = (verb: string, which = id) =>
      fetch(`${stage.adminUrl}/endpoints/${encodeURIComponent(which)}/${verb}`, { method: "POST" });
    deepStrictEqual(await (await ask("drain")).json(), { endpoint: id, drained: true });
    for (let i = 0; i < 10; i++) {
      const response = await post(`${stage.url}/v1/completions`, { model, prompt: `${i}`, max_tokens: 1 });
      equal(response.headers.get("x-inference-pod"), "sim-1");
      await response.body?.cancel();
    }
    deepStrictEqual(await (await ask("undrain")).json(), { endpoint: id, drained: false });
    await until("both are ready", () => stage.router.pool.readiness().ready === 2);
    const [missing, held] = [await ask("drain", "nobody:1"), await ask("undrain")];
    deepStrictEqual([missing.status, held.status], [404, 404]);
    match(String((await openAiError(missing)).message), /Cannot drain nobody:1: no such endpoint/);
    await held.body?.cancel();
  }));
