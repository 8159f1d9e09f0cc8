import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { z } from "zod";
import { VirtualClock } from "../../core/mod.ts";
import { ApiError } from "../api_error.ts";
import { ModelServer } from "../model_server.ts";
import { resolveSimOptions } from "../options.ts";
import { answerJobs, type Call, parseBody, usageOf } from "./call.ts";

function call(): Call<unknown> {
  const server = new ModelServer(
    resolveSimOptions({ maxModelLen: 100, defaultOutputTokensMax: 50 }),
    new VirtualClock(),
  );
  const { signal } = new AbortController();
  return { server, body: {}, model: "m", context: {}, id: "1", signal, createdS: 0 };
}

Deno.test("parseBody() names the field at fault", () => {
  const schema = z.looseObject({ n: z.int().min(1), deep: z.looseObject({ list: z.array(z.string()) }).nullish() });
  deepStrictEqual(parseBody('{"n":1,"other":2}', schema), { n: 1, other: 2 });
  const fails = (text: string, param: string | null) =>
    throws(
      () => parseBody(text, schema),
      (error) => error instanceof ApiError && error.status === 400 && error.param === param,
    );
  fails("{", null);
  fails("[]", null);
  fails('{"n":0}', "n");
  fails('{"n":1,"deep":{"list":["a",2]}}', "deep.list.1");
});

Deno.test("answerJobs() makes n answers of each prompt within the context", () => {
  const prompts = [{ ids: new Uint32Array(80).fill(7) }, { ids: new Uint32Array(90).fill(8) }];
  const limited = answerJobs(call(), prompts, { tokensMax: 10, param: "max_tokens", n: 2 });
  deepStrictEqual(limited.map(({ ids, answer }) => [ids.length, answer.ids.length]), [[80, 10], [80, 10], [90, 10], [
    90,
    10,
  ]]);
  for (
    const { ids, answer } of answerJobs(call(), prompts, { tokensMax: undefined, param: "max_tokens", ignoreEos: true })
  ) {
    equal(ids.length + answer.ids.length, 100);
  }
  throws(
    () => answerJobs(call(), prompts, { tokensMax: 11, param: "max_tokens" }),
    /needs 101: 90 of prompt and 11 of output/,
  );
  throws(
    () => answerJobs(call(), [{ ids: new Uint32Array(100) }], { tokensMax: null, param: "max_tokens" }),
    /context length is 100/,
  );
  throws(
    () => answerJobs(call(), [{ ids: new Uint32Array(0) }], { tokensMax: 1, param: "max_tokens" }),
    /prompt is empty/,
  );
});

Deno.test("usageOf() counts each prompt once and every answer", () => {
  const jobs = answerJobs(call(), [{ ids: new Uint32Array(20) }, { ids: new Uint32Array(30) }], {
    tokensMax: 5,
    param: "max_tokens",
    n: 2,
  });
  const times = [16, 16, 0, 16].map((cachedTokens) => ({
    cachedTokens,
    arrivedMs: 0,
    scheduledMs: 0,
    firstTokenMs: 0,
    finishedMs: 0,
    preemptions: 0,
  }));
  deepStrictEqual(usageOf(jobs, times, 2), {
    prompt_tokens: 50,
    total_tokens: 70,
    completion_tokens: 20,
    prompt_tokens_details: { cached_tokens: 16 },
  });
});
