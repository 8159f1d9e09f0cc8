/** Metrics of predicted latency: what was told, what came of it, by what it is predicted. Names are llm-d's where it has the series. */
import {
  finePredictionBuckets,
  latencyBuckets,
  predictedTpotBuckets,
  predictionBuckets,
  trainingBuckets,
} from "./buckets.ts";
import { endpointLabels, type MetricDefinition } from "./definition.ts";

const models = ["model_name", "target_model_name"] as const;
const plugin = [
  ["plugin_name", "predicted-latency-producer"],
  ["plugin_type", "predicted-latency-producer"],
] as const;
const accuracyLabels = ["target_model_name", ...endpointLabels, "type"] as const;

/** What clients are told. */
const requests = {
  request_predicted_ttft_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: models,
    buckets: latencyBuckets,
    help: "Expected time to the first token, from the request going upstream, of streams whose first token came.",
    alias: [...models, ...plugin],
  },
  request_predicted_tpot_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: models,
    buckets: predictedTpotBuckets,
    help: "Expected time of each token after the first, of completed requests.",
    alias: [...models, ...plugin],
  },
  prediction_actual_ttft_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: models,
    buckets: latencyBuckets,
    help: "What request_predicted_ttft_seconds came to, of the same requests.",
  },
  prediction_actual_tpot_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: models,
    buckets: predictedTpotBuckets,
    help: "What request_predicted_tpot_seconds came to, of the same requests.",
  },
  request_ttft_prediction_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: models,
    buckets: predictionBuckets,
    help: "Time a decision takes to predict all its candidates; both targets are predicted at once.",
    alias: [...models, ...plugin],
  },
  request_tpot_prediction_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: models,
    buckets: predictionBuckets,
    help: "The same as request_ttft_prediction_duration_seconds: both targets are predicted at once.",
    alias: [...models, ...plugin],
  },
  prediction_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: [],
    buckets: finePredictionBuckets,
    help: "The same over all models, in buckets that tell microseconds apart.",
  },
  inference_request_metric: {
    type: "gauge",
    unit: "seconds or 1",
    labels: [...models, "type"],
    last: true,
    help:
      "Of the last request: ttft, predicted_ttft, ttft_prediction_duration in seconds, 1 for a ttft_slo_violation; " +
      "the same for tpot.",
    alias: [...models, "type", ...plugin],
  },
  request_slo_violation_total: {
    type: "counter",
    unit: "requests",
    labels: [...models, "type"],
    help: "Streams that missed their target for the first token (ttft) or each token after it (tpot).",
    alias: [...models, "type", ...plugin],
  },
  request_slo_total: {
    type: "counter",
    unit: "requests",
    labels: [...models, "type", "result"],
    help: "Streams with a target, by target: met, missed, refused by the router, or failed at the model servers. " +
      "Attainment is met over all.",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

/** How good it was. */
const accuracy = {
  prediction_labels_total: {
    type: "counter",
    unit: "predictions",
    labels: accuracyLabels,
    help: "Predictions of which it is known what came, by endpoint and target.",
  },
  prediction_within_high_total: {
    type: "counter",
    unit: "predictions",
    labels: accuracyLabels,
    help:
      "Of prediction_labels_total, those that took at most the high prediction: their share is to be latency.quantile.",
  },
  prediction_relative_error_total: {
    type: "counter",
    unit: "ratio",
    labels: accuracyLabels,
    help: "Sum of |expected - actual| / actual; over prediction_labels_total it is the mean error (MAPE).",
  },
  prediction_pinball_loss_total: {
    type: "counter",
    unit: "loss",
    labels: accuracyLabels,
    help:
      "Sum of the pinball loss of the high prediction, in seconds: what it was below costs latency.quantile each, " +
      "what it was above the rest.",
  },
  prediction_source: {
    type: "gauge",
    unit: "sources",
    labels: ["type", "source"],
    help: "1 for what a target is predicted by: its prior or a trained model.",
  },
  prediction_mape: {
    type: "gauge",
    unit: "ratio",
    labels: ["type", "source"],
    help: "Mean relative error of late: of what was told, and of what prior and model would each have said.",
  },
  prediction_coverage: {
    type: "gauge",
    unit: "ratio",
    labels: ["type", "source"],
    help: "Share of late that took at most the high prediction, as told and by prior and model each.",
  },
  prediction_log_loss: {
    type: "gauge",
    unit: "loss",
    labels: ["type", "source"],
    help:
      "Pinball loss of late of expected and high prediction in log space, of prior and model: the lower one predicts.",
  },
  prediction_over_slo: {
    type: "gauge",
    unit: "ratio",
    labels: ["inference_pool", "type"],
    help:
      "p90 of the high prediction over the target it is to meet, time already waited included, of requests that have " +
      "one, those refused for it included: more than 1 asks for more replicas. 0 where none came for two minutes, " +
      "absent before the first.",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

/** How it is learned. */
const learning = {
  prediction_rows: {
    type: "gauge",
    unit: "rows",
    labels: ["type", "kind"],
    help: "Labels kept: `reservoir` to train on, `held_back` to judge a model by.",
  },
  prediction_model_age_seconds: {
    type: "gauge",
    unit: "seconds",
    labels: ["type"],
    help: "Time since the model of a target was taken into use; absent without one.",
  },
  prediction_model_trees: {
    type: "gauge",
    unit: "trees",
    labels: ["type"],
    help: "Trees of the model of a target; absent without one.",
  },
  prediction_trainings_total: {
    type: "counter",
    unit: "trainings",
    labels: ["type", "result"],
    help: "Models trained: promoted to predict, not better and the one before kept, or failed.",
  },
  prediction_training_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: ["type"],
    buckets: trainingBuckets,
    help: "Time a training takes, beside the isolates that serve.",
  },
  prediction_trial_loss: {
    type: "gauge",
    unit: "loss",
    labels: ["type", "source"],
    help:
      "Loss over held-back labels at the last training, in log space: of the challenger, the prior, and the champion " +
      "where there was one.",
  },
  endpoint_pace: {
    type: "gauge",
    unit: "ratio",
    labels: endpointLabels,
    help: "How many times as long as at an average endpoint things take; 1 while too little is known.",
  },
  endpoint_suspect: {
    type: "gauge",
    unit: "endpoints",
    labels: endpointLabels,
    help: "1 for an endpoint whose pace is more than twice that of the pool, until it is clearly less.",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export const latencyCatalogue = { ...requests, ...accuracy, ...learning };
