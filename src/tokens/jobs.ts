/** Work on prompts that any isolate can do: the edge's own for short ones, a worker for the rest. */
import { readFileSync } from "node:fs";
import { systemClock } from "../core/mod.ts";
import { type TokenCaches, tokenCaches } from "./encoder.ts";
import { type EngineMethod, type EngineRequest, engineRequest, readEngineAnswer } from "./engine_protocol.ts";
import { type ChatSettings, PromptTokenizer, promptWithoutTokenizer } from "./prompt_tokenizer.ts";
import {
  readTokenizerFiles,
  type TokenizerData,
  type TokenizerFileName,
  tokenizerFileNames,
  type TokenizerFiles,
} from "./tokenizer_files.ts";
import type { PromptRequest, PromptTokens, Unavailable } from "./types.ts";
import { unzip } from "./zip.ts";

/** Where a tokenizer's files are: a folder, or the archive that an engine sent. */
export type TokenizerOrigin = { readonly directory: string } | { readonly archive: Uint8Array };

/** Something to do with one prompt. */
export type Job =
  & ({ readonly kind: "prompt" } | { readonly kind: "engine-request"; readonly method: EngineMethod })
  & PromptRequest;

/** An answer of an engine to read. */
export interface AnswerJob {
  readonly kind: "engine-answer";
  readonly method: EngineMethod;
  readonly body: Uint8Array;
  readonly cacheSalt?: string;
}

export type JobAnswer = PromptTokens | Unavailable | EngineRequest;

/** Does jobs at once, in the isolate that calls. */
export class JobRunner {
  readonly #tokenizers = new Map<string, PromptTokenizer>();

  readonly #caches: TokenCaches;
  readonly #wallMs: () => number;

  /** `cacheBytesMax`: of the token cache, over all models. */
  constructor(cacheBytesMax: number, wallMs: () => number = systemClock.wallMs) {
    this.#caches = tokenCaches(cacheBytesMax);
    this.#wallMs = wallMs;
  }

  get cacheBytes(): number {
    return this.#caches.chunks.bytes + this.#caches.wholes.bytes;
  }

  /** Whether it has a tokenizer for the model. */
  has(model: string): boolean {
    return this.#tokenizers.has(model);
  }

  /** Uses `data` for a model from now on. */
  adopt(model: string, data: TokenizerData, settings: ChatSettings): void {
    this.#tokenizers.set(model, new PromptTokenizer(data, settings, this.#wallMs, this.#caches));
  }

  /** Does the job. Does not throw: a request must neither fail for want of ids nor end a worker. */
  run(job: Job | AnswerJob): JobAnswer {
    try {
      if (job.kind === "engine-answer") return readEngineAnswer(job.method, job.body, job.cacheSalt);
      if (job.kind === "engine-request") return engineRequest(job.method, { ...job, engine: job.engine ?? "vllm" });
      return this.#tokenizers.get(job.model)?.prompt(job) ?? promptWithoutTokenizer(job);
    } catch {
      return { reason: "internal" };
    }
  }
}

/** Reads a tokenizer from its origin; throws where it cannot be used. Takes half a second for a large vocabulary. */
export function loadTokenizer(origin: TokenizerOrigin): TokenizerData {
  return readTokenizerFiles("directory" in origin ? filesIn(origin.directory) : filesOf(origin.archive));
}

function filesIn(directory: string): TokenizerFiles {
  const files = new Map<TokenizerFileName, Uint8Array>();
  for (const name of tokenizerFileNames) {
    try {
      files.set(name, new Uint8Array(readFileSync(`${directory}/${name}`)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return files;
}

function filesOf(archive: Uint8Array): TokenizerFiles {
  const isWanted = (name: string): name is TokenizerFileName =>
    (tokenizerFileNames as readonly string[]).includes(name);
  return unzip(archive, isWanted) as Map<TokenizerFileName, Uint8Array>;
}
