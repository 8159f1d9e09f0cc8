/** The section about predicted latencies. */
import { choice, decimal, duration, flag, integer, section, text } from "./fields.ts";
import { latencyDefaults } from "./latency_defaults.ts";
import { echoes, sloAdmissions } from "./latency_types.ts";
import { hourMs, secondMs } from "./units.ts";

const { training, slo, snapshot } = latencyDefaults;

const learning = section("How predictions are learned from the requests that were served.", {
  enabled: flag({ about: "Whether they are learned at all.", default: training.enabled }),
  interval: duration(secondMs, hourMs, { about: "Pause between two trainings.", default: training.intervalMs }),
  minSamples: integer(10, 1_000_000, {
    about: "Samples of a target below which nothing is learned of it.",
    default: training.minSamples,
  }),
  maxSamples: integer(10, 1_000_000, { about: "Samples of a target that are kept.", default: training.maxSamples }),
  trees: integer(1, 1000, { about: "Trees of a forest.", default: training.trees }),
  depth: integer(1, 12, { about: "Depth of a tree.", default: training.depth }),
  learningRate: decimal(0.001, 1, {
    about: "Share of what is left unexplained that each tree adds.",
    default: training.learningRate,
  }),
  serviceUrl: text({
    about:
      "Trainer service (deploy/trainer); the router trains by itself when absent. WARMPATH_TRAINER_TOKEN is its token.",
    form: 'an http(s) URL such as "http://trainer:8100"',
    pattern: /^https?:\/\/\S+$/,
  }),
});

const model = (what: string) =>
  text({ about: `File of the forest that predicts ${what}, in XGBoost's JSON or UBJSON, relative to this file.` });

export const latency = section("Prediction of the time to the first token (TTFT) and per output token (TPOT).", {
  enabled: flag({ about: "Whether anything is predicted.", default: latencyDefaults.enabled }),
  quantile: decimal(0.5, 0.999, {
    about: "Share of cases in which it takes at most the high prediction, which targets are compared with.",
    default: latencyDefaults.quantile,
  }),
  training: learning,
  slo: section("How latency targets are judged.", {
    admission: choice(sloAdmissions, {
      about:
        "Which requests the policy `predicted` refuses when they are unlikely to meet their targets: `sheddable` " +
        "those of negative priority.",
      default: slo.admission,
    }),
    admitProbability: decimal(0, 1, {
      about: "Probability of meeting its targets from which on a request is taken.",
      default: slo.admitProbability,
    }),
    tpotBufferFactor: decimal(0.01, 100, {
      about: "A TPOT target is multiplied by it before it is compared.",
      default: slo.tpotBufferFactor,
    }),
  }),
  seedModel: section("What predictions begin with, until something is learned.", {
    ttft: model("TTFT"),
    tpot: model("TPOT"),
  }),
  snapshot: section("What was learned, kept over a restart.", {
    file: text({ about: "File written on drain and from time to time, and read at start; relative to this file." }),
    interval: duration(secondMs, hourMs, { about: "Time between two writes.", default: snapshot.intervalMs }),
  }),
  echo: choice(echoes, {
    about: "Whether an answer tells in `Server-Timing` what was predicted for it: `asked` where the request asks.",
    default: latencyDefaults.echo,
  }),
});
