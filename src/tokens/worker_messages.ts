import type { AnswerJob, Job, JobAnswer, TokenizerOrigin } from "./jobs.ts";
import type { ChatSettings } from "./prompt_tokenizer.ts";
import type { TokenizerData } from "./tokenizer_files.ts";

/** What a worker is told. It answers `load` and `job`, one at a time, in order. */
export type ToWorker =
  | { readonly kind: "start"; readonly cacheBytesMax: number }
  | { readonly kind: "load"; readonly origin: TokenizerOrigin }
  | { readonly kind: "adopt"; readonly model: string; readonly data: TokenizerData; readonly settings: ChatSettings }
  | { readonly kind: "job"; readonly job: Job | AnswerJob };

/** What a worker says. */
export type FromWorker =
  | { readonly kind: "loaded"; readonly data: TokenizerData }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "done"; readonly answer: JobAnswer; readonly cacheBytes: number };
