/**
 * The server is there and cannot feed, or this process cannot read such a feed: trying again soon changes nothing. The
 * caller says why and asks again after `retryAfterMs`.
 */
export class FeedUnsupported extends Error {
  override readonly name = "FeedUnsupported";

  constructor(message: string, readonly retryAfterMs = 300_000, options?: { cause?: unknown }) {
    super(message, options);
  }
}
