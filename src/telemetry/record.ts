import type { Api, Outcome, Slo } from "../core/mod.ts";

/** Whom a request's series belong to. */
export interface RequestLabels {
  /** As the client named it. */
  readonly model: string;
  /** As the endpoint was asked. */
  readonly targetModel: string;
  readonly fairnessId: string;
  readonly priority: number;
}

/** One request after its end: what metrics and the access log say of it. Absent means unknown or not reached. */
export interface RequestRecord extends RequestLabels {
  readonly id: string;
  readonly api: Api;
  readonly method: string;
  /** Without query. */
  readonly path: string;
  /** Id of the API key, and its tenant. */
  readonly key?: string;
  readonly tenant?: string;
  readonly stream: boolean;
  readonly outcome: Outcome;
  /** As sent to the client; 0 when it left before. */
  readonly status: number;
  readonly durationMs: number;
  /** Request line to first byte of the answer. */
  readonly ttftMs?: number;
  /** Of a completed stream: from the first token to the last, over the tokens after the first. */
  readonly tpotMs?: number;
  /** Expected at the endpoint that served it: until the first token from the request going upstream, and as `tpotMs`. */
  readonly predictedTtftMs?: number;
  readonly predictedTpotMs?: number;
  /** The targets it had. */
  readonly slo?: Slo;
  /** Request line to the request going upstream. */
  readonly processingMs?: number;
  /** The decision alone. */
  readonly decisionMs?: number;
  /** Waited for an endpoint with room; absent where it did not. */
  readonly queuedMs?: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** As the engine reported. */
  readonly promptTokens?: number;
  readonly cachedTokens?: number;
  readonly outputTokens?: number;
  readonly finishReason?: string;
  /** The endpoint that served it last. */
  readonly endpoint?: { readonly name: string; readonly namespace: string };
  readonly profile?: string;
  /** Leading prompt tokens the endpoint was believed to hold. */
  readonly matchedTokens?: number;
  readonly attempts: number;
  /** How often the answer went on from another endpoint; absent: never. */
  readonly continuations?: number;
  readonly rewriteRule?: string;
  readonly traceId?: string;
  /** Why it failed, for operators. */
  readonly error?: string;
}

/** llm-d's error code for each outcome; its model servers' failures are all one. Undefined is success. */
export const errorCodes: Readonly<Record<Outcome, string | undefined>> = {
  "completed": undefined,
  "client-disconnect": "ClientDisconnect",
  "upstream-error": "ModelServerError",
  "upstream-aborted": "ModelServerError",
  "upstream-timeout": "ModelServerError",
  "unauthorized": "Unauthorized",
  "rate-limited": "ResourceExhausted",
  "bad-request": "BadRequest",
  "body-too-large": "BadRequest",
  "model-not-found": "NotFound",
  "not-found": "NotFound",
  "not-cached": "PreconditionFailed",
  "rejected-overloaded": "ServiceUnavailable",
  "rejected-saturated": "ResourceExhausted",
  "rejected-no-endpoints": "ServiceUnavailable",
  "rejected-ttl-expired": "ResourceExhausted",
  "rejected-slo": "ResourceExhausted",
  "rejected-context-cancelled": "ServiceUnavailable",
  "rejected-shutting-down": "ServiceUnavailable",
  "rejected-body-memory": "ServiceUnavailable",
  "evicted": "ResourceExhausted",
  "internal-error": "Internal",
};
