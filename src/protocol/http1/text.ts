import { Buffer } from "node:buffer";

/** A message that breaks HTTP/1.1, or a connection that ended inside one. */
export class Http1Error extends Error {
  override readonly name = "Http1Error";

  /** `status` is what a server answers to it. */
  constructor(message: string, options: { readonly status?: number; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.status = options.status ?? 400;
  }

  readonly status: number;
}

/** Bytes as text, one character a byte: `TextDecoder`'s latin1 is windows-1252 and changes some of them. */
export function textOf(bytes: Uint8Array): string {
  // 80 ns for a common head; `String.fromCharCode` needs 500 to 3,700.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

/** Text of one character a byte as bytes, with `room` more behind it. */
export function bytesOf(text: string, room = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length + room);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * Where the head that begins at `from` ends: the place behind its empty line, or -1 while that has not come. Lines are
 * searched from `scanned`. Throws for a line that ends in a bare LF: nothing that begins so will become a head.
 */
export function headEnd(bytes: Uint8Array, from: number, end: number, scanned: number): number {
  const seen = end === bytes.length ? bytes : bytes.subarray(0, end);
  for (let at = seen.indexOf(0x0a, Math.max(from, scanned)); at >= 0; at = seen.indexOf(0x0a, at + 1)) {
    if (at === from || bytes[at - 1] !== 0x0d) throw new Http1Error("A line ends in a bare LF");
    if (at >= from + 3 && bytes[at - 2] === 0x0a) return at + 1;
  }
  return -1;
}
