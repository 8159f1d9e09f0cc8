import type { ByteSink, HeaderFields } from "../protocol/mod.ts";

/** Body bytes as they come. Who holds one reads it to its end or cancels it. */
export interface BodySource {
  /** The next bytes, the reader's to keep; null at the end. Rejects when the body breaks off. */
  read(): Promise<Uint8Array | null>;
  /**
   * Writes `head`, then all of the body in chunked framing, the last chunk included: for a client that reads chunks the
   * shorter way, as bytes pass as they came. One reads or pumps. Rejects with `SinkFailure` when the sink fails, or when
   * the body breaks off.
   */
  pump?(sink: ByteSink, head: Uint8Array): Promise<void>;
  /** Nobody wants the rest. Does nothing after the end. */
  cancel(): void;
}

/** What a client is answered. Framing and connection headers are the port's. */
export interface Answer {
  readonly status: number;
  readonly headers: HeaderFields;
  readonly body: Uint8Array | BodySource | null;
}

/** Whether a body comes piece by piece. */
export function isSource(body: Answer["body"]): body is BodySource {
  return body !== null && !(body instanceof Uint8Array);
}

/** The answer that a `Response` is. */
export function answerOf({ status, headers, body }: Response): Answer {
  if (!body) return { status, headers, body };
  const reader = body.getReader();
  const source: BodySource = {
    read: async () => (await reader.read()).value ?? null,
    cancel: () => void reader.cancel().catch(() => {}),
  };
  return { status, headers, body: source };
}
