import type { HeaderFields } from "../protocol/mod.ts";

/** Body bytes as they come. Who holds one reads it to its end or cancels it. */
export interface BodySource {
  /** The next bytes, the reader's to keep; null at the end. Rejects when the body breaks off. */
  read(): Promise<Uint8Array | null>;
  /**
   * The next bytes in chunked framing, valid until the next call; null at the end, whose last chunk is the caller's to
   * write. For a client that reads chunks this is the shorter way: bytes pass as they came. One reads by one of the two.
   */
  readFramed?(): Promise<Uint8Array | null>;
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
