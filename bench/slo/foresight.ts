/** What an engine would do if nothing more came: its scheduler over durations alone, cache and blocks left out. */
import { stepMs, type StepWork } from "../../src/sim/cost.ts";
import type { Engine } from "../../src/sim/engine.ts";
import type { EngineOptions, EngineState } from "../../src/sim/engine_types.ts";
import type { Prompt } from "../../src/sim/prompt.ts";

/** A request on its way through. */
export interface Job {
  readonly prompt: Prompt;
  /** Tokens to compute before the next token comes; 0 while it decodes. */
  prefill: number;
  /** Tokens computed. */
  context: number;
  /** Output tokens that are missing. */
  left: number;
  /** When the first token came; 0 before. */
  firstMs: number;
  endMs: number;
}

/** What `engine` has to do from the end of its step on; `state` is its own. */
export function jobsOf(engine: Engine, { running, waiting, stepEndsMs }: EngineState): { batch: Job[]; queue: Job[] } {
  const batch: Job[] = [];
  for (const { request, computed, produced, scheduled, firstTokenMs } of running) {
    const length = request.prompt.tokens + produced;
    const context = computed + scheduled;
    const sampled = scheduled > 0 && context === length;
    const left = request.outputTokens - produced - (sampled ? 1 : 0);
    const firstMs = produced > 0 ? firstTokenMs : sampled ? stepEndsMs : 0;
    // One that ends with the step is told of, too: it may be somebody's target.
    batch.push({
      prompt: request.prompt,
      prefill: sampled ? 0 : length - context,
      context,
      left,
      firstMs,
      endMs: left > 0 ? 0 : stepEndsMs,
    });
  }
  const queue = waiting.map(({ request: { prompt, outputTokens }, produced, firstTokenMs }): Job => {
    const context = engine.cachedTokens(prompt);
    return {
      prompt,
      prefill: prompt.tokens + produced - context,
      context,
      left: outputTokens - produced,
      firstMs: produced > 0 ? firstTokenMs : 0,
      endMs: 0,
    };
  });
  return { batch, queue };
}

/** Runs the jobs to their ends, written into them. */
export function foresee(
  options: EngineOptions,
  state: EngineState,
  batch: readonly Job[],
  queue: readonly Job[],
): void {
  const { maxBatchedTokens, maxRunning } = options;
  let running = batch.filter(({ left }) => left > 0);
  let queued = 0, atMs = state.stepEndsMs;
  while (running.length > 0 || queued < queue.length) {
    const work: StepWork = { requests: 0, prefillTokens: 0, prefillPairs: 0, decodeContext: 0 };
    let budget = maxBatchedTokens;
    for (const job of running) budget -= take(job, budget, work);
    while (queued < queue.length && budget > 0 && running.length < maxRunning) {
      const job = queue[queued++];
      running.push(job);
      budget -= take(job, budget, work);
    }
    atMs += (work.prefillTokens > 0 ? step(options, running, work) : decode(options, running, work)) * state.slowFactor;
    for (const job of running) {
      if (job.firstMs === 0 && job.prefill === 0) job.firstMs = atMs;
      if (job.left === 0) job.endMs = atMs;
    }
    running = running.filter(({ left }) => left > 0);
  }
}

/** Adds what a step computes of `job` to `work`; returns its tokens. */
function take({ prefill, context }: Job, budget: number, work: StepWork): number {
  work.requests++;
  if (prefill === 0) {
    work.decodeContext += context + 1;
    return 1;
  }
  const tokens = Math.min(prefill, budget);
  work.prefillTokens += tokens;
  work.prefillPairs += tokens * context + tokens * (tokens + 1) / 2;
  return tokens;
}

/** One step in which prompts are computed; returns its milliseconds. */
function step({ cost, maxBatchedTokens }: EngineOptions, running: readonly Job[], work: StepWork): number {
  let budget = maxBatchedTokens;
  for (const job of running) {
    const tokens = job.prefill === 0 ? 1 : Math.min(job.prefill, budget);
    budget -= tokens;
    job.context += tokens;
    job.prefill = Math.max(0, job.prefill - tokens);
    if (job.prefill === 0) job.left--;
  }
  return stepMs(cost, work);
}

/** Steps in which all decode until one ends, each a little longer than the last, as contexts grow. */
function decode({ cost }: EngineOptions, running: readonly Job[], work: StepWork): number {
  let steps = Infinity;
  for (const { left } of running) steps = Math.min(steps, left);
  for (const job of running) {
    job.context += steps;
    job.left -= steps;
  }
  return steps * stepMs(cost, work) + running.length * cost.decodeAttentionNs / 1e6 * steps * (steps - 1) / 2;
}
