/** The official `@anthropic-ai/sdk` client against the router. */
import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import Anthropic, { BadRequestError, NotFoundError } from "@anthropic-ai/sdk";
import { busy, fact, model, nothingReserved, reserved, type Stage, until, withRouter } from "./harness.ts";

const messages = [{ role: "user" as const, content: "Tell me of the sea and of the ships on it." }];

function withClient(use: (client: Anthropic, stage: Stage) => Promise<void>, speed = 20): Promise<void> {
  return withRouter({ sims: [{ speed }] }, (stage) => {
    const client = new Anthropic({ baseURL: stage.url, apiKey: "none", maxRetries: 0 });
    return use(client, stage);
  });
}

fact("messages: a whole answer and its stream give the same text", () =>
  withClient(async (client, stage) => {
    const { data: whole, response } = await client.messages.create({ model, messages, max_tokens: 8 }).withResponse();
    equal(whole.type, "message");
    equal(whole.model, model);
    equal(whole.usage.output_tokens, 8);
    const block = whole.content[0];
    ok(block.type === "text");
    const line = await stage.accessLine(response.headers.get("x-request-id")!);
    deepStrictEqual([line.api, line.output_tokens, line.finish_reason], ["messages", 8, whole.stop_reason]);
    equal(line.prompt_tokens, whole.usage.input_tokens);

    const stream = client.messages.stream({ model, messages, max_tokens: 8 });
    const final = await stream.finalMessage();
    deepStrictEqual(final.content.map((each) => each.type === "text" && each.text), [block.text]);
    equal(final.usage.output_tokens, 8);
    await until("the second access line", () => stage.accessLines.length === 2);
    equal(stage.accessLines[1].output_tokens, 8);
    ok((stage.accessLines[1].prompt_tokens as number) > 0);
  }));

fact(
  "messages: abort in the middle of a stream frees the engine and every reservation",
  () =>
    withClient(async (client, stage) => {
      const stream = await client.messages.create({ model, messages, max_tokens: 20_000, stream: true });
      const events = stream[Symbol.asyncIterator]();
      await events.next();
      stream.controller.abort();
      await until("the engine is idle", () => busy(stage.sims[0]) === 0);
      await until("nothing is reserved", () => reserved(stage).requests === 0);
      deepStrictEqual(reserved(stage), nothingReserved);
      while (!(await events.next()).done);
    }, 1),
);

fact("messages.countTokens counts what messages.create is charged for", () =>
  withClient(async (client) => {
    const { input_tokens } = await client.messages.countTokens({ model, messages });
    const { usage } = await client.messages.create({ model, messages, max_tokens: 1 });
    equal(input_tokens, usage.input_tokens);
  }));

fact("errors have Anthropic's shape, the router's own and the engine's", () =>
  withClient(async (client) => {
    await rejects(client.messages.create({ model: "none", messages, max_tokens: 1 }), (error: unknown) => {
      ok(error instanceof NotFoundError);
      const body = error.error as Record<string, Record<string, unknown>>;
      deepStrictEqual([body.type, body.error.type], ["error", "not_found_error"]);
      return true;
    });
    const bad = { model, messages, max_tokens: "all" as unknown as number };
    await rejects(client.messages.create(bad), (error: unknown) => {
      ok(error instanceof BadRequestError);
      const body = error.error as Record<string, Record<string, unknown>>;
      deepStrictEqual([body.type, body.error.type], ["error", "invalid_request_error"]);
      return true;
    });
  }));
