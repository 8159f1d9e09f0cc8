import type { Clock } from "../core/mod.ts";
import type { RequestRecord } from "./record.ts";
import { scrubText } from "./scrub.ts";

export interface AccessLogOptions {
  /** Receives one line without its newline: standard output, or a test's list. */
  readonly write: (line: string) => void;
  readonly clock: Clock;
}

/** Microseconds are the least that means anything here. */
function rounded(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms * 1000) / 1000;
}

// Names come from clients: a path may be as long as a header block allows.
const nameCharsMax = 512;

function cut(name: string): string {
  return name.length > nameCharsMax ? name.slice(0, nameCharsMax) + "…" : name;
}

/**
 * One JSON line a request, written at its end: who asked for what, where it went, how long it took, how it ended.
 * Neither prompts nor headers are in it; unknown fields are left out.
 */
export class AccessLog {
  readonly #options: AccessLogOptions;

  constructor(options: AccessLogOptions) {
    this.#options = options;
  }

  write(record: RequestRecord): void {
    const line = {
      time: new Date(this.#options.clock.wallMs()).toISOString(),
      id: cut(record.id),
      method: record.method,
      path: cut(record.path),
      api: record.api,
      status: record.status,
      outcome: record.outcome,
      model: cut(record.model),
      target_model: record.targetModel === record.model ? undefined : cut(record.targetModel),
      rewrite: record.rewriteRule,
      key: record.key,
      tenant: record.tenant,
      fairness_id: cut(record.fairnessId),
      priority: record.priority,
      stream: record.stream,
      endpoint: record.endpoint?.name,
      profile: record.profile,
      attempts: record.attempts,
      continuations: record.continuations,
      duration_ms: rounded(record.durationMs),
      ttft_ms: rounded(record.ttftMs),
      predicted_ttft_ms: rounded(record.predictedTtftMs),
      tpot_ms: rounded(record.tpotMs),
      predicted_tpot_ms: rounded(record.predictedTpotMs),
      processing_ms: rounded(record.processingMs),
      decision_ms: rounded(record.decisionMs),
      queued_ms: rounded(record.queuedMs),
      request_bytes: record.requestBytes,
      response_bytes: record.responseBytes,
      prompt_tokens: record.promptTokens,
      cached_tokens: record.cachedTokens,
      matched_tokens: record.matchedTokens,
      output_tokens: record.outputTokens,
      finish_reason: record.finishReason,
      trace_id: record.traceId,
      error: record.error === undefined ? undefined : scrubText(record.error),
    };
    this.#options.write(JSON.stringify(line));
  }
}
