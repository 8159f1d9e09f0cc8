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

/** Numbers only: a report crosses isolates through a ring. */
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

/** The report as numbers, in the order that `readReport` takes them. */
export function reportNumbers(report: AttemptReport): readonly number[] {
  const { slot, generation, end, firstTokenMs, workTokens, permit } = report;
  return [slot, generation, end, firstTokenMs, workTokens, permit];
}

export function readReport(numbers: ArrayLike<number>): AttemptReport {
  return {
    slot: numbers[0],
    generation: numbers[1],
    end: numbers[2] as AttemptEnd,
    firstTokenMs: numbers[3],
    workTokens: numbers[4],
    permit: numbers[5],
  };
}
