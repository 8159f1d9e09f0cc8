import type { breakerStateNames } from "../core/mod.ts";

export interface BreakerOptions {
  /** False: nothing the data path sees takes an endpoint out. @default {true} */
  readonly enabled: boolean;
  /** Failed requests in a row that open a circuit. @default {5} */
  readonly failures: number;
  /** Share of failed requests that opens one. 1: never. @default {0.5} */
  readonly errorRate: number;
  /** How far below the mean of the other endpoints its success rate may lie. 1: any. @default {0.2} */
  readonly successGap: number;
  /** Time over which both rates are taken. @default {30000} */
  readonly windowMs: number;
  /** Requests in that time below which no rate is judged. @default {20} */
  readonly requestsMin: number;
  /** First tokens this many times slower than the other endpoints' open one. 0: never. @default {5} */
  readonly slowFactor: number;
  /** An endpoint whose first tokens typically come within this is not slow, whatever the others do. @default {1000} */
  readonly slowFloorMs: number;
  /** Requests of each endpoint below which speed is not judged. @default {30} */
  readonly slowSamplesMin: number;
  /** Length of a first opening; doubles with each further one between which no request went well. @default {1000} */
  readonly baseMs: number;
  /** @default {30000} */
  readonly maxMs: number;
  /** Closed for this long, an endpoint's earlier openings are forgotten. @default {60000} */
  readonly forgetMs: number;
  /** Requests that may try a half-open circuit at once. @default {3} */
  readonly probes: number;
  /** Requests that must go well in a row to close it. @default {2} */
  readonly probeSuccesses: number;
  /**
   * A half-open circuit whose requests say nothing for so long opens again. Longer than a request may wait for its first
   * byte, so that only permits of an isolate that is gone come back this way. @default {600000}
   */
  readonly probeTimeoutMs: number;
  /**
   * Never leaves fewer closed endpoints than this: when all fail, trying one is better than refusing everything. Active
   * checks are not held back: an endpoint that says it is down is down. @default {1}
   */
  readonly readyMin: number;
  /**
   * Nor takes out more than this share of the pool: when most fail, the cause is rarely theirs. Endpoints on trial are
   * not out. @default {0.5}
   */
  readonly shareMax: number;
}

export const breakerDefaults: BreakerOptions = {
  enabled: true,
  failures: 5,
  errorRate: 0.5,
  successGap: 0.2,
  windowMs: 30_000,
  requestsMin: 20,
  slowFactor: 5,
  slowFloorMs: 1000,
  slowSamplesMin: 30,
  baseMs: 1000,
  maxMs: 30_000,
  forgetMs: 60_000,
  probes: 3,
  probeSuccesses: 2,
  probeTimeoutMs: 600_000,
  readyMin: 1,
  shareMax: 0.5,
};

/** How an endpoint's circuit stands, and why. */
export interface BreakerStatus {
  readonly state: typeof breakerStateNames[number];
  /** Why it opened last; null before the first time. */
  readonly reason: string | null;
  /** Openings not yet forgotten. */
  readonly ejections: number;
  /** Until the end of the running opening; 0 when there is none. */
  readonly openForMs: number;
  /** Requests that may still try it, and that went well; of a half-open circuit. */
  readonly permits: number;
  readonly probesPassed: number;
  /** Of the window. */
  readonly requests: number;
  readonly failures: number;
  /** Times slower than the others at similar work; null while too little is known. */
  readonly slowness: number | null;
}
