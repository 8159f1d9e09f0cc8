/** Request bodies have room within `server.bodyMemory`, or are refused before they take any. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { BodyBudget } from "../../src/edge/mod.ts";
import { fact, model, nothingReserved, openAiError, post, reserved, until, withRouter } from "./harness.ts";
import { received, send } from "./ports.ts";
import { withRecorder } from "./recorder.ts";

const config = { server: { bodyMemory: "1MiB", bodyBytesMax: "1MiB" } };
const head = (length: number) => `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${length}\r\n\r\n`;

fact(
  "a body without room is answered 503 before it is sent, and has room once another is done",
  () =>
    withRouter({ sims: [{}], config }, async (stage) => {
      const { port } = stage.router;
      const holder = await Deno.connect({ hostname: "127.0.0.1", port });
      await send(holder, `${head(700_000)}{${" ".repeat(690_000)}`);
      const body = JSON.stringify({ model, prompt: "x", max_tokens: 1, pad: " ".repeat(500_000) });
      const ask = () => post(`${stage.url}/v1/completions`, body);
      await until("the first body holds its memory", async () => {
        const response = await ask();
        if (response.status === 200) {
          await response.body?.cancel();
          return false;
        }
        equal(response.status, 503);
        equal(response.headers.get("retry-after"), "1");
        equal(response.headers.get("x-llm-d-request-dropped-reason"), "rejected-body-memory");
        equal((await openAiError(response)).code, "body_memory");
        return true;
      });
      // Of a body that says no length the growth is counted.
      const growing = await Deno.connect({ hostname: "127.0.0.1", port });
      await send(growing, "POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
      const piece = `4000\r\n${" ".repeat(0x4000)}\r\n`;
      await send(growing, piece.repeat(24)).catch(() => {});
      const refused = await received(growing);
      ok(/^HTTP\/1.1 503 .*"overloaded_error"/s.test(refused), refused.slice(0, 300));
      growing.close();
      holder.close();
      await until("its memory is given back", async () => {
        const response = await ask();
        await response.body?.cancel();
        return response.status === 200;
      });
      await until("every request has ended", () => stage.router.edges.active === 0);
      deepStrictEqual(reserved(stage), nothingReserved);
      ok(stage.accessLines.some(({ outcome }) => outcome === "rejected-body-memory"));
    }),
);

fact(
  "a length that is declared and not sent takes no memory from others",
  () =>
    withRouter({ sims: [{}], config }, async (stage) => {
      const { port } = stage.router;
      const idle = await Promise.all(Array.from({ length: 3 }, () => Deno.connect({ hostname: "127.0.0.1", port })));
      for (const connection of idle) await send(connection, `${head(1_000_000)}{`);
      await until("they are read", () => stage.router.edges.active === 0);
      const body = JSON.stringify({ model, prompt: "x", max_tokens: 1, pad: " ".repeat(200_000) });
      const response = await post(`${stage.url}/v1/completions`, body);
      equal(response.status, 200, await response.text());
      for (const connection of idle) connection.close();
    }),
);

fact(
  "an answer that has begun holds no body: many long prompts may stream at once",
  () =>
    withRouter({ sims: [{ speed: 1 }], config }, async (stage) => {
      const abort = new AbortController();
      // Held: a response that nobody holds is collected, and its connection closed.
      const held: Response[] = [];
      for (let i = 0; i < 5; i++) {
        const response = await post(`${stage.url}/v1/completions`, {
          model,
          prompt: "x",
          stream: true,
          max_tokens: 20_000,
          ignore_eos: true,
          pad: " ".repeat(700_000),
        }, { signal: abort.signal });
        equal(response.status, 200, `stream ${i}`);
        held.push(response);
      }
      equal(reserved(stage).requests, held.length, JSON.stringify(stage.accessLines));
      abort.abort();
      await until("every request has ended", () => stage.router.edges.active === 0);
    }),
);

fact(
  "a body of 4 MB arrives as it was sent, with a declared length and in chunks",
  () =>
    withRecorder(
      {},
      (recorder) =>
        withRouter({ endpoints: [recorder.url], config: { server: { bodyBytesMax: "8MiB" } } }, async ({ url }) => {
          const prompt = "Once upon a time, ".repeat(230_000);
          const body = JSON.stringify({ model, prompt });
          const bytes = new TextEncoder().encode(body);
          for (const sent of [bytes, ReadableStream.from([bytes.subarray(0, 1_000_001), bytes.subarray(1_000_001)])]) {
            const response = await fetch(`${url}/v1/completions`, { method: "POST", body: sent });
            equal(response.status, 200, await response.text());
            ok(recorder.last.text === body);
          }
        }),
    ),
);

Deno.test("BodyBudget gives back exactly what was taken, once", () => {
  let max = 100;
  const budget = new BodyBudget(() => max);
  const first = budget.take(60);
  equal(budget.used, 60);
  let refused = 0;
  for (const take of [() => budget.take(41), () => first.grow(101)]) {
    try {
      take();
    } catch {
      refused++;
    }
  }
  deepStrictEqual([refused, budget.used], [2, 60]);
  first.grow(90);
  first.grow(30);
  const second = budget.take(70);
  equal(budget.used, 100);
  max = 10;
  first.release();
  first.release();
  second.release();
  equal(budget.used, 0);
});
