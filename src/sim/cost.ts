/** Durations of the modelled accelerator. */
export interface CostModel {
  /** Milliseconds of any step. */
  readonly stepBaseMs: number;
  /** Milliseconds a step grows by each request in its batch. */
  readonly stepPerRequestMs: number;
  /** Prompt tokens computed a second. */
  readonly prefillTokensPerS: number;
  /** Nanoseconds a pair of computed prompt token and token before it. About 1.3 for an 8B model on an H100. */
  readonly prefillAttentionNs: number;
  /** Nanoseconds a context token a decoding request reads each step. About 40 for an 8B model on an H100. */
  readonly decodeAttentionNs: number;
}

/** 6 ms and 0.35 ms a request, 8,000 prompt tokens/s: an 8B model on one mid-range accelerator; attention not counted. */
export const defaultCost: CostModel = {
  stepBaseMs: 6,
  stepPerRequestMs: 0.35,
  prefillTokensPerS: 8000,
  prefillAttentionNs: 0,
  decodeAttentionNs: 0,
};

/** What one step computes. */
export interface StepWork {
  /** Requests in the batch. */
  requests: number;
  /** Prompt tokens computed. */
  prefillTokens: number;
  /** Over the prompt tokens computed, how many tokens stand before each, summed. */
  prefillPairs: number;
  /** Over the decoding requests, context tokens, summed. */
  decodeContext: number;
}

/**
 * Milliseconds of a step:
 * `base + perRequest·requests + prefillTokens/rate + (pairs·prefillAttention + context·decodeAttention)`.
 */
export function stepMs(cost: CostModel, work: StepWork): number {
  return cost.stepBaseMs + cost.stepPerRequestMs * work.requests +
    work.prefillTokens * 1000 / cost.prefillTokensPerS +
    (work.prefillPairs * cost.prefillAttentionNs + work.decodeContext * cost.decodeAttentionNs) / 1e6;
}
