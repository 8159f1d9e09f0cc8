import type { Api } from "../core/mod.ts";

/** Stretch of a body: byte offsets, the end not included. */
export interface ByteSpan {
  readonly start: number;
  readonly end: number;
}

/** What the router takes from a request body. Optional fields that are absent, or null, are undefined. */
export interface RequestScan {
  readonly ok: true;
  readonly api: Api;
  /** Offset after the opening '{' of the request object. */
  readonly open: number;
  /** The request object has no member. */
  readonly empty: boolean;
  /** The model asked for; a null `model` is undefined here and still has a span. */
  readonly model?: string;
  /** The value of `model`, quotes included. */
  readonly modelSpan?: ByteSpan;
  readonly stream: boolean;
  /** The client's cap on output tokens, a non-negative integer. */
  readonly maxOutputTokens?: number;
  /** Completions asked for, a non-negative integer. */
  readonly n?: number;
  /** `stream_options.include_usage`. */
  readonly includeUsage?: boolean;
  /** The value of `stream_options`, an object or null. */
  readonly streamOptionsSpan?: ByteSpan;
  /** The value of `stream_options.include_usage`. */
  readonly includeUsageSpan?: ByteSpan;
  /** `stream_options` is there and has no member, or is null. */
  readonly streamOptionsEmpty: boolean;
  /** `cache_salt`; `extra_key` of SGLang's native API. A value that is no string is left to the engine. */
  readonly salt?: string;
  /** Adapter named beside the model: `lora_path` of SGLang's native API. */
  readonly adapter?: string;
  readonly previousResponseId?: string;
  readonly user?: string;
  /** Bytes of the whole prompt's text as UTF-8, beyond what is matched too; 0 for token ids. */
  readonly promptBytes: number;
  /** Token ids given, else ceil(promptBytes / 4) plus the media parts' tokens. */
  readonly promptTokens: number;
  /** The prompt was given as token ids. */
  readonly tokenIds: boolean;
  /** Images, audio clips and videos in the prompt. */
  readonly mediaParts: number;
}

/** Why a body cannot be used: invalid JSON, or a field that is missing or of the wrong type. */
export interface ScanFailure {
  readonly ok: false;
  readonly message: string;
  /** The field at fault; absent for invalid JSON. */
  readonly param?: string;
  /** Byte of the body at fault; for a missing field that after the opening '{'. */
  readonly offset: number;
}

export type ScanResult = RequestScan | ScanFailure;
