/** What is told of predictions: to clients in their answers, to operators in metrics, pages, access log and log. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import type { LatencyReport } from "../../src/latency/mod.ts";
import { parsePrometheus } from "../../src/telemetry/testing.ts";
import { fact, metric, model, openAiError, post, type Stage, until, withRouter } from "./harness.ts";
import { pieces, withRecorder } from "./recorder.ts";

const asks = { "x-warmpath-predictions": "true" };
const predicted = /^engine;dur=5, pttft;dur=[\d.]+, pttft90;dur=[\d.]+, ptpot;dur=[\d.]+, ptpot90;dur=[\d.]+$/;

/** An engine that says itself how long it took. */
function engine(received: { readonly text: string }): Response {
  const stream = received.text.includes('"stream":true');
  const answer = stream
    ? pieces(['data: {"choices":[{"text":"a"}]}\n\n', "data: [DONE]\n\n"])
    : Response.json({ choices: [{ text: "a" }] });
  answer.headers.set("server-timing", "engine;dur=5");
  return answer;
}

async function timing(
  { url }: Stage,
  path: string,
  body: object,
  headers: Record<string, string>,
): Promise<string | null> {
  const answer = await post(url + path, { model, ...body }, { headers });
  await answer.text();
  equal(answer.status, 200);
  return answer.headers.get("server-timing");
}

const prompt = { prompt: "x", max_tokens: 1 };

fact(
  "an answer tells what was predicted for it to who asks, beside what the engine tells",
  () =>
    withRecorder({ answer: engine }, (recorder) =>
      withRouter({ endpoints: [recorder.url] }, async (stage) => {
        for (const stream of [false, true]) {
          const body = { ...prompt, stream };
          match(await timing(stage, "/v1/completions", body, asks) ?? "", predicted);
          equal(recorder.last.headers.has("x-warmpath-predictions"), false);
          equal(await timing(stage, "/v1/completions", body, {}), "engine;dur=5");
          equal(await timing(stage, "/v1/completions", body, { "x-warmpath-predictions": "no" }), "engine;dur=5");
        }
        // No tokens are generated there.
        equal(await timing(stage, "/v1/embeddings", { input: "x" }, asks), "engine;dur=5");
      })),
);

fact(
  "latency.echo tells everybody, or nobody, and names the quantile that is configured",
  () =>
    withRecorder({ answer: engine }, async (recorder) => {
      const endpoints = [recorder.url];
      await withRouter({ endpoints, config: { latency: { echo: "always", quantile: 0.995 } } }, async (stage) => {
        match(await timing(stage, "/v1/completions", prompt, {}) ?? "", / pttft99\.5;dur=[\d.]+, .* ptpot99\.5;dur=/);
      });
      for (const latency of [{ echo: "never" }, { enabled: false, echo: "always" }]) {
        await withRouter({ endpoints, config: { latency } }, async (stage) => {
          equal(await timing(stage, "/v1/completions", prompt, asks), "engine;dur=5");
          const page = await (await fetch(`${stage.adminUrl}/debug/latency`)).json();
          equal(page.enabled, latency.enabled ?? true);
        });
      }
    }),
);

/** Slow enough that tokens come one by one, unless this machine is busy. */
const sim = { speed: 3 };

/** `count` streams of 8 tokens, one after the other. */
async function serve({ url }: Stage, count: number, headers: Record<string, string> = {}): Promise<void> {
  for (let i = 0; i < count; i++) {
    const body = { model, prompt: `${i} what the sea knows`, max_tokens: 8, stream: true };
    const answer = await post(`${url}/v1/completions`, body, { headers });
    equal(answer.status, 200);
    await answer.text();
  }
}

const targets = { "x-slo-ttft-ms": "60000", "x-slo-tpot-ms": "0.001" };

fact(
  "every answer is compared with what was predicted for it: in metrics, in the access log, on /debug/latency and its page",
  () =>
    withRouter({ sims: [sim, sim] }, async (stage) => {
      await serve(stage, 12, targets);
      await until("all access lines are written", () => stage.accessLines.length === 12);
      for (const { ttft_ms, predicted_ttft_ms, tpot_ms, predicted_tpot_ms } of stage.accessLines) {
        for (const ms of [ttft_ms, predicted_ttft_ms, predicted_tpot_ms]) ok(Number(ms) > 0, `${ms}`);
        ok(Number(tpot_ms) >= 0, `${tpot_ms}`);
      }
      // Of tokens that came in one read nobody knows how long each took.
      const labels = { ttft: 12, tpot: stage.accessLines.filter(({ tpot_ms }) => Number(tpot_ms) > 0).length };

      const { samples } = parsePrometheus(await (await fetch(`${stage.adminUrl}/metrics`)).text());
      const sum = (name: string, labels: Record<string, string> = {}) =>
        samples.filter((sample) =>
          sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value)
        ).reduce((sum, { value }) => sum + value, 0);
      for (const type of ["ttft", "tpot"] as const) {
        equal(sum("warmpath_prediction_labels_total", { type, target_model_name: model }), labels[type]);
        equal(sum(`llm_d_epp_request_predicted_${type}_seconds_count`, { model_name: model }), labels[type]);
        equal(sum(`warmpath_prediction_actual_${type}_seconds_count`), labels[type]);
        equal(sum("warmpath_prediction_source", { type, source: "prior" }), 1);
        equal(sum(`warmpath_request_${type}_prediction_duration_seconds_count`), 12);
      }
      equal(sum("warmpath_request_slo_total", { type: "ttft", result: "met" }), 12);
      equal(sum("llm_d_epp_request_slo_violation_total", { type: "tpot" }), labels.tpot);
      ok(sum("warmpath_prediction_over_slo", { type: "tpot" }) > 100);
      ok(sum("warmpath_prediction_over_slo", { type: "ttft" }) < 1);
      equal(samples.filter(({ name }) => name === "warmpath_endpoint_pace").length, 2);

      const report: LatencyReport = await (await fetch(`${stage.adminUrl}/debug/latency?pairs=5`)).json();
      deepStrictEqual([report.targets.ttft.pairs.length, report.targets.ttft.scores.told.labels], [5, 12]);
      equal(report.endpoints.reduce((sum, { labels }) => sum + labels, 0), 12 + labels.tpot);
      const wrong = await fetch(`${stage.adminUrl}/debug/latency?pairs=many`);
      equal((await openAiError(wrong)).param, "pairs");
      const page = await fetch(`${stage.adminUrl}/debug/latency.html`);
      match(page.headers.get("content-security-policy") ?? "", /^default-src 'none'; style-src 'sha256-/);
      equal((await page.text()).match(/<title>127\.0\.0\.1:\d+: expected/g)?.length, 12 + labels.tpot);
    }),
);

fact(
  "/debug/decide shows what each candidate is predicted to take, under a policy that does not ask for it",
  () =>
    withRouter({ sims: [{}, {}] }, async (stage) => {
      const body = { model, prompt: "What the sea knows.", max_tokens: 8, stream: true };
      const answer = await post(`${stage.adminUrl}/debug/decide?path=/v1/completions`, body, {
        headers: { "x-slo-ttft-ms": "900" },
      });
      const { explanation: { candidates } } = await answer.json();
      equal(candidates.length, 2);
      for (const { prediction: { ttft, tpot, meets, e2eMs } } of candidates) {
        ok(ttft.highMs >= ttft.medianMs && ttft.medianMs > 0 && tpot.priorMs > 0);
        ok(Math.abs(ttft.headroomMs - (900 - ttft.highMs)) < 1 && !("headroomMs" in tpot));
        ok(Math.abs(ttft.residual - Math.log(ttft.medianMs / ttft.priorMs)) < 0.01);
        ok(meets > 0 && meets <= 1 && e2eMs > ttft.medianMs);
      }
    }),
);

fact(
  "requests that are refused for their targets count in the figure that asks for more endpoints, and as not met",
  () =>
    withRouter({ sims: [sim], config: { scheduling: { policy: "predicted" } } }, async (stage) => {
      await serve(stage, 12);
      equal(await metric(stage, "prediction_over_slo"), 0);
      const headers = { "x-slo-ttft-ms": "0.01", "x-warmpath-priority": "-1" };
      const body = { model, prompt: "x", max_tokens: 8, stream: true };
      const answer = await post(`${stage.url}/v1/completions`, body, { headers });
      await answer.text();
      equal(answer.status, 429);
      ok(await metric(stage, "prediction_over_slo") > 10);
      equal(
        await metric(
          stage,
          `request_slo_total{model_name="${model}",target_model_name="${model}",type="ttft",result="refused"}`,
        ),
        1,
      );
    }),
);

fact(
  "edges in workers tell of predictions like the one that is not",
  () =>
    withRouter({ sims: [sim, sim], config: { workers: 2, observe: { accessLog: false } } }, async (stage) => {
      await serve(stage, 12);
      await until("every request has ended", () => stage.router.edges.active === 0);
      const counted = await metric(stage, "prediction_labels_total");
      ok(counted >= 12);
      await until("all labels are learned", async () => {
        const { targets: { ttft, tpot } }: LatencyReport = await (await fetch(`${stage.adminUrl}/debug/latency`))
          .json();
        return ttft.scores.told.labels === 12 && tpot.scores.told.labels === counted - 12;
      });
      equal(await metric(stage, "prediction_duration_seconds_count"), 12);
      const seen = await metric(
        stage,
        `inference_request_metric{model_name="${model}",target_model_name="${model}",type="ttft"}`,
      );
      ok(seen > 0 && seen < 10, `${seen}`);
    }),
);
