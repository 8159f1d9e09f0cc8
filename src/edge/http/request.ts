import { RouterError } from "../../core/mod.ts";
import type { Answer } from "../../pipeline/mod.ts";
import type { HeaderFields } from "../../protocol/mod.ts";

/** A request as a port hands it over, whichever HTTP it came by. */
export interface ClientRequest {
  readonly method: string;
  /** Path with query, `/` first. */
  readonly path: string;
  readonly headers: HeaderFields;
  /** Address of the other side of the connection. */
  readonly peer: string;
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal;
  readonly body: ClientBody;
}

/** A request's body as it arrives. */
export interface ClientBody {
  /** Bytes to come as the client declared; 0 for no body, undefined where only its end will tell. */
  readonly length: number | undefined;
  /** Reads into `target`, which is not empty; 0 at the end. Rejects when the body is malformed or the client leaves. */
  readInto(target: Uint8Array): Promise<number>;
}

/** Answers requests. A rejection cuts the connection off. */
export type Handler = (request: ClientRequest) => Answer | Promise<Answer>;

/** The request as the platform's, for code that is written against it; its body stays with the `ClientRequest`. */
export function platformRequest({ method, path, headers, signal }: ClientRequest): Request {
  const copy = new Headers();
  try {
    headers.forEach((value, name) => copy.append(name, value));
    return new Request(`http://router${path}`, { method, headers: copy, signal });
  } catch (cause) {
    throw new RouterError("bad-request", "Cannot read the request: its method, path or headers are malformed", {
      cause,
    });
  }
}
