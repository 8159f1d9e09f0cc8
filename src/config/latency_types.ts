/** What prediction of latencies is told: complete, checked and frozen. */

/** Which requests are refused when they are unlikely to meet their targets; sheddable: those of negative priority. */
export const sloAdmissions = ["off", "sheddable", "all"] as const;

/** When an answer tells what was predicted for it. */
export const echoes = ["asked", "always", "never"] as const;

/** How latency targets are judged. */
export interface SloConfig {
  readonly admission: (typeof sloAdmissions)[number];
  /** Probability of meeting its targets from which on a request is taken. */
  readonly admitProbability: number;
  /** A TPOT target is multiplied by it before it is compared. */
  readonly tpotBufferFactor: number;
}

/** How what was seen becomes a forest. */
export interface LatencyTrainingConfig {
  readonly enabled: boolean;
  /** From the end of one training to the beginning of the next. */
  readonly intervalMs: number;
  /** Of one target. */
  readonly minSamples: number;
  readonly maxSamples: number;
  readonly trees: number;
  readonly depth: number;
  readonly learningRate: number;
  /** The trainer service (`deploy/trainer`); absent: the router trains by itself. */
  readonly serviceUrl?: string;
  /** What the service is shown as `Authorization: Bearer`; from the environment. */
  readonly serviceToken?: string;
}

export interface LatencyConfig {
  readonly enabled: boolean;
  /** The share of cases in which it takes at most the high prediction. */
  readonly quantile: number;
  readonly training: LatencyTrainingConfig;
  readonly slo: SloConfig;
  /** Paths of forests in XGBoost's file formats to begin with. */
  readonly seedModel: { readonly ttft?: string; readonly tpot?: string };
  readonly snapshot: { readonly file?: string; readonly intervalMs: number };
  readonly echo: (typeof echoes)[number];
}
