/** How a request fared at an endpoint, as the pool is told. */
export const AttemptEnd = {
  /** The answer began, whatever becomes of the rest. */
  Answered: 0,
  /** The router let go of it: its client left, or another endpoint was faster. Says nothing of the endpoint. */
  Cancelled: 1,
  Connect: 2,
  Timeout: 3,
  Reset: 4,
  /** Answered with a status of 5xx. */
  Status: 5,
  Protocol: 6,
  /** The endpoint was lost in the middle of its answer. */
  Aborted: 7,
} as const;
export type AttemptEnd = (typeof AttemptEnd)[keyof typeof AttemptEnd];

/** Numbers only: a report may cross isolates as `reportWords` words of shared memory. */
export interface AttemptReport {
  readonly slot: number;
  /** Of the slot when the request was placed: a report on an endpoint that is gone counts for nobody. */
  readonly generation: number;
  readonly end: AttemptEnd;
  /** From sending to the first token; NaN when none came, or when it would say nothing of the endpoint's speed. */
  readonly firstTokenMs: number;
  /** Prompt tokens to compute before the first token: uncached ones of this request and of those ahead of it. */
  readonly workTokens: number;
  /** The half-open permit it held; 0 for none. */
  readonly permit: number;
}

/** Words a written report takes. */
export const reportWords = 6;

export function writeReport(report: AttemptReport, words: Float64Array, at: number): void {
  words[at] = report.slot;
  words[at + 1] = report.generation;
  words[at + 2] = report.end;
  words[at + 3] = report.firstTokenMs;
  words[at + 4] = report.workTokens;
  words[at + 5] = report.permit;
}

export function readReport(words: Float64Array, at: number): AttemptReport {
  return {
    slot: words[at],
    generation: words[at + 1],
    end: words[at + 2] as AttemptEnd,
    firstTokenMs: words[at + 3],
    workTokens: words[at + 4],
    permit: words[at + 5],
  };
}
