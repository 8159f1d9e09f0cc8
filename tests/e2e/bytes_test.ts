/** What the model server receives and what the client gets back, byte for byte. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { eventData, fact, model, post, type Stage, withRouter } from "./harness.ts";
import { pieces, type Received, type Recorder, withRecorder } from "./recorder.ts";

interface Scene {
  readonly answer?: (received: Received) => Response | Promise<Response>;
  readonly models?: readonly string[];
  readonly config?: Readonly<Record<string, unknown>>;
}

function withPair(scene: Scene, use: (stage: Stage, recorder: Recorder) => Promise<void>): Promise<void> {
  return withRecorder(
    scene,
    (recorder) => withRouter({ endpoints: [recorder.url], config: scene.config }, (stage) => use(stage, recorder)),
  );
}

const messages = [{ role: "user", content: "x" }];

/** Bodies that parsing and writing again would change. */
const bodies: readonly (readonly [string, string])[] = [
  [
    "/v1/chat/completions",
    `{"model":"${model}","seed":12345678901234567890,"messages":[{"role":"user","content":"a"}]}`,
  ],
  [
    "/v1/chat/completions",
    `\n{ "messages" : [ {"content":"\\u0041\\/\\ud83d\\ude00 é", "role":"user"} ],\t"temperature":1.0e0,  "model":"${model}"\r\n }\n`,
  ],
  [
    "/v1/chat/completions",
    `{"zeta":{"b":1,"a":[1.10,-0.0,1E400]},"model":"${model}","messages":[{"content":"é","role":"user","x":null}],"model_":"x","__proto__":{"x":1}}`,
  ],
  ["/v1/completions", `{"model":"sim\\/model-8b","prompt":"escaped name","n":1}`],
  ["/v1/completions", `{"prompt":[[1,2],[3]],"model":"${model}","logit_bias":{"9007199254740993":-1}}`],
  ["/v1/completions", `{"model":"other","prompt":"the last of two keys counts","model":"${model}"}`],
  ["/v1/responses", `{"model":"${model}","input":"x","metadata":{"k":"v","K":"V"}}`],
  ["/v1/embeddings", `{"input":["a","b"],"model":"${model}","encoding_format":"base64"}`],
  [
    "/v1/messages",
    `{"model":"${model}","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`,
  ],
  ["/tokenize", `{"model":"${model}","prompt":"x"}`],
];

fact(
  "a body in which nothing must change arrives exactly as the client sent it",
  () =>
    withPair({}, async ({ url }, recorder) => {
      for (const [path, body] of bodies) {
        const response = await post(url + path, body);
        equal(response.status, 200, `${body}: ${await response.text()}`);
        equal(recorder.last.text, body);
        equal(recorder.last.path, path);
      }
    }),
);

const stream = `{"stream":true,"model":"${model}","prompt":"x"`;

fact("a stream's usage is asked for by bytes put in at one place", () =>
  withPair({}, async ({ url }, recorder) => {
    for (
      const [sent, received] of [
        [`${stream}}`, `${stream},"stream_options":{"include_usage":true}}`],
        [`${stream} } `, `${stream} ,"stream_options":{"include_usage":true}} `],
        [`${stream},"stream_options":null,"n":1}`, `${stream},"stream_options":{"include_usage":true},"n":1}`],
        [`${stream},"stream_options":{}}`, `${stream},"stream_options":{"include_usage":true}}`],
        [
          `${stream},"stream_options":{"include_usage":false,"x":1}}`,
          `${stream},"stream_options":{"include_usage":true,"x":1}}`,
        ],
        [`${stream},"stream_options":{"include_usage":true}}`, `${stream},"stream_options":{"include_usage":true}}`],
      ]
    ) {
      await (await post(`${url}/v1/completions`, sent)).body?.cancel();
      deepStrictEqual(JSON.parse(recorder.last.text), JSON.parse(received), sent);
      const kept = commonEnds(sent, recorder.last.text);
      ok(kept >= sent.length - 20, `${sent} became ${recorder.last.text}`);
    }
  }));

/** Characters at the start and at the end that two texts share. */
function commonEnds(a: string, b: string): number {
  const least = Math.min(a.length, b.length);
  let head = 0, tail = 0;
  while (head < least && a[head] === b[head]) head++;
  while (tail < least - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  return head + tail;
}

fact(
  "observe.usage: client leaves a stream's body alone",
  () =>
    withPair({ config: { observe: { usage: "client" } } }, async ({ url }, recorder) => {
      await (await post(`${url}/v1/completions`, `${stream}}`)).body?.cancel();
      equal(recorder.last.text, `${stream}}`);
    }),
);

const alias = { config: { models: { aliases: { "fast chat": model } } } };

fact("an alias replaces the model's bytes and nothing else", () =>
  withPair(alias, async ({ url }, recorder) => {
    for (const name of [`"fast chat"`, `"fast\\u0020chat"`]) {
      const body = (model: string) =>
        `{ "seed":12345678901234567890, "model" : ${model} ,"prompt":"fast chat","x":[1.0] }`;
      const response = await post(`${url}/v1/completions`, body(name));
      equal(response.status, 200, await response.text());
      equal(recorder.last.text, body(JSON.stringify(model)));
    }
  }));

fact("an alias's name comes back in JSON answers, where the model stands and nowhere else", () => {
  const body =
    `{"id":1,"model":"${model}","choices":[{"text":"\\"model\\":\\"${model}\\"","model":"${model}"}],"n":9e99}`;
  const answer = () => new Response(body, { headers: { "content-type": "application/json" } });
  return withPair({ ...alias, answer }, async ({ url }) => {
    const response = await post(`${url}/v1/completions`, { model: "fast chat", prompt: "x" });
    equal(await response.text(), body.replace(`"model":"${model}"`, `"model":"fast chat"`));
  });
});

const chatEvents = [
  `data: {"id":"1","model":"${model}","choices":[{"delta":{"content":"${model}"}}]}\n\n`,
  `data: {"model":"${model}","choices":[{"delta":{"content":"\\"model\\":\\"${model}\\""}}]}\n\n`,
  "data: [DONE]\n\n",
];
const responsesEvents = [
  `event: response.created\ndata: {"type":"response.created","response":{"id":"r","model":"${model}","output":[]}}\n\n`,
  `event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"${model}"}\n\n`,
  `event: response.completed\ndata: {"type":"response.completed","response":{"model":"${model}","usage":{"input_tokens":1,"output_tokens":2}}}\n\n`,
];
const messagesEvents = [
  `event: message_start\ndata: {"type":"message_start","message":{"role":"assistant","model":"${model}","usage":{"input_tokens":3}}}\n\n`,
  `event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"${model}"}}\n\n`,
  `event: message_stop\ndata: {"type":"message_stop"}\n\n`,
];

for (
  const [path, events, rest] of [
    ["/v1/chat/completions", chatEvents, { messages }],
    ["/v1/responses", responsesEvents, { input: "x" }],
    ["/v1/messages", messagesEvents, { messages, max_tokens: 1 }],
  ] as const
) {
  fact(`an alias's name comes back in the events of ${path}, however they are cut`, () => {
    const whole = events.join("");
    const restored = whole.replaceAll(`"model":"${model}"`, `"model":"fast chat"`);
    const cuts = [events, [...whole], [whole], [whole.slice(0, 40), whole.slice(40)]];
    let cut = 0;
    return withPair({ ...alias, answer: () => pieces(cuts[cut]) }, async ({ url }) => {
      for (cut = 0; cut < cuts.length; cut++) {
        const response = await post(url + path, { model: "fast chat", stream: true, ...rest });
        equal(await response.text(), restored);
      }
    });
  });
}

fact("the usage event the client did not ask for is cut out of the stream, and only it", () => {
  const events = [
    `data: {"choices":[{"index":0,"delta":{"content":"\\"choices\\":[]"}}],"usage":null}\n\n`,
    `: a comment\n\n`,
    `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\r\n\r\n`,
    `data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}}\n\n`,
    `data: [DONE]\n\n`,
  ];
  const kept = events.filter((_, i) => i !== 3).join("");
  let cut: readonly string[] = [];
  return withPair({ answer: () => pieces(cut) }, async (stage) => {
    for (cut of [events, [...events.join("")], [events.join("")]]) {
      const response = await post(`${stage.url}/v1/chat/completions`, { model, messages, stream: true });
      equal(await response.text(), kept);
      const line = await stage.accessLine(response.headers.get("x-request-id")!);
      deepStrictEqual([line.prompt_tokens, line.output_tokens, line.cached_tokens], [7, 2, 0]);
    }
  });
});

fact("a stream that nothing must change in arrives as the server sent it", () => {
  const text = `data: {"choices":[{"delta":{"content":"é😀"}}],"usage":{"prompt_tokens":1}}\n\ndata: [DONE]\n\n`;
  return withPair({ answer: () => pieces([text]) }, async ({ url }) => {
    const response = await post(`${url}/v1/chat/completions`, {
      model,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    const received = await response.text();
    equal(received, text);
    equal(eventData(received).length, 2);
  });
});

fact("bodies of any kind pass through a path the router does not know, with method and query", () =>
  withPair({
    answer: ({ body, method }) =>
      new Response(method === "HEAD" ? null : body, { status: 207, headers: { "content-type": "image/png" } }),
  }, async ({ url }, recorder) => {
    const bytes = crypto.getRandomValues(new Uint8Array(5000));
    const path = "/v1/audio/transcriptions?a=1&b=%2F%20x&a=2&c";
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const response = await fetch(url + path, { method, body: bytes, headers: { "content-type": "audio/wav" } });
      equal(response.status, 207);
      equal(response.headers.get("content-type"), "image/png");
      deepStrictEqual(new Uint8Array(await response.arrayBuffer()), bytes);
      deepStrictEqual([recorder.last.method, recorder.last.path], [method, path]);
      deepStrictEqual(recorder.last.body, bytes);
    }
    const get = await fetch(`${url}/some/page?x=y`);
    equal(await get.text(), "");
    deepStrictEqual([recorder.last.method, recorder.last.path], ["GET", "/some/page?x=y"]);
    const head = await fetch(`${url}/some/page`, { method: "HEAD" });
    equal(head.status, 207);
    equal(recorder.last.method, "HEAD");
  }));
