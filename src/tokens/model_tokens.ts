import type { TokenSourceName } from "../config/mod.ts";
import { type Clock, reasonOf } from "../core/mod.ts";
import { EngineClient, type Fetcher } from "./engine_client.ts";
import type { EngineMethod } from "./engine_protocol.ts";
import type { AnswerJob, Job, JobAnswer, TokenizerOrigin } from "./jobs.ts";
import type { ChatSettings } from "./prompt_tokenizer.ts";
import type { TokenizerData } from "./tokenizer_files.ts";
import {
  isUnavailable,
  type PromptRequest,
  type PromptTokens,
  type Unavailable,
  type UnavailableReason,
} from "./types.ts";

/** A tokenizer that could not be loaded is tried again after so long. */
const retryMs = 30_000;

/** Servers looked at for one that is not slow. */
const serversTried = 4;

/** Prompts that this process cannot know and the engine's renderer can. */
const forTheEngine: ReadonlySet<UnavailableReason> = new Set([
  ...["multimodal", "request-template", "request-option", "template", "special-tokens", "unicode", "too-long"] as const,
  ...["truncation", "load-failed", "unproven", "mismatch"] as const,
]);

/** What one model needs of all. */
export interface Workshop {
  /** Does a job: at once when it is short and needs nothing that is elsewhere, else in a worker. */
  run(job: Job | AnswerJob, signal?: AbortSignal): JobAnswer | Promise<JobAnswer>;
  load(model: string, origin: TokenizerOrigin, settings: ChatSettings): Promise<TokenizerData>;
}

export interface ModelOptions {
  readonly name: string;
  readonly source: TokenSourceName;
  readonly directory?: string;
  readonly url: () => string | undefined;
  readonly engineFiles?: () => Promise<Uint8Array>;
  readonly settings: ChatSettings;
  readonly checkEvery: number;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly fetcher: Fetcher;
  readonly workshop: Workshop;
  readonly onState?: (status: ModelStatus) => void;
}

/**
 * Who tokenizes for a model: `tokenizer` this process, `engine` its servers, `mismatch` its servers since the two
 * disagreed, `none` nobody.
 */
export type ModelState = "none" | "loading" | "failed" | "tokenizer" | "engine" | "mismatch";

export interface ModelStatus {
  readonly model: string;
  readonly state: ModelState;
  /** Why the tokenizer could not be loaded. */
  readonly failure?: string;
  /** Comparisons with the engine: all that gave a result, those that differed, those that gave none. */
  readonly checks: number;
  readonly mismatches: number;
  readonly checksWithoutResult: number;
  /** Answers so far: exact ones by source, the others by reason. */
  readonly answers: Readonly<Record<string, number>>;
}

type Answer = PromptTokens | Unavailable;

/** Token ids for the requests of one model. */
export class ModelTokens {
  readonly #options: ModelOptions;
  readonly #engine: EngineClient;
  readonly #methods: readonly EngineMethod[];
  readonly #abort = new AbortController();
  readonly #answers: Record<string, number> = {};
  #state: ModelState;
  #data?: TokenizerData;
  #loading?: Promise<void>;
  #failure?: string;
  #retryAtMs = 0;
  #tokenized = 0;
  #checking = false;
  #checks = 0;
  #mismatches = 0;
  #checksWithoutResult = 0;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#engine = new EngineClient(options);
    const { source, directory, engineFiles } = options;
    const isInProcess = directory !== undefined || (source === "auto" && engineFiles !== undefined);
    this.#state = source === "none"
      ? "none"
      : source === "directory" || (source === "auto" && isInProcess)
      ? "loading"
      : "engine";
    this.#methods = source === "render" || source === "tokenize" ? [source] : ["render", "tokenize"];
  }

  /** As `Tokens.prompt`. */
  prompt(request: PromptRequest, signal?: AbortSignal): Answer | Promise<Answer> {
    const answer = this.#prompt(request, signal);
    return answer instanceof Promise ? answer.then((value) => this.#count(value)) : this.#count(answer);
  }

  /** Resolves when the tokenizer is loaded, or cannot be. */
  async ready(): Promise<void> {
    this.#load();
    await this.#loading;
  }

  status(): ModelStatus {
    return {
      model: this.#options.name,
      state: this.#state,
      failure: this.#failure,
      checks: this.#checks,
      mismatches: this.#mismatches,
      checksWithoutResult: this.#checksWithoutResult,
      answers: { ...this.#answers },
    };
  }

  close(): void {
    this.#abort.abort();
  }

  #count(answer: Answer): Answer {
    const label = isUnavailable(answer) ? answer.reason : answer.source;
    this.#answers[label] = (this.#answers[label] ?? 0) + 1;
    return answer;
  }

  #prompt(request: PromptRequest, signal?: AbortSignal): Answer | Promise<Answer> {
    switch (this.#state) {
      case "none":
        return { reason: "no-source" };
      case "tokenizer":
        return this.#tokenize(request, signal);
      case "engine":
        return bringsIds(request) ? this.#tokenize(request, signal) : this.#askEngine(request, "no-endpoint", signal);
      case "mismatch":
        return this.#askEngine(request, "mismatch", signal);
      case "loading":
      case "failed":
        this.#load();
        return this.#state === "failed" ? this.#askEngine(request, "load-failed", signal) : { reason: "loading" };
    }
  }

  #load(): void {
    const { clock } = this.#options;
    const isDue = this.#state === "loading" || (this.#state === "failed" && clock.now() >= this.#retryAtMs);
    if (!isDue || this.#loading) return;
    this.#loading = this.#loadOnce().finally(() => this.#loading = undefined);
  }

  async #loadOnce(): Promise<void> {
    const { name, settings, workshop } = this.#options;
    try {
      this.#data = await workshop.load(name, await this.#origin(), settings);
      this.#failure = undefined;
      this.#enter("tokenizer");
    } catch (error) {
      const failure = reasonOf(error);
      const isNew = failure !== this.#failure;
      this.#failure = failure;
      this.#retryAtMs = this.#options.clock.now() + retryMs;
      this.#state = "failed";
      if (isNew) this.#options.onState?.(this.status());
    }
  }

  #enter(state: ModelState): void {
    this.#state = state;
    this.#options.onState?.(this.status());
  }

  async #origin(): Promise<TokenizerOrigin> {
    const { directory, engineFiles } = this.#options;
    if (directory !== undefined) return { directory };
    if (!engineFiles) throw new Error("Cannot load the tokenizer as no directory is configured");
    return { archive: await engineFiles() };
  }

  #tokenize(request: PromptRequest, signal?: AbortSignal): Answer | Promise<Answer> {
    const answer = this.#options.workshop.run({ ...request, kind: "prompt" }, signal);
    return answer instanceof Promise
      ? answer.then((value) => this.#settle(request, value, signal))
      : this.#settle(request, answer, signal);
  }

  /** Passes on what this process can know, and asks the engine for the rest. */
  #settle(request: PromptRequest, answer: JobAnswer, signal?: AbortSignal): Answer | Promise<Answer> {
    if ("path" in answer) return { reason: "engine" };
    if (isUnavailable(answer)) {
      if (this.#state === "engine") return this.#askEngine(request, "no-endpoint", signal);
      return forTheEngine.has(answer.reason) ? this.#askEngine(request, answer.reason, signal) : answer;
    }
    if (answer.source === "ids") return answer;
    this.#checkIfDue(request, answer);
    // A tokenizer of the general library is believed once it has agreed with the engine.
    const isProven = this.#data?.byteLevel !== undefined || this.#checks > this.#mismatches;
    return isProven ? answer : this.#askEngine(request, "unproven", signal);
  }

  /** The ids as the engine computes them; `otherwise` where it cannot be asked. */
  #askEngine(request: PromptRequest, otherwise: UnavailableReason, signal?: AbortSignal): Answer | Promise<Answer> {
    const method = this.#methods.find((candidate) => this.#engine.offers(candidate));
    const url = this.#options.url();
    if (method === undefined || url === undefined) return { reason: otherwise };
    const quick = this.#engine.isSlow(url) ? this.#otherUrl() : url;
    return quick === undefined ? { reason: "engine" } : this.#ask(method, quick, request, signal);
  }

  /** A server that is not slow, among the next few. */
  #otherUrl(): string | undefined {
    for (let i = 0; i < serversTried; i++) {
      const url = this.#options.url();
      if (url !== undefined && !this.#engine.isSlow(url)) return url;
    }
    return undefined;
  }

  async #ask(method: EngineMethod, url: string, request: PromptRequest, signal?: AbortSignal): Promise<Answer> {
    const { workshop } = this.#options;
    const prepared = await workshop.run({ ...request, kind: "engine-request", method }, signal);
    if (!("path" in prepared)) return prepared;
    const body = await this.#engine.ask(method, url, prepared, signal ?? this.#abort.signal);
    if (typeof body === "string") return { reason: body };
    const answer = await workshop.run({ kind: "engine-answer", method, body, cacheSalt: prepared.cacheSalt }, signal);
    return "path" in answer ? { reason: "engine" } : answer;
  }

  /** Compares with the engine: the first prompt, then one in `checkEvery`, one at a time, away from the request. */
  #checkIfDue(request: PromptRequest, answer: PromptTokens): void {
    const { checkEvery } = this.#options;
    const isDue = checkEvery > 0 && this.#tokenized++ % checkEvery === 0;
    // The first answer may only tell that the engine lacks an interface.
    const isFirst = this.#checks === 0 && this.#checksWithoutResult < 3;
    if (this.#checking || !(isDue || (isFirst && checkEvery > 0))) return;
    this.#checking = true;
    const copy = { ...request, body: new Uint8Array(request.body) };
    this.#check(copy, answer.tokens).finally(() => this.#checking = false);
  }

  async #check(request: PromptRequest, tokens: Uint32Array): Promise<void> {
    const answer = await this.#askEngine(request, "no-endpoint", this.#abort.signal);
    if (isUnavailable(answer)) {
      this.#checksWithoutResult++;
      return;
    }
    this.#checks++;
    if (answer.tokens.length === tokens.length && answer.tokens.every((id, i) => id === tokens[i])) return;
    this.#mismatches++;
    this.#enter("mismatch");
  }
}

/** Whether requests of this API may hold token ids in place of text. */
function bringsIds({ api }: PromptRequest): boolean {
  return api === "completions" || api === "generate" || api === "sglang-generate";
}
