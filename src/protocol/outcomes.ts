import type { Outcome, RouterError } from "../core/mod.ts";
import { droppedReasonHeader } from "./headers.ts";
import type { ErrorShape } from "./apis.ts";
import { Fields } from "./http1/mod.ts";

interface OutcomeRow {
  /** Status when the router itself answers. */
  readonly status: number;
  /** OpenAI `error.type`. */
  readonly type: string;
  /** Anthropic `error.type`. */
  readonly anthropicType: string;
  /** OpenAI `error.code` when the error names none. */
  readonly code: string | null;
  /** Value of the dropped-reason header. */
  readonly reason?: string;
  /** Seconds to wait when nothing better is known. */
  readonly retryAfterS?: number;
}

/** The one table from how a request ended to what its client is told. */
export const outcomeTable: Readonly<Record<Outcome, OutcomeRow>> = {
  "completed": row(200, "none", "none", null),
  "client-disconnect": row(499, "client_error", "api_error", "client_disconnected"),
  "upstream-error": row(502, "server_error", "api_error", "upstream_error"),
  "upstream-aborted": row(502, "server_error", "api_error", "upstream_aborted"),
  "upstream-timeout": row(504, "server_error", "timeout_error", "upstream_timeout"),
  "unauthorized": row(401, "invalid_request_error", "authentication_error", "invalid_api_key"),
  "rate-limited": row(429, "rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
  "bad-request": row(400, "invalid_request_error", "invalid_request_error", null),
  "body-too-large": row(413, "invalid_request_error", "request_too_large", "request_too_large"),
  "model-not-found": row(404, "invalid_request_error", "not_found_error", "model_not_found"),
  "not-found": row(404, "invalid_request_error", "not_found_error", "not_found"),
  "not-cached": row(412, "invalid_request_error", "invalid_request_error", "prefix_not_cached"),
  "rejected-overloaded": row(503, "server_error", "overloaded_error", "router_overloaded", "rejected-overloaded", 1),
  "rejected-saturated": row(429, "rate_limit_error", "rate_limit_error", "saturated", "rejected-saturated", 1),
  "rejected-no-endpoints": row(503, "server_error", "overloaded_error", "no_endpoints", "rejected-no-endpoints", 1),
  "rejected-ttl-expired": row(429, "rate_limit_error", "rate_limit_error", "ttl_expired", "rejected-ttl-expired", 1),
  "rejected-slo": row(429, "rate_limit_error", "rate_limit_error", "slo_unmet", "rejected-slo", 1),
  "rejected-context-cancelled": row(503, "server_error", "api_error", "cancelled", "rejected-context-cancelled"),
  "rejected-shutting-down": row(503, "server_error", "overloaded_error", "shutting_down", "rejected-shutting-down", 1),
  "rejected-body-memory": row(503, "server_error", "overloaded_error", "body_memory", "rejected-body-memory", 1),
  "evicted": row(429, "rate_limit_error", "rate_limit_error", "evicted", "evicted", 1),
  "internal-error": row(500, "server_error", "api_error", "internal_error"),
};

function row(
  status: number,
  type: string,
  anthropicType: string,
  code: string | null,
  reason?: string,
  retryAfterS?: number,
): OutcomeRow {
  return { status, type, anthropicType, code, reason, retryAfterS };
}

/** What a client is told of an error. */
export interface ErrorAnswer {
  readonly status: number;
  readonly headers: Fields;
  readonly body: Uint8Array<ArrayBuffer>;
}

const encoder = new TextEncoder();

/** The error's answer in the shape the path's clients read. */
export function errorAnswer(error: RouterError, shape: ErrorShape, requestId: string): ErrorAnswer {
  const row = outcomeTable[error.outcome];
  const headers = new Fields();
  headers.append("content-type", "application/json");
  headers.append("x-request-id", requestId);
  if (row.reason) headers.append(droppedReasonHeader, row.reason);
  const wait = error.retryAfterS ?? row.retryAfterS;
  if (wait !== undefined) headers.append("retry-after", String(Math.ceil(wait)));
  // RFC 9110 section 15.5.2 asks for the scheme.
  if (row.status === 401) headers.append("www-authenticate", "Bearer");
  for (const name in error.headers) headers.append(name, error.headers[name]);
  return { status: row.status, headers, body: encoder.encode(errorBody(error, shape, requestId)) };
}

/** {@link errorAnswer} as a `Response`. */
export function errorResponse(error: RouterError, shape: ErrorShape, requestId: string): Response {
  const { status, headers, body } = errorAnswer(error, shape, requestId);
  return new Response(body, { status, headers: [...headers, ["content-length", String(body.length)]] });
}

/** The error as the JSON the path's clients read. */
export function errorBody(error: RouterError, shape: ErrorShape, requestId: string): string {
  const row = outcomeTable[error.outcome];
  const body = shape === "anthropic"
    ? { type: "error", error: { type: row.anthropicType, message: error.message }, request_id: requestId }
    : {
      error: {
        message: error.message,
        type: row.type,
        param: error.param ?? null,
        code: error.code ?? row.code,
      },
    };
  return JSON.stringify(body);
}
