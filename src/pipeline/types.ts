import type { Api } from "../core/mod.ts";
import type { Caller } from "../keys/mod.ts";
import type { ErrorShape, HeaderFields } from "../protocol/mod.ts";

/** One request as the edge hands it over: the body read and bounded, nothing else done. */
export interface Inbound {
  readonly id: string;
  readonly api: Api;
  readonly method: string;
  /** Path with query, as it goes to the model server. */
  readonly path: string;
  readonly headers: HeaderFields;
  /** Absent when the request has none, and once the answer has begun: a long answer does not hold its prompt. */
  body?: Uint8Array;
  /** Gives back what memory the body was accounted for; does nothing when called again. */
  readonly releaseBody?: () => void;
  readonly errorShape: ErrorShape;
  /** Whose key it came with; absent where none is asked for. */
  readonly caller?: Caller;
  /** Aborts when the client goes. */
  readonly signal: AbortSignal;
  readonly receivedAtMs: number;
}
