/** The official `openai` client against the router. */
import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import OpenAI, { BadRequestError, NotFoundError } from "openai";
import { systemClock } from "../../src/core/mod.ts";
import { busy, fact, faster, model, nothingReserved, reserved, type Stage, until, withRouter } from "./harness.ts";

const messages = [{ role: "user" as const, content: "Tell me of the sea and of the ships on it." }];

function withClient(use: (client: OpenAI, stage: Stage) => Promise<void>, speed = 20): Promise<void> {
  return withRouter({ sims: [{ speed }] }, (stage) => {
    const client = new OpenAI({ baseURL: `${stage.url}/v1`, apiKey: "none", maxRetries: 0 });
    return use(client, stage);
  });
}

fact("chat.completions: a whole answer with usage", () =>
  withClient(async (client, stage) => {
    const { data, response } = await client.chat.completions.create({ model, messages, max_tokens: 12 })
      .withResponse();
    equal(data.object, "chat.completion");
    equal(data.model, model);
    equal(data.choices[0].finish_reason, "length");
    ok(data.choices[0].message.content!.length > 0);
    equal(data.usage!.completion_tokens, 12);
    const line = await stage.accessLine(response.headers.get("x-request-id")!);
    deepStrictEqual(
      [line.api, line.status, line.outcome, line.model, line.stream, line.finish_reason, line.output_tokens],
      ["chat", 200, "completed", model, false, "length", 12],
    );
    equal(line.prompt_tokens, data.usage!.prompt_tokens);
  }));

fact("chat.completions: a stream gives the same text as the whole answer", () =>
  withClient(async (client) => {
    const whole = await client.chat.completions.create({ model, messages, max_tokens: 12 });
    let text = "", finish: string | null = null;
    for await (const chunk of await client.chat.completions.create({ model, messages, max_tokens: 12, stream: true })) {
      text += chunk.choices[0].delta.content ?? "";
      finish = chunk.choices[0].finish_reason ?? finish;
    }
    equal(text, whole.choices[0].message.content);
    equal(finish, "length");
  }));

fact("stream_options.include_usage: the usage chunk arrives, last", () =>
  withClient(async (client, stage) => {
    const { data: stream, response } = await client.chat.completions.create({
      model,
      messages,
      max_tokens: 5,
      stream: true,
      stream_options: { include_usage: true },
    }).withResponse();
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    const last = chunks.at(-1)!;
    deepStrictEqual(last.choices, []);
    equal(last.usage!.completion_tokens, 5);
    const line = await stage.accessLine(response.headers.get("x-request-id")!);
    deepStrictEqual(
      [line.prompt_tokens, line.cached_tokens, line.output_tokens],
      [last.usage!.prompt_tokens, last.usage!.prompt_tokens_details!.cached_tokens, 5],
    );
  }));

for (const stream_options of [undefined, { include_usage: false }]) {
  fact(
    `stream_options ${JSON.stringify(stream_options)}: no usage arrives, yet the access line has the token counts`,
    () =>
      withClient(async (client, stage) => {
        const asked = { model, messages: [{ role: "user" as const, content: "sea ".repeat(200) }], max_tokens: 5 };
        await client.chat.completions.create(asked);
        const { data: stream, response } = await client.chat.completions.create({
          ...asked,
          stream: true,
          stream_options,
        }).withResponse();
        for await (const chunk of stream) {
          equal(chunk.usage ?? null, null);
          equal(chunk.choices.length, 1);
        }
        const line = await stage.accessLine(response.headers.get("x-request-id")!);
        equal(line.output_tokens, 5);
        ok((line.prompt_tokens as number) > 200);
        ok((line.cached_tokens as number) >= 192, JSON.stringify(line));
      }),
  );
}

fact(
  "abort in the middle of a stream frees the engine within 50 ms and gives every reservation back",
  () =>
    withClient((client, stage) =>
      faster(50, async () => {
        const lines = stage.accessLines.length;
        const stream = await client.chat.completions.create({ model, messages, max_tokens: 20_000, stream: true });
        const chunks = stream[Symbol.asyncIterator]();
        await chunks.next();
        equal(busy(stage.sims[0]), 1);
        equal(reserved(stage).requests, 1);
        ok(reserved(stage).decodeTokens > 0);
        const abortedMs = systemClock.now();
        stream.controller.abort();
        await until("the engine is idle", () => busy(stage.sims[0]) === 0);
        const tookMs = systemClock.now() - abortedMs;
        await until("the access line is written", () => stage.accessLines.length === lines + 1);
        equal(stage.accessLines.at(-1)!.outcome, "client-disconnect");
        deepStrictEqual(reserved(stage), nothingReserved);
        await chunks.next();
        return tookMs;
      }), 1),
);

fact("completions: text, a stream, token ids and a list of prompts", () =>
  withClient(async (client) => {
    const whole = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 9 });
    equal(whole.usage!.completion_tokens, 9);
    let text = "";
    const stream = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 9, stream: true });
    for await (const chunk of stream) text += chunk.choices[0].text;
    equal(text, whole.choices[0].text);
    const ids = await client.completions.create({ model, prompt: [11, 12, 13, 14], max_tokens: 3 });
    equal(ids.usage!.prompt_tokens, 4);
    const list = await client.completions.create({ model, prompt: ["One", "Two", "Three"], max_tokens: 2 });
    deepStrictEqual(list.choices.map(({ index }) => index), [0, 1, 2]);
    const idLists = await client.completions.create({ model, prompt: [[1, 2], [3, 4, 5]], max_tokens: 2 });
    equal(idLists.usage!.prompt_tokens, 5);
  }));

fact("responses: a whole answer and its stream", () =>
  withClient(async (client, stage) => {
    const asked = { model, input: "Name three rivers", max_output_tokens: 6 };
    const whole = await client.responses.create(asked);
    equal(whole.object, "response");
    equal(whole.model, model);
    equal(whole.usage!.output_tokens, 6);
    let text = "", last = "";
    const { data: stream, response } = await client.responses.create({ ...asked, stream: true }).withResponse();
    for await (const event of stream) {
      last = event.type;
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    equal(text, whole.output_text);
    ok(last === "response.completed" || last === "response.incomplete", last);
    const line = await stage.accessLine(response.headers.get("x-request-id")!);
    deepStrictEqual([line.api, line.output_tokens], ["responses", 6]);
    equal(line.prompt_tokens, whole.usage!.input_tokens);
  }));

fact("embeddings: the client's default base64 and floats are the same numbers", () =>
  withClient(async (client) => {
    const input = ["One sentence", "Another one"];
    const decoded = await client.embeddings.create({ model, input });
    const floats = await client.embeddings.create({ model, input, encoding_format: "float" });
    equal(decoded.data.length, 2);
    equal(floats.data[0].embedding.length, 384);
    floats.data.forEach(({ embedding }, i) =>
      deepStrictEqual(Array.from(decoded.data[i].embedding), embedding.map(Math.fround))
    );
    ok(floats.usage.prompt_tokens > 0);
  }));

fact("models: listed and retrieved by a name with a slash in it", () =>
  withClient(async (client) => {
    const listed = [];
    for await (const each of await client.models.list()) listed.push(each);
    deepStrictEqual(listed.map(({ id, object }) => [id, object]), [[model, "model"]]);
    equal((await client.models.retrieve(model)).id, model);
    await rejects(client.models.retrieve("no/such"), NotFoundError);
  }));

fact(
  "an unknown model is NotFoundError with code model_not_found, and nothing is forwarded",
  () =>
    withClient(async (client, stage) => {
      await rejects(client.chat.completions.create({ model: "no-such-model", messages }), (error: unknown) => {
        ok(error instanceof NotFoundError);
        deepStrictEqual([error.code, error.param, error.type], ["model_not_found", "model", "invalid_request_error"]);
        ok(error.message.includes("no-such-model"));
        return true;
      });
      equal(stage.accessLines.at(-1)!.attempts, 0);
      equal(stage.sims[0].models.ranks[0].metrics().finished, 0);
    }),
);

fact("bad parameters are BadRequestError naming the parameter, whoever finds them", () =>
  withClient(async (client) => {
    const bad: [Partial<OpenAI.ChatCompletionCreateParamsNonStreaming> & Record<string, unknown>, string][] = [
      [{ max_tokens: "many" as unknown as number }, "max_tokens"],
      [{ messages: "hello" as unknown as [] }, "messages"],
      [{ stream: "yes" as unknown as false }, "stream"],
      [{ model: 5 as unknown as string }, "model"],
      // The engine's own check.
      [{ max_tokens: 1_000_000 }, "max_tokens"],
    ];
    for (const [change, param] of bad) {
      await rejects(client.chat.completions.create({ model, messages, ...change }), (error: unknown) => {
        ok(error instanceof BadRequestError, `${JSON.stringify(change)}: ${error}`);
        equal(error.param, param);
        return true;
      });
    }
  }));
