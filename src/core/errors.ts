import type { Outcome } from "./outcome.ts";

/** A refusal with everything a client error body needs; the cause is logged and never sent. */
export class RouterError extends Error {
  override readonly name = "RouterError";
  readonly outcome: Outcome;
  /** The request field at fault, in the client's words. */
  readonly param?: string;
  /** Machine-readable OpenAI error code, such as `model_not_found`. */
  readonly code?: string;
  readonly retryAfterS?: number;
  /** Further headers of the answer. */
  readonly headers?: Readonly<Record<string, string>>;

  constructor(
    outcome: Outcome,
    message: string,
    details: {
      param?: string;
      code?: string;
      retryAfterS?: number;
      headers?: Readonly<Record<string, string>>;
      cause?: unknown;
    } = {},
  ) {
    super(message, { cause: details.cause });
    this.outcome = outcome;
    this.param = details.param;
    this.code = details.code;
    this.retryAfterS = details.retryAfterS;
    this.headers = details.headers;
  }

  /** What a request ends with when its client is gone; nobody reads it. */
  static clientLeft(): RouterError {
    return new RouterError("client-disconnect", "The client closed the request");
  }

  /** The one door for foreign errors. */
  static from(error: unknown): RouterError {
    if (error instanceof RouterError) return error;
    return new RouterError("internal-error", "The router failed to handle the request", { cause: error });
  }
}

/** A mistake in what the operator wrote: says where and what was expected. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";

  /** `where` is `file:line` or the flag or variable; `key` the dotted path in the document. */
  constructor(readonly where: string, readonly key: string, readonly expected: string) {
    super(key ? `${where}: ${key}: ${expected}` : `${where}: ${expected}`);
  }
}

/** What a failure says; its name when it says nothing. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.message || error.name;
}
