import type { UnavailableReason } from "./types.ts";

/** There are no exact ids for a request, for this reason. */
export class NotExactError extends Error {
  override readonly name = "NotExactError";

  constructor(readonly reason: UnavailableReason, options?: ErrorOptions) {
    super(`Cannot know the exact token ids: ${reason}`, options);
  }
}
