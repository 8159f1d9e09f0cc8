/** Streams that outlive the endpoint they come from: what the client reads is what an unbroken one would have been. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Prng } from "../../src/core/mod.ts";
import { noFaults } from "../../src/sim/mod.ts";
import {
  busy,
  eventData,
  fact,
  metric,
  model,
  nothingReserved,
  post,
  reserved,
  type Stage,
  until,
  withRouter,
} from "./harness.ts";
import { pieces, withRecorder } from "./recorder.ts";

/** What a client gathers of a stream, and what must hold of each. */
interface Gathered {
  readonly text: string;
  readonly finish: unknown;
  readonly usage: Record<string, number> | undefined;
}

function gather(body: string, chat: boolean): Gathered {
  const events = eventData(body);
  equal(events.pop(), "[DONE]");
  ok(!events.includes("[DONE]"));
  const chunks = events.map((event) => JSON.parse(event));
  for (const key of ["id", "created", "model"]) equal(new Set(chunks.map((chunk) => chunk[key])).size, 1, key);
  const choices = chunks.flatMap((chunk) => chunk.choices);
  if (chat) equal(choices.filter(({ delta }) => delta.role !== undefined).length, 1, "the role is told once");
  const finishes = choices.map((choice) => choice.finish_reason).filter((reason) => reason !== null);
  equal(finishes.length, 1);
  const usages = chunks.map((chunk) => chunk.usage).filter((usage) => usage);
  ok(usages.length <= 1, "usage is told at most once");
  const text = choices.map((choice) => chat ? choice.delta.content ?? "" : choice.text).join("");
  return { text, finish: finishes[0], usage: usages[0] };
}

const config = {
  upstream: { continuation: true, attemptsMax: 16, retryBudget: { burst: 100_000 } },
  pool: { ejection: { enabled: false } },
};
/** Engines that would all answer alike. */
const alike = (count: number) => Array.from({ length: count }, () => ({ seed: 7, speed: 50 }));

const chatOf = (i: number, more: object = {}) => ({
  model,
  messages: [{ role: "user", content: `Question ${i}: why "${"so ".repeat(i % 9)}" and \u{1f600}?` }],
  stream: true,
  stream_options: { include_usage: true },
  max_tokens: 5 + i % 40,
  ...more,
});

/** The simulator's tokens are four bytes: a prompt of whole ones keeps them when text is appended. */
const promptOf = (i: number, more: object = {}) => ({
  model,
  prompt: `p${String(i).padStart(3, "0")}`.repeat(1 + i % 5),
  stream: true,
  stream_options: { include_usage: true },
  max_tokens: 5 + i % 40,
  ...more,
});

async function differential(
  path: string,
  bodyOf: (i: number, more?: object) => object,
  requests: number,
): Promise<void> {
  await withRouter({ sims: alike(3), config }, async (stage) => {
    const chat = path.endsWith("chat/completions");
    const prng = new Prng(5);
    const expected: Gathered[] = [];
    for (let i = 0; i < requests; i++) {
      const whole = await post(`${stage.sims[0].url}${path}`, bodyOf(i));
      expected.push(gather(await whole.text(), chat));
    }
    let continuations = 0, counted = 0;
    for (let i = 0; i < requests; i++) {
      for (const sim of stage.sims) sim.changeFaults({ "reset-rate": 0.6, "reset-after": prng.below(12) });
      const response = await post(`${stage.url}${path}`, bodyOf(i), { headers: { "x-request-id": `c${i}` } });
      const line = await done(stage, response, `c${i}`, expected[i], chat);
      continuations += Number(line.continuations ?? 0);
      if (line.continuations && line.output_tokens !== undefined) counted++;
    }
    ok(counted > requests / 6, `usage of ${counted} continued streams`);
    ok(continuations > requests / 4, `${continuations} continuations of ${requests} requests`);
    deepStrictEqual(reserved(stage), nothingReserved);
    await until("the engines are idle", () => stage.sims.every((sim) => busy(sim) === 0));
  });
}

async function done(stage: Stage, response: Response, id: string, expected: Gathered, chat: boolean) {
  const body = await response.text();
  const line = await stage.accessLine(id);
  // With every endpoint tried and lost, today's end stands.
  if (line.outcome !== "completed") return line;
  const { usage, ...told } = gather(body, chat);
  const { usage: whole, ...wanted } = expected;
  deepStrictEqual(told, wanted, id);
  // Lost between the last token and the usage: the answer is whole, and nobody is left who counted it.
  if (!usage) return line;
  for (const key of ["prompt_tokens", "completion_tokens", "total_tokens"]) {
    equal(usage[key], whole![key], `${id} ${key}`);
  }
  equal(line.output_tokens, whole!.completion_tokens);
  return line;
}

fact(
  "a chat that loses its endpoints again and again reads as an unbroken one, usage included",
  () => differential("/v1/chat/completions", chatOf, 80),
);

fact(
  "a text completion that loses its endpoints reads as an unbroken one",
  () => differential("/v1/completions", promptOf, 60),
);

fact(
  "an answer without a limit ends where it would have ended",
  () => differential("/v1/chat/completions", (i) => chatOf(i, { max_tokens: undefined }), 12),
);

/** Two endpoints of which the first asked is lost after three pieces. */
async function lostOnce(
  body: object,
  path: string,
  check: (stage: Stage, text: string) => Promise<void>,
): Promise<void> {
  await withRouter({ sims: alike(2), config }, async (stage) => {
    stage.sims[0].changeFaults({ "reset-rate": 1, "reset-after": 3 });
    stage.router.pool.drain(`127.0.0.1:${stage.sims[1].port}`);
    const response = await post(`${stage.url}${path}`, body, { headers: { "x-request-id": "lost" } });
    const reader = response.body!.getReader();
    const first = await reader.read();
    stage.router.pool.undrain(`127.0.0.1:${stage.sims[1].port}`);
    await until("both are ready", () => stage.router.pool.readiness().ready === 2);
    let text = new TextDecoder().decode(first.value);
    for (let part; !(part = await reader.read()).done;) text += new TextDecoder().decode(part.value);
    await check(stage, text);
    deepStrictEqual(reserved(stage), nothingReserved);
  });
}

for (
  const [what, body, path] of [
    ["several answers", chatOf(3, { n: 2 }), "/v1/chat/completions"],
    ["tools", chatOf(3, { tools: [{ type: "function", function: { name: "f" } }] }), "/v1/chat/completions"],
    ["a prompt of token ids", promptOf(3, { prompt: [1, 2, 3, 4] }), "/v1/completions"],
  ] as const
) {
  fact(
    `a stream with ${what} ends with the error event when its endpoint is lost`,
    () =>
      lostOnce(body, path, async (stage, text) => {
        const { error } = JSON.parse(eventData(text).at(-1)!);
        equal(error.code, "upstream_aborted");
        const line = await stage.accessLine("lost");
        deepStrictEqual([line.outcome, line.attempts, line.continuations], ["upstream-aborted", 1, undefined]);
        equal(await metric(stage, 'upstream_continuations_total{result="impossible"}'), 1);
      }),
  );
}

const said = (id: string, delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id, created: 5, model: "m", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

fact("an engine that tells of its own death in the stream is as lost as one that is cut off", async () => {
  const release = Promise.withResolvers<void>();
  const death = 'data: {"error":{"message":"EngineCore encountered an issue","code":500}}\n\n';
  const told = [
    said("x", { role: "assistant", content: "" }),
    said("x", { content: "Hello" }),
    death,
    "data: [DONE]\n\n",
  ];
  await withRecorder(
    { answer: () => pieces([...told.slice(0, 2), release.promise, ...told.slice(2)]) },
    (dying) =>
      withRecorder({
        answer: ({ text }) => {
          const { messages, continue_final_message, add_generation_prompt } = JSON.parse(text);
          deepStrictEqual([continue_final_message, add_generation_prompt], [true, false]);
          deepStrictEqual(messages.at(-1), { role: "assistant", content: "Hello" });
          return pieces([
            said("y", { role: "assistant", content: "" }),
            said("y", { content: " world" }, "stop"),
            "data: [DONE]\n\n",
          ]);
        },
      }, (healthy) =>
        withRouter({ endpoints: [dying.url, healthy.url], config }, async (stage) => {
          const other = new URL(healthy.url).host;
          stage.router.pool.drain(other);
          const response = await post(`${stage.url}/v1/chat/completions`, chatOf(1, { stream_options: undefined }), {
            headers: { "x-request-id": "dies" },
          });
          stage.router.pool.undrain(other);
          await until("both are ready", () => stage.router.pool.readiness().ready === 2);
          release.resolve();
          const text = await response.text();
          equal(text, told[0] + told[1] + said("x", { content: " world" }, "stop") + told[3]);
          const line = await stage.accessLine("dies");
          deepStrictEqual([line.outcome, line.attempts, line.continuations], ["completed", 2, 1]);
        })),
  );
});

fact(
  "without the option a lost stream ends with the error event",
  () =>
    withRouter({ sims: alike(2), config: { ...config, upstream: {} } }, async (stage) => {
      for (const sim of stage.sims) sim.changeFaults({ "reset-rate": 1, "reset-after": 3 });
      const text = await (await post(`${stage.url}/v1/chat/completions`, chatOf(3))).text();
      ok(JSON.parse(eventData(text).at(-1)!).error);
      for (const sim of stage.sims) sim.changeFaults({ "reset-rate": noFaults.resetRate });
    }),
);
