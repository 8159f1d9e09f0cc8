import { Fields, parseField } from "./fields.ts";
import { Http1Error } from "./text.ts";

/** Stands beside body bytes that pass in their framing; they are not its to keep. */
export interface ByteGate {
  /** Whether a chunk's payload may go on as it is. */
  passes(payload: Uint8Array): boolean;
  /** This payload goes on. */
  chunk(payload: Uint8Array): void;
  /** What was read at once has been looked at. */
  arrived(): void;
}

/** Where bytes go on to: a client's connection. */
export interface ByteSink {
  /** Writes some of the bytes; how many. */
  write(bytes: Uint8Array): Promise<number>;
  /** All bytes of a piece are written. */
  wrote(): void;
}

/** The sink failed: whoever gave the bytes is not to blame. */
export class SinkFailure extends Error {
  override readonly name = "SinkFailure";
}

/** Writes all of the bytes. Throws `SinkFailure`. */
export async function writeTo(sink: ByteSink, bytes: Uint8Array): Promise<void> {
  try {
    let at = await sink.write(bytes);
    while (at < bytes.length) at += await sink.write(bytes.subarray(at));
  } catch (cause) {
    throw new SinkFailure("The client is gone", { cause });
  }
  sink.wrote();
}

const lineBytesMax = 4_096;
const trailerBytesMax = 16_384;

/** Fields that say how a message is framed or where it goes: behind the body they can only be meant to deceive. */
const notInTrailers = ["content-length", "transfer-encoding", "host"];

/** Reads chunked framing (RFC 9112 section 7.1), fed with any cut of its bytes. */
export class ChunkedBody {
  #state: "size" | "data" | "data-end" | "trailer" | "done" = "size";
  #left = 0;
  #line = "";
  #trailerBytes = 0;
  /** Bytes of the last `decode` that were looked at: behind the body's end they belong to the next message. */
  used = 0;

  get done(): boolean {
    return this.#state === "done";
  }

  /** Copies the payload among `bytes` to `out`, which has room for all of them; returns how much it is. */
  decode(bytes: Uint8Array, out: Uint8Array): number {
    let at = 0, size = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state === "data") {
        const n = Math.min(this.#left, bytes.length - at);
        out.set(bytes.subarray(at, at + n), size);
        size += n;
        at += n;
        this.#left -= n;
        if (this.#left === 0) this.#state = "data-end";
      } else {
        at = this.#takeLine(bytes, at);
      }
    }
    this.used = at;
    return size;
  }

  /**
   * Where the whole chunks end that begin at `from` and that `gate` lets pass, each of plain framing and none the last;
   * `from` when there are none or a chunk has begun before.
   */
  whole(bytes: Uint8Array, from: number, to: number, gate: ByteGate): number {
    if (this.#state !== "size" || this.#line !== "") return from;
    for (;;) {
      let at = from, size = 0;
      const last = Math.min(to, at + 7);
      for (let digit = 0; at < last && (digit = hexDigit(bytes[at])) >= 0; at++) size = size * 16 + digit;
      const end = at + 2 + size;
      if (size === 0 || end + 2 > to || !isCrlf(bytes, at) || !isCrlf(bytes, end)) return from;
      const payload = bytes.subarray(at + 2, end);
      if (!gate.passes(payload)) return from;
      gate.chunk(payload);
      from = end + 2;
    }
  }

  #takeLine(bytes: Uint8Array, from: number): number {
    let end = bytes.indexOf(0x0a, from);
    const whole = end >= 0;
    if (!whole) end = bytes.length;
    if (this.#line.length + end - from > lineBytesMax) throw new Http1Error("Chunk line is too long");
    for (let i = from; i < end; i++) this.#line += String.fromCharCode(bytes[i]);
    if (!whole) return end;
    if (!this.#line.endsWith("\r")) throw new Http1Error("Chunk line does not end in CRLF");
    const line = this.#line.slice(0, -1);
    this.#line = "";
    this.#act(line);
    return end + 1;
  }

  #act(line: string): void {
    if (this.#state === "data-end") {
      if (line !== "") throw new Http1Error("Chunk data is longer than its size");
      this.#state = "size";
    } else if (this.#state === "trailer") {
      this.#trailer(line);
    } else {
      const digits = chunkLine.exec(line);
      if (!digits) throw new Http1Error("Chunk size is not hexadecimal");
      this.#left = parseInt(digits[1], 16);
      this.#state = this.#left === 0 ? "trailer" : "data";
    }
  }

  #trailer(line: string): void {
    this.#trailerBytes += line.length;
    if (this.#trailerBytes > trailerBytesMax) throw new Http1Error("Trailers are too long");
    if (line === "") {
      this.#state = "done";
      return;
    }
    const fields = new Fields();
    if (!parseField(line, fields) || notInTrailers.some((name) => fields.has(name))) {
      throw new Http1Error("Cannot read the trailers");
    }
  }
}

const chunkLine = /^([0-9a-fA-F]{1,12})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?$/;

function isCrlf(bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 0x0d && bytes[at + 1] === 0x0a;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** Longest size line that {@link chunkOf} writes: eight digits and CRLF. */
const sizeLineMax = 10;

/** What ends a chunked body. */
export const lastChunk: Uint8Array = Uint8Array.of(0x30, 0x0d, 0x0a, 0x0d, 0x0a);

/** `payload` as one chunk behind `head`, in one buffer. */
export function chunkOf(payload: Uint8Array, head?: Uint8Array): Uint8Array {
  const before = head?.length ?? 0;
  const out = new Uint8Array(before + sizeLineMax + payload.length + 2);
  if (head) out.set(head);
  const line = payload.length.toString(16);
  let at = before;
  for (let i = 0; i < line.length; i++) out[at++] = line.charCodeAt(i);
  out[at++] = 0x0d;
  out[at++] = 0x0a;
  out.set(payload, at);
  at += payload.length;
  out[at++] = 0x0d;
  out[at++] = 0x0a;
  return out.subarray(0, at);
}
