import { ChunkedBody } from "./chunked.ts";
import type { Http1ResponseHead, RequestHead } from "./head.ts";
import { Http1Error } from "./text.ts";

/** How the end of a body is told. */
export type Framing =
  | { kind: "none" }
  | { kind: "length"; left: number }
  | { kind: "chunked"; body: ChunkedBody }
  | { kind: "until-close" };

export const noBody: Framing = { kind: "none" };

/** Whether an answer to `method` has no body, whatever its headers say. */
export function hasNoBody(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/** RFC 9112 section 6.3 for a response to `method`, refusing what it calls unrecoverable. */
export function responseFraming(method: string, { status, headers }: Http1ResponseHead): Framing {
  if (hasNoBody(method, status)) return noBody;
  const encoding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (encoding !== null) return chunked(encoding, length);
  if (length === null) return { kind: "until-close" };
  const values = new Set(length.split(",").map((value) => value.trim()));
  const [value] = values;
  if (values.size !== 1 || !/^\d{1,15}$/.test(value)) {
    throw new Http1Error(`Cannot read content-length ${JSON.stringify(length)}`);
  }
  const left = Number(value);
  return left === 0 ? noBody : { kind: "length", left };
}

/**
 * RFC 9112 section 6.3 for a request. A length that is said twice, even alike, is refused: whoever forwarded it so did not
 * read it as we would. So are chunks under HTTP/1.0, which a proxy in front may have passed on unread.
 */
export function requestFraming({ minor, headers }: RequestHead): Framing {
  const encoding = headers.get("transfer-encoding");
  const length = headers.get("content-length");
  if (encoding !== null) {
    if (minor === 0) throw new Http1Error("it has transfer-encoding in HTTP/1.0");
    return chunked(encoding, length);
  }
  if (length === null) return noBody;
  // Above 2^53 a length is inexact, and above any limit.
  if (!/^\d{1,18}$/.test(length)) throw new Http1Error(`Cannot read content-length ${JSON.stringify(length)}`);
  const left = Number(length);
  return left === 0 ? noBody : { kind: "length", left };
}

function chunked(encoding: string, length: string | null): Framing {
  if (length !== null) throw new Http1Error("it has both transfer-encoding and content-length");
  if (encoding.trim().toLowerCase() !== "chunked") {
    throw new Http1Error(`Cannot read transfer-encoding ${JSON.stringify(encoding)}`);
  }
  return { kind: "chunked", body: new ChunkedBody() };
}
