import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { type Outcome, systemClock } from "../core/mod.ts";
import { Metrics } from "./metrics.ts";
import { latencySample, parsePrometheus, predictionRecord, requestRecord } from "./testing.ts";

type Values = Readonly<Record<string, number>>;

/** Values of a metric by its labels that are not `without`, joined. */
async function scrape(metrics: Metrics, prefix = "warmpath_"): Promise<(name: string) => Values> {
  const { samples } = parsePrometheus(await metrics.render(systemClock));
  return (name) =>
    Object.fromEntries(
      samples.filter((sample) => sample.name === prefix + name)
        .map(({ labels, value }) => [Object.values(labels).join(" "), value]),
    );
}

const fresh = () => new Metrics({ version: "1" });

Deno.test("outcome() keeps what was told beside what came, and its errors by endpoint", async () => {
  const metrics = fresh();
  metrics.latency.outcome(predictionRecord({ medianMs: 100, highMs: 150, ms: 125 }));
  metrics.latency.outcome(predictionRecord({ medianMs: 100, highMs: 150, ms: 250 }));
  metrics.latency.outcome(predictionRecord({ target: "tpot", medianMs: 8, highMs: 10, ms: 8 }));
  const of = await scrape(metrics);
  const ttft = "llama a default ttft", tpot = "llama a default tpot";
  deepStrictEqual(of("prediction_labels_total"), { [ttft]: 2, [tpot]: 1 });
  deepStrictEqual(of("prediction_within_high_total"), { [ttft]: 1, [tpot]: 1 });
  const { [ttft]: error } = of("prediction_relative_error_total");
  ok(Math.abs(error - (25 / 125 + 150 / 250)) < 1e-12, `${error}`);
  const { [ttft]: loss } = of("prediction_pinball_loss_total");
  ok(Math.abs(loss - (0.1 * 0.025 + 0.9 * 0.1)) < 1e-12, `${loss}`);
  deepStrictEqual(of("request_predicted_ttft_seconds_sum"), { "alias llama": 0.2 });
  deepStrictEqual(of("prediction_actual_ttft_seconds_sum"), { "alias llama": 0.375 });
  deepStrictEqual(of("prediction_actual_tpot_seconds_count"), { "alias llama": 1 });
  const llmD = await scrape(metrics, "llm_d_epp_");
  const plugin = "predicted-latency-producer predicted-latency-producer";
  deepStrictEqual(llmD("request_predicted_ttft_seconds_sum"), { [`alias llama ${plugin}`]: 0.2 });
  deepStrictEqual(llmD("inference_request_metric"), {
    [`alias llama predicted_ttft ${plugin}`]: 0.1,
    [`alias llama ttft ${plugin}`]: 0.25,
    [`alias llama predicted_tpot ${plugin}`]: 0.008,
    [`alias llama tpot ${plugin}`]: 0.008,
  });
});

Deno.test("outcome() counts a lower bound where it is above the prediction, and no time of it", async () => {
  const metrics = fresh();
  metrics.latency.outcome(predictionRecord({ ms: 140, censored: true }));
  deepStrictEqual((await scrape(metrics))("prediction_labels_total"), {});
  metrics.latency.outcome(predictionRecord({ ms: 500, censored: true }));
  const of = await scrape(metrics);
  deepStrictEqual(of("prediction_labels_total"), { "llama a default ttft": 1 });
  deepStrictEqual(of("prediction_within_high_total"), { "llama a default ttft": 0 });
  deepStrictEqual(of("prediction_actual_ttft_seconds_count"), {});
});

Deno.test("forgetEndpoint() ends an endpoint's counts, and one of the same name begins anew", async () => {
  const metrics = fresh();
  const record = () => metrics.latency.outcome(predictionRecord());
  record();
  metrics.forgetEndpoint("a");
  deepStrictEqual((await scrape(metrics))("prediction_labels_total"), {});
  record();
  deepStrictEqual((await scrape(metrics))("prediction_labels_total"), { "llama a default ttft": 1 });
  metrics.latency.outcome(predictionRecord({ endpoint: undefined }));
  const of = await scrape(metrics);
  deepStrictEqual([of("prediction_labels_total"), of("prediction_actual_ttft_seconds_count")], [
    { "llama a default ttft": 1 },
    { "alias llama": 3 },
  ]);
});

Deno.test("predicted() keeps how long it took, in buckets that tell microseconds apart and in llm-d's", async () => {
  const metrics = fresh();
  metrics.latency.predicted({ model: "llama", requestedModel: "llama" }, 0.015);
  const of = await scrape(metrics);
  equal(of("prediction_duration_seconds_bucket")["0.00002"], 1);
  equal(of("prediction_duration_seconds_bucket")["0.00001"], 0);
  for (const target of ["ttft", "tpot"]) {
    deepStrictEqual(of(`request_${target}_prediction_duration_seconds_count`), { "llama llama": 1 });
  }
});

const slo = { ttftMs: 200, tpotMs: 20 };
const ends: readonly (readonly [string, Parameters<typeof requestRecord>[0], Values])[] = [
  ["both met", { ttftMs: 200, tpotMs: 20 }, { "ttft met": 1, "tpot met": 1 }],
  ["both missed", { ttftMs: 201, tpotMs: 21 }, { "ttft missed": 1, "tpot missed": 1 }],
  ["one target", { slo: { ttftMs: 50 }, tpotMs: 900 }, { "ttft missed": 1 }],
  ["no target", { slo: {} }, {}],
  ["no slo", { slo: undefined }, {}],
  ["a plain answer, whose first token nobody sees", { stream: false }, {}],
  ["too few tokens for a mean", { tpotMs: undefined }, { "ttft met": 1 }],
  ["a refusal", { outcome: "rejected-slo", ttftMs: undefined }, { "ttft refused": 1, "tpot refused": 1 }],
  ["a place taken back", { outcome: "evicted", ttftMs: undefined }, { "ttft refused": 1, "tpot refused": 1 }],
  ["a lost server", { outcome: "upstream-aborted" }, { "ttft met": 1, "tpot failed": 1 }],
  ["a request that is wrong", { outcome: "bad-request", ttftMs: undefined }, {}],
  ["one who left in time", { outcome: "client-disconnect", ttftMs: undefined, durationMs: 150 }, {}],
  ["one who left too late", { outcome: "client-disconnect", ttftMs: undefined, durationMs: 250 }, { "ttft missed": 1 }],
];

for (const [name, part, expected] of ends) {
  Deno.test(`requestEnded() judges targets: ${name}`, async () => {
    const metrics = fresh();
    const record = requestRecord({ slo, ...part, model: "m", targetModel: "m" });
    metrics.requestEnded(record, metrics.requestStarted(record));
    const of = await scrape(metrics);
    const named = (values: Values) => Object.fromEntries(Object.entries(values).map(([k, v]) => [`m m ${k}`, v]));
    deepStrictEqual(of("request_slo_total"), named(expected));
    const missed = Object.keys(expected).filter((key) => key.endsWith("missed"));
    deepStrictEqual(
      of("request_slo_violation_total"),
      named(Object.fromEntries(missed.map((key) => [key.split(" ")[0], 1]))),
    );
  });
}

Deno.test("requestEnded() teaches no label by requests that were refused", async () => {
  const metrics = fresh();
  const refused: Outcome = "rejected-slo";
  for (let i = 0; i < 1_200; i++) {
    metrics.requestEnded(requestRecord({ slo, outcome: refused, ttftMs: undefined, model: `m${i}`, targetModel: "x" }));
  }
  deepStrictEqual((await scrape(metrics))("request_slo_total"), {
    "other other ttft refused": 1_200,
    "other other tpot refused": 1_200,
  });
});

Deno.test("trained() counts by result, and keeps the time of those that came to be judged", async () => {
  const metrics = fresh();
  metrics.latency.trained("ttft", "promoted", 400);
  metrics.latency.trained("ttft", "failed");
  const of = await scrape(metrics);
  deepStrictEqual(of("prediction_trainings_total"), { "ttft promoted": 1, "ttft failed": 1 });
  deepStrictEqual(of("prediction_training_duration_seconds_sum"), { ttft: 0.4 });
  deepStrictEqual(of("prediction_training_duration_seconds_count"), { ttft: 1 });
});

Deno.test("fill() shows the sample, nothing of what it does not have, and nothing of what is gone", async () => {
  const metrics = fresh();
  let sample = latencySample();
  metrics.onCollect(() => ({ latency: sample, pool: { name: "pool", endpoints: [] } }));
  const of = await scrape(metrics);
  deepStrictEqual(of("prediction_source"), { "ttft model": 1, "tpot model": 1 });
  deepStrictEqual(of("prediction_over_slo"), { "pool ttft": 1.5, "pool tpot": 1.5 });
  equal(of("prediction_mape")["ttft told"], 0.1);
  equal(of("prediction_coverage")["tpot prior"], 0.8);
  deepStrictEqual(Object.keys(of("prediction_log_loss")), ["ttft prior", "ttft model", "tpot prior", "tpot model"]);
  equal(of("prediction_rows")["ttft held_back"], 64);
  equal(of("prediction_model_age_seconds").ttft, 2);
  equal(of("prediction_trial_loss")["tpot challenger"], 0.05);
  deepStrictEqual([of("endpoint_pace"), of("endpoint_suspect")], [{ "a default": 2.5 }, { "a default": 1 }]);

  const nothing = latencySample({
    source: "prior",
    scores: [{ source: "told", mape: NaN, coverage: NaN }],
    overSlo: undefined,
    model: undefined,
    trialLoss: { champion: NaN },
  });
  sample = { ...nothing, endpoints: [] };
  const later = await scrape(metrics);
  deepStrictEqual(later("prediction_source"), { "ttft prior": 1, "tpot prior": 1 });
  for (
    const name of [
      "prediction_mape",
      "prediction_coverage",
      "prediction_log_loss",
      "prediction_over_slo",
      "prediction_model_trees",
      "prediction_trial_loss",
      "endpoint_pace",
    ]
  ) deepStrictEqual(later(name), {}, name);
});

Deno.test("render() shows one isolate's last request, and the sum of what all counted", async () => {
  const own = fresh(), other = fresh();
  own.latency.outcome(predictionRecord({ ms: 100 }));
  other.latency.outcome(predictionRecord({ ms: 120 }));
  const { samples } = parsePrometheus(await own.render(systemClock, [other.dump()]));
  const value = (name: string, type: string) =>
    samples.find((sample) => sample.name === name && sample.labels.type === type)?.value;
  ok([0.1, 0.12].includes(value("warmpath_inference_request_metric", "ttft")!));
  equal(value("warmpath_prediction_labels_total", "ttft"), 2);
});
