import { EngineCache } from "./engine_cache.ts";
import { stepMs, type StepWork } from "./cost.ts";
import {
  type CacheWatch,
  defaultEngine,
  type EngineEvent,
  type EngineMetrics,
  type EngineOptions,
  type EngineRequest,
  type EngineState,
} from "./engine_types.ts";
import type { Prompt } from "./prompt.ts";
import { decodes, lengthOf, newSequence, noBlocks, remove, type Sequence } from "./sequence.ts";

/** One step, or a run of equal decode steps, being computed. `stepsLeft` counts the current step. */
interface Flight {
  batch: Sequence[];
  work: StepWork;
  endMs: number;
  stepsLeft: number;
}

const noEvents: readonly EngineEvent[] = [];

/**
 * A model server's scheduler without the model: continuous batching, chunked prefill, paged prefix cache, preemption by
 * recompute, as in vLLM's V1 scheduler. Pure: time is an argument, nothing is awaited, chance is not used.
 *
 * Rules of a step, in order: running requests first, in order of admission, each the tokens it lacks within the token
 * budget; where no block is free the youngest running request is preempted and waits at the front. Then, if none was
 * preempted, waiting requests first come first served, until the budget, `maxRunning` or the blocks are used up; a request
 * whose adapter would be one too many is passed over. Results become visible when the step ends.
 *
 * Steps follow each other without a gap while there is work, at the times the cost model gives and not when `advance` is
 * called. So the results depend on the times of `submit` and `abort` alone: a driver that wakes late changes nothing.
 *
 * While the batch only decodes and nobody asked for every token, steps that differ in nothing but time are taken as one
 * run; the results are the same as step by step, to the bit.
 */
export class Engine {
  readonly options: EngineOptions;
  readonly #cache: EngineCache;
  readonly #watched: boolean;
  readonly #waiting: Sequence[] = [];
  readonly #running: Sequence[] = [];
  readonly #live = new Map<EngineRequest, Sequence>();
  readonly #adapters = new Map<string, number>();
  readonly #counters = {
    promptTokens: 0,
    generationTokens: 0,
    prefixQueries: 0,
    prefixHits: 0,
    preemptions: 0,
    finished: 0,
    aborted: 0,
  };
  #events: EngineEvent[] = [];
  #flight: Flight | undefined;
  /** When the next step begins, while none is in flight and there is work. */
  #startMs = NaN;
  #slowFactor = 1;

  /** With `watch`, prompts must have content. */
  constructor(options: Partial<EngineOptions> = {}, watch?: CacheWatch) {
    this.options = { ...defaultEngine, ...options };
    const { maxBatchedTokens, maxRunning, cacheBlocks, blockSize, maxLoras } = this.options;
    for (const [name, value] of Object.entries({ maxBatchedTokens, maxRunning, cacheBlocks, blockSize, maxLoras })) {
      if (Number.isSafeInteger(value) && value >= 1) continue;
      throw new RangeError(`Cannot make an engine as ${name} must be a positive integer: current value is ${value}`);
    }
    this.#watched = watch !== undefined;
    this.#cache = new EngineCache(this.options, watch);
  }

  /** Blocks `request` needs at its longest; `submit` throws when the cache has fewer. */
  blocksNeeded(request: EngineRequest): number {
    return this.#cache.blocksNeeded(request);
  }

  /** Queues a request that arrived at `nowMs`; false when the queue is full. Times never go back between calls. */
  submit(request: EngineRequest, nowMs: number): boolean {
    if (!(request.prompt.tokens >= 1) || !(request.outputTokens >= 0)) {
      throw new RangeError(
        `Cannot run a request as it must have a prompt: current value is ${request.prompt.tokens} tokens`,
      );
    }
    if (this.blocksNeeded(request) > this.options.cacheBlocks) {
      throw new RangeError(
        `Cannot run a request as it must fit in ${this.options.cacheBlocks} blocks: current value is ${
          this.blocksNeeded(request)
        }`,
      );
    }
    if (this.#watched && request.prompt.content === undefined) {
      throw new RangeError("Cannot run a request as its prompt must have content where the cache is watched");
    }
    if (this.#live.has(request)) throw new RangeError("Cannot run a request as the same one has not ended");
    this.#progress(nowMs, false);
    if (this.#waiting.length >= this.options.maxWaiting) return false;
    const sequence = newSequence(request, nowMs);
    this.#live.set(request, sequence);
    this.#waiting.push(sequence);
    this.#wakeAt(nowMs);
    return true;
  }

  /** Drops a request at `nowMs` and frees its blocks; false when it is not here or already ended. */
  abort(request: EngineRequest, nowMs: number): boolean {
    this.#progress(nowMs, false);
    const sequence = this.#live.get(request);
    if (sequence === undefined) return false;
    if (this.#flight !== undefined) this.#flight.stepsLeft = 1;
    remove(this.#waiting, sequence);
    if (remove(this.#running, sequence)) this.#leave(sequence);
    this.#end(sequence);
    this.#counters.aborted++;
    return true;
  }

  /** Multiplies the durations of later steps. */
  slowDown(factor: number, nowMs: number): void {
    this.#progress(nowMs, false);
    if (this.#flight !== undefined) this.#flight.stepsLeft = 1;
    this.#slowFactor = factor;
  }

  /** Empties the cache, every tier of it, at `nowMs`; false, doing nothing, while requests hold blocks. */
  resetCache(nowMs: number): boolean {
    this.#progress(nowMs, false);
    if (this.#cache.pool.free < this.#cache.pool.size) return false;
    this.#cache.reset(nowMs);
    return true;
  }

  /** As when the process dies and another starts: requests and cache are gone without a word. Counters stay. */
  restart(nowMs: number): void {
    for (const request of [...this.#live.keys()]) this.abort(request, nowMs);
    this.#events = [];
    this.#flight = undefined;
    this.#startMs = NaN;
    this.#cache.forget();
  }

  /** When `advance` next has something to do; undefined while the engine is idle. */
  wakeMs(): number | undefined {
    if (this.#events.length > 0) return 0;
    if (this.#flight !== undefined) return this.#flightEndMs(this.#flight);
    return Number.isNaN(this.#startMs) ? undefined : this.#startMs;
  }

  /** Computes every step that has ended by `nowMs`, begins the next, and returns what happened, oldest first. */
  advance(nowMs: number): readonly EngineEvent[] {
    this.#progress(nowMs, true);
    if (this.#events.length === 0) return noEvents;
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Load as of the last `advance`, `submit` or `abort`. */
  metrics(): EngineMetrics {
    const waitingAdapters = new Set<string>();
    for (const { request } of this.#waiting) if (request.adapter !== undefined) waitingAdapters.add(request.adapter);
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      kvUsage: 1 - this.#cache.pool.free / this.#cache.pool.size,
      cacheBlocks: this.#cache.pool.size,
      blockTokens: this.options.blockSize,
      cachedBlocks: this.#cache.pool.keyed,
      ...this.#counters,
      runningAdapters: [...this.#adapters.keys()],
      waitingAdapters: [...waitingAdapters],
    };
  }

  /** Tokens of waiting requests that no tier of the cache holds. */
  waitingUncachedTokens(): number {
    return this.#waiting.reduce((sum, sequence) => sum + lengthOf(sequence) - this.#cache.cachedTokens(sequence), 0);
  }

  /** What the engine has to do as of `nowMs`, for who wants to foresee it; valid until the next call. */
  state(nowMs: number): EngineState {
    this.#progress(nowMs, false);
    return {
      running: this.#running,
      waiting: this.#waiting,
      stepEndsMs: this.#flight?.endMs ?? nowMs,
      slowFactor: this.#slowFactor,
    };
  }

  /** Tokens of `prompt` that would be found in the cache, were it started now. */
  cachedTokens(prompt: Prompt): number {
    return this.#cache.cachedTokens(newSequence({ prompt, outputTokens: 0 }, 0));
  }

  #wakeAt(nowMs: number): void {
    if (this.#flight !== undefined) this.#flight.stepsLeft = 1;
    else if (Number.isNaN(this.#startMs)) this.#startMs = nowMs;
  }

  /** A step due to begin exactly at `nowMs` begins only if `inclusive`: arrivals of the same instant join it. */
  #progress(nowMs: number, inclusive: boolean): void {
    for (;;) {
      if (this.#flight !== undefined) {
        this.#settle(this.#flight, nowMs);
        if (this.#flight.endMs > nowMs) return;
        this.#complete(this.#flight);
      }
      if (Number.isNaN(this.#startMs)) return;
      if (this.#startMs > nowMs || (this.#startMs === nowMs && !inclusive)) return;
      this.#begin(this.#startMs);
    }
  }

  /** Takes the steps of a run that have ended, all but the last one of the run. */
  #settle(flight: Flight, nowMs: number): void {
    let steps = 0;
    while (flight.stepsLeft > 1 && flight.endMs <= nowMs) {
      steps++;
      flight.stepsLeft--;
      flight.work.decodeContext += flight.batch.length;
      flight.endMs += stepMs(this.options.cost, flight.work) * this.#slowFactor;
    }
    if (steps === 0) return;
    for (const sequence of flight.batch) {
      sequence.computed += steps;
      sequence.produced += steps;
      this.#cache.grow(sequence, sequence.computed + 1);
    }
    this.#counters.generationTokens += steps * flight.batch.length;
  }

  #flightEndMs(flight: Flight): number {
    let endMs = flight.endMs;
    const work = { ...flight.work };
    for (let i = 1; i < flight.stepsLeft; i++) {
      work.decodeContext += flight.batch.length;
      endMs += stepMs(this.options.cost, work) * this.#slowFactor;
    }
    return endMs;
  }

  #begin(startMs: number): void {
    this.#startMs = NaN;
    const batch: Sequence[] = [];
    const work: StepWork = { requests: 0, prefillTokens: 0, prefillPairs: 0, decodeContext: 0 };
    const { budget, preempted } = this.#continueRunning(batch, work);
    const before = batch.length;
    if (!preempted) this.#admit(batch, work, budget, startMs);
    if (batch.length === 0) {
      if (this.#live.size > 0) throw new Error("The engine has requests and can run none of them");
      return;
    }
    const steady = !preempted && batch.length === before && batch.length === this.#running.length;
    this.#flight = {
      batch,
      work,
      endMs: startMs + (stepMs(this.options.cost, work) + this.#cache.takeLoadMs()) * this.#slowFactor,
      stepsLeft: steady ? this.#equalSteps(batch) : 1,
    };
  }

  #continueRunning(batch: Sequence[], work: StepWork): { budget: number; preempted: boolean } {
    let budget = this.options.maxBatchedTokens;
    let preempted = false;
    const running = this.#running;
    for (let i = 0; i < running.length && budget > 0; i++) {
      const sequence = running[i];
      const tokens = Math.min(lengthOf(sequence) - sequence.computed, budget);
      while (!this.#cache.grow(sequence, sequence.computed + tokens)) {
        preempted = true;
        const victim = running.pop()!;
        this.#preempt(victim);
        if (victim === sequence) return { budget: 0, preempted };
      }
      this.#schedule(sequence, tokens, batch, work);
      budget -= tokens;
    }
    return { budget, preempted };
  }

  #admit(batch: Sequence[], work: StepWork, budget: number, startMs: number): void {
    const waiting = this.#waiting;
    for (let i = 0; i < waiting.length && budget > 0 && this.#running.length < this.options.maxRunning;) {
      const sequence = waiting[i];
      const { adapter } = sequence.request;
      if (adapter !== undefined && !this.#adapters.has(adapter) && this.#adapters.size >= this.options.maxLoras) {
        i++;
        continue;
      }
      const tokens = this.#cache.start(sequence, budget);
      if (tokens === 0) return;
      if (Number.isNaN(sequence.scheduledMs)) this.#firstScheduled(sequence, startMs);
      waiting.splice(i, 1);
      this.#running.push(sequence);
      if (adapter !== undefined) this.#adapters.set(adapter, (this.#adapters.get(adapter) ?? 0) + 1);
      this.#schedule(sequence, tokens, batch, work);
      budget -= tokens;
    }
  }

  #firstScheduled(sequence: Sequence, startMs: number): void {
    sequence.scheduledMs = startMs;
    sequence.cachedTokens = sequence.computed;
    this.#counters.promptTokens += sequence.request.prompt.tokens;
    this.#counters.prefixQueries += sequence.request.prompt.tokens;
    this.#counters.prefixHits += sequence.cachedTokens;
  }

  #schedule(sequence: Sequence, tokens: number, batch: Sequence[], work: StepWork): void {
    sequence.scheduled = tokens;
    batch.push(sequence);
    work.requests++;
    if (decodes(sequence)) {
      work.decodeContext += sequence.computed + 1;
    } else {
      work.prefillTokens += tokens;
      work.prefillPairs += tokens * sequence.computed + tokens * (tokens + 1) / 2;
    }
  }

  /** How many steps from here on differ in time only: none finishes, adds a key to the cache, or lacks a block. */
  #equalSteps(batch: Sequence[]): number {
    const { blockSize } = this.options;
    let steps = Infinity;
    for (const sequence of batch) {
      const { everyToken, prompt, outputTokens } = sequence.request;
      if (everyToken || !decodes(sequence) || prompt.keys.length * blockSize > prompt.tokens) return 1;
      steps = Math.min(steps, outputTokens - sequence.produced);
    }
    for (; steps > 1; steps >>= 1) {
      let blocks = 0;
      for (const sequence of batch) blocks += Math.ceil((sequence.computed + steps) / blockSize) - sequence.held;
      // Where eviction is heeded it must be told in the step it happens.
      if (blocks === 0 || (!this.#cache.heeded && blocks <= this.#cache.pool.free)) return steps;
    }
    return 1;
  }

  #complete(flight: Flight): void {
    const { endMs } = flight;
    this.#flight = undefined;
    for (const sequence of flight.batch) {
      if (sequence.ended) continue;
      sequence.computed += sequence.scheduled;
      sequence.scheduled = 0;
      if (sequence.computed === lengthOf(sequence)) this.#sample(sequence, endMs);
    }
    this.#cache.stepEnded(endMs);
    if (this.#live.size > 0) this.#startMs = endMs;
  }

  #sample(sequence: Sequence, atMs: number): void {
    const { request } = sequence;
    if (request.outputTokens > 0) {
      const index = sequence.produced++;
      this.#counters.generationTokens++;
      if (index === 0) sequence.firstTokenMs = atMs;
      if (index === 0 || request.everyToken) this.#events.push({ kind: "token", request, index, atMs });
    }
    if (sequence.produced < request.outputTokens) return;
    remove(this.#running, sequence);
    this.#leave(sequence);
    this.#end(sequence);
    this.#counters.finished++;
    const { arrivedMs, scheduledMs, firstTokenMs, cachedTokens, preemptions } = sequence;
    const times = { arrivedMs, scheduledMs, firstTokenMs, finishedMs: atMs, cachedTokens, preemptions };
    this.#events.push({ kind: "finish", request, atMs, times });
  }

  /** Sends a request that has left the running list back to the head of the queue; its tokens are computed again. */
  #preempt(sequence: Sequence): void {
    this.#leave(sequence);
    sequence.computed = 0;
    sequence.scheduled = 0;
    sequence.preemptions++;
    this.#counters.preemptions++;
    this.#waiting.unshift(sequence);
  }

  /** Gives back what a running request holds. */
  #leave(sequence: Sequence): void {
    this.#cache.release(sequence);
    const { adapter } = sequence.request;
    if (adapter === undefined) return;
    const users = this.#adapters.get(adapter)! - 1;
    if (users > 0) this.#adapters.set(adapter, users);
    else this.#adapters.delete(adapter);
  }

  #end(sequence: Sequence): void {
    sequence.ended = true;
    sequence.blocks = noBlocks;
    this.#live.delete(sequence.request);
  }
}
