/** Latency targets of requests: by header, by objective, and what the model server sees of them. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { fact, model, openAiError, post, type Stage, withRouter } from "./harness.ts";
import { withRecorder } from "./recorder.ts";

const body = { model, messages: [{ role: "user", content: "x" }], max_tokens: 1 };
const ttft = ["x-llm-d-slo-ttft-ms", "x-slo-ttft-ms"];
const tpot = ["x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"];

const objectives = [
  { name: "chat", priority: 3, ttftSlo: "500ms", tpotSlo: "40ms" },
  { name: "agent", priority: 0, ttftSlo: "2s" },
];

/** The targets that a decision for a request with these headers goes by. */
async function targets({ adminUrl }: Stage, headers: Readonly<Record<string, string>>, stream = true) {
  const asked = JSON.stringify({ ...body, stream });
  const answer = await fetch(`${adminUrl}/debug/decide`, { method: "POST", headers, body: asked });
  return (await answer.json()).request.slo;
}

fact(
  "targets come from headers, the newer name first, and else from the objective, each for itself",
  () =>
    withRouter({ sims: [{}], config: { objectives } }, async (stage) => {
      const chat = { "x-llm-d-inference-objective": "chat" };
      const cases: readonly (readonly [Record<string, string>, unknown])[] = [
        [{}, {}],
        [{ [ttft[0]]: "250" }, { ttftMs: 250 }],
        [{ [ttft[1]]: "1e3", [tpot[1]]: "12.5" }, { ttftMs: 1000, tpotMs: 12.5 }],
        [{ [ttft[0]]: "100", [ttft[1]]: "900", [tpot[1]]: "9", [tpot[0]]: "8" }, { ttftMs: 100, tpotMs: 8 }],
        [chat, { ttftMs: 500, tpotMs: 40 }],
        [{ ...chat, [ttft[1]]: "90" }, { ttftMs: 90, tpotMs: 40 }],
        [{ "x-llm-d-inference-objective": "agent", [tpot[0]]: "30" }, { ttftMs: 2000, tpotMs: 30 }],
        [{ "x-llm-d-inference-objective": "nobody's" }, {}],
      ];
      for (const [headers, slo] of cases) deepStrictEqual(await targets(stage, headers), slo, JSON.stringify(headers));
      // Who gets the answer whole sees no tokens come.
      deepStrictEqual(await targets(stage, { [tpot[0]]: "8" }, false), {});
      deepStrictEqual(await targets(stage, chat, false), { ttftMs: 500 });
    }),
);

fact(
  "a target that is no positive number is refused, and the answer names the header that was sent",
  () =>
    withRecorder(
      {},
      (recorder) =>
        withRouter({ endpoints: [recorder.url], config: { objectives } }, async ({ url }) => {
          for (const name of [...ttft, ...tpot]) {
            for (
              const value of ["NaN", "Infinity", "-Infinity", "-5", "0", "0.0", "soon", "5ms", "0x10", "1,2", "1e999"]
            ) {
              // An objective does not mend what a header says.
              const headers = { [name]: value, "x-llm-d-inference-objective": "chat" };
              const answer = await post(`${url}/v1/chat/completions`, body, { headers });
              equal(answer.status, 400, `${name}: ${value}`);
              const { message, ...error } = await openAiError(answer);
              deepStrictEqual(error, { type: "invalid_request_error", param: name, code: null }, `${name}: ${value}`);
              equal(message, `Cannot use header ${name}: it must be a positive number of milliseconds`);
            }
          }
          equal(recorder.received.length, 0);
        }),
    ),
);

fact("the model server sees no target, under whichever policy", async () => {
  for (const policy of ["default", "predicted"]) {
    await withRecorder(
      {},
      (recorder) =>
        withRouter({ endpoints: [recorder.url], config: { objectives, scheduling: { policy } } }, async ({ url }) => {
          const headers = Object.fromEntries([...ttft, ...tpot].map((name, i) => [name, `${i + 1}`]));
          const answer = await post(`${url}/v1/chat/completions`, body, {
            headers: { ...headers, "x-warmpath-priority": "-1", "x-custom": "kept" },
          });
          await answer.body?.cancel();
          equal(answer.status, 200);
          const seen = [...recorder.last.headers.keys()];
          ok(seen.includes("x-custom"));
          deepStrictEqual(seen.filter((name) => /slo|priority/.test(name)), []);
        }),
    );
  }
});
