import { setImmediate } from "node:timers/promises";
import type { TokensConfig } from "../config/mod.ts";
import type { Clock } from "../core/mod.ts";
import type { Fetcher } from "./engine_client.ts";
import { InlineBudget } from "./inline_budget.ts";
import { type AnswerJob, type Job, type JobAnswer, JobRunner, loadTokenizer, type TokenizerOrigin } from "./jobs.ts";
import { type ModelStatus, ModelTokens } from "./model_tokens.ts";
import type { ChatSettings } from "./prompt_tokenizer.ts";
import type { TokenizerData } from "./tokenizer_files.ts";
import type { PromptRequest, PromptTokens, Unavailable } from "./types.ts";
import { WorkerPool } from "./worker_pool.ts";

/** Prompts that may wait for a worker. At 30 ms for a long one the last waits two seconds. */
const queueMax = 64;

/** Models that are kept apart; names come from clients, so that there must be a bound. */
const modelsMax = 256;

/** What is tokenized before the first request, how often. */
const warmUpText = "Größe 12: f(x) = x² + 3;\n\n  // 中文 🦊 isn't ASCII\n".repeat(4);
const warmUpRuns = 8;

export interface TokensDeps {
  readonly clock: Clock;
  readonly fetcher: Fetcher;
  /** Base URL of a server that can be asked for ids of a model; undefined when there is none now. */
  endpointUrl(model: string): string | undefined;
  /** The archive of tokenizer files that an engine sends (`GetTokenizer`); undefined: engines do not. */
  engineFiles?(model: string): (() => Promise<Uint8Array>) | undefined;
  /** How the engines of a model are run, where that changes their prompts. */
  chatSettings?(model: string): ChatSettings;
  /** A tokenizer was loaded, could not be for a reason not told yet, or disagreed with the engine. */
  onState?(status: ModelStatus): void;
}

export interface TokensStatus {
  readonly models: readonly ModelStatus[];
  readonly cacheBytes: number;
  /** Prompts that wait for a worker. */
  readonly waiting: number;
  readonly workerDeaths: number;
  /** Longest body that is handled in the edge's own isolate at present, and the longest that took. */
  readonly inlineBytesMax: number;
  readonly inlineMsMax: number;
}

/** Exact token ids of requests. */
export class Tokens {
  readonly #config: TokensConfig;
  readonly #deps: TokensDeps;
  readonly #runner: JobRunner;
  readonly #workers?: WorkerPool;
  readonly #budget = new InlineBudget();
  readonly #models = new Map<string, ModelTokens>();
  #closed = false;

  constructor(config: TokensConfig, deps: TokensDeps) {
    this.#config = config;
    this.#deps = deps;
    const { clock } = deps;
    // One part for the edge's own isolate, one for each worker.
    const cacheBytesMax = Math.floor(config.cacheBytes / (config.workers + 1));
    this.#runner = new JobRunner(cacheBytesMax, () => clock.wallMs());
    if (config.workers > 0) this.#workers = new WorkerPool({ count: config.workers, queueMax, cacheBytesMax, clock });
  }

  /**
   * The ids of a request's prompt, or why there are none; at once when it is short and its model is ready. Never throws
   * and never rejects. The body must not change before the answer is there. The first request of a model starts loading.
   */
  prompt(
    request: PromptRequest,
    signal?: AbortSignal,
  ): PromptTokens | Unavailable | Promise<PromptTokens | Unavailable> {
    if (this.#closed) return { reason: "closed" };
    return this.#model(request.model)?.prompt(request, signal) ?? { reason: "no-source" };
  }

  /** Begins to load what `model` needs, so that its first request need not wait. Resolves when that is done or failed. */
  async warm(model: string): Promise<void> {
    if (!this.#closed) await this.#model(model)?.ready();
  }

  status(): TokensStatus {
    return {
      models: [...this.#models.values()].map((model) => model.status()),
      cacheBytes: this.#runner.cacheBytes + (this.#workers?.cacheBytes ?? 0),
      waiting: this.#workers?.waiting ?? 0,
      workerDeaths: this.#workers?.deaths ?? 0,
      inlineBytesMax: this.#workers ? this.#budget.bytesMax : Infinity,
      inlineMsMax: this.#budget.longestMs,
    };
  }

  /** Ends the workers; prompts under way are answered `closed`. */
  close(): void {
    this.#closed = true;
    for (const model of this.#models.values()) model.close();
    this.#workers?.close();
  }

  #model(name: string): ModelTokens | undefined {
    const known = this.#models.get(name);
    if (known || this.#models.size >= modelsMax) return known;
    const own = this.#config.models.find(({ model }) => model === name);
    const deps = this.#deps;
    const model = new ModelTokens({
      name,
      source: own?.source ?? this.#config.source,
      directory: own?.directory,
      url: () => own?.url ?? deps.endpointUrl(name),
      engineFiles: deps.engineFiles?.(name),
      settings: deps.chatSettings?.(name) ?? {},
      checkEvery: this.#config.checkEvery,
      timeoutMs: this.#config.timeoutMs,
      clock: deps.clock,
      fetcher: deps.fetcher,
      onState: (status) => deps.onState?.(status),
      workshop: { run: (job, signal) => this.#run(job, signal), load: (...args) => this.#load(...args) },
    });
    this.#models.set(name, model);
    return model;
  }

  #run(job: Job | AnswerJob, signal?: AbortSignal): JobAnswer | Promise<JobAnswer> {
    const isElsewhere = job.kind === "prompt" && !this.#runner.has(job.model) && this.#workers?.models.has(job.model);
    const isTooLong = job.body.length > this.#budget.bytesMax;
    if (this.#workers && (isElsewhere || isTooLong)) {
      if (isTooLong) this.#budget.passed();
      return this.#workers.run(job, signal);
    }
    const startMs = this.#deps.clock.now();
    const answer = this.#runner.run(job);
    this.#budget.spent(job.body.length, this.#deps.clock.now() - startMs);
    return answer;
  }

  async #load(model: string, origin: TokenizerOrigin, settings: ChatSettings): Promise<TokenizerData> {
    const data = this.#workers ? await this.#workers.load(origin) : loadTokenizer(origin);
    this.#workers?.adopt(model, data, settings);
    // The general library copies a vocabulary into every isolate and takes long to build: it stays in the workers.
    if (data.byteLevel || !this.#workers) {
      this.#runner.adopt(model, data, settings);
      await this.#compile(model);
    }
    return data;
  }

  /** Runs a short prompt a few times, a turn of the event loop each, so that requests meet compiled code. */
  async #compile(model: string): Promise<void> {
    const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: warmUpText }];
    const body = new TextEncoder().encode(JSON.stringify({ messages }));
    for (let i = 0; i < warmUpRuns; i++) {
      await setImmediate();
      this.#runner.run({ kind: "prompt", model, api: "chat", body });
      this.#runner.run({
        kind: "prompt",
        model,
        api: "completions",
        body: new TextEncoder().encode(`{"prompt":"${i}"}`),
      });
    }
  }
}
