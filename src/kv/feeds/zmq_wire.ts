/**
 * ZMTP 3.1, the wire protocol of ZeroMQ, as far as a SUB or DEALER that dials out needs it: greeting, NULL handshake,
 * messages, subscriptions and pings (ZeroMQ RFC 37; RFC 23 for peers of 3.0).
 */
import { concatBytes } from "../../core/mod.ts";

/** The peer does not speak ZMTP 3, or not as agreed. */
export class ZmtpError extends Error {
  override readonly name = "ZmtpError";
}

/** One thing a peer sent. Bytes are views of the reader's buffer, valid until it is filled again. */
export type ZmtpItem =
  | { readonly command: undefined; readonly frames: readonly Uint8Array[] }
  | { readonly command: string; readonly body: Uint8Array };

const flag = { More: 1, Long: 2, Command: 4 } as const;
const shortBytesMax = 255;
const longHeaderBytes = 9;

export const greetingBytes = 64;
const signatureEnd = 9;
const majorAt = 10;
const minorAt = 11;
const mechanismAt = 12;
const mechanismBytes = 20;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What either side sends first: version 3.1, mechanism NULL. */
export function greeting(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(greetingBytes);
  bytes[0] = 0xff;
  bytes[signatureEnd] = 0x7f;
  bytes[majorAt] = 3;
  bytes[minorAt] = 1;
  bytes.set(encoder.encode("NULL"), mechanismAt);
  return bytes;
}

/** Minor version of a peer's greeting. Throws `ZmtpError` when it is none, of an older major version or wants security. */
export function readGreeting(bytes: Uint8Array): number {
  if (bytes[0] !== 0xff || bytes[signatureEnd] !== 0x7f) throw new ZmtpError("the peer does not speak ZMTP");
  if (bytes[majorAt] < 3) throw new ZmtpError(`the peer speaks ZMTP ${bytes[majorAt]}, version 3 is needed`);
  const mechanism = decoder.decode(bytes.subarray(mechanismAt, mechanismAt + mechanismBytes)).replace(/\0+$/, "");
  if (mechanism !== "NULL") throw new ZmtpError(`the peer asks for the security mechanism ${mechanism}`);
  return bytes[minorAt];
}

/** A command, framed. */
export function commandBytes(name: string, body: Uint8Array = new Uint8Array()): Uint8Array<ArrayBuffer> {
  return frame(concatBytes([Uint8Array.of(name.length), encoder.encode(name), body]), flag.Command);
}

/** The end of the handshake. */
export function readyCommand(socketType: "SUB" | "DEALER"): Uint8Array<ArrayBuffer> {
  return commandBytes("READY", concatBytes([property("Socket-Type", socketType), property("Identity", "")]));
}

/** What a peer says of itself in READY, by lower-case name. */
export function readProperties(body: Uint8Array): Map<string, string> {
  const properties = new Map<string, string>();
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  for (let at = 0; at < body.length;) {
    const nameEnd = at + 1 + body[at];
    const valueAt = nameEnd + 4;
    if (valueAt > body.length) throw new ZmtpError("the peer's READY is cut off");
    const valueEnd = valueAt + view.getUint32(nameEnd);
    if (valueEnd > body.length) throw new ZmtpError("the peer's READY is cut off");
    const name = decoder.decode(body.subarray(at + 1, nameEnd)).toLowerCase();
    properties.set(name, decoder.decode(body.subarray(valueAt, valueEnd)));
    at = valueEnd;
  }
  return properties;
}

/** Asks a publisher for the topics that begin with `prefix`; 3.0 has no command for it. */
export function subscribeBytes(prefix: string, peerMinor: number): Uint8Array<ArrayBuffer> {
  const topic = encoder.encode(prefix);
  return peerMinor > 0 ? commandBytes("SUBSCRIBE", topic) : messageBytes([concatBytes([Uint8Array.of(1), topic])]);
}

/** A message of these frames. */
export function messageBytes(frames: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return concatBytes(frames.map((body, i) => frame(body, i < frames.length - 1 ? flag.More : 0))) as Uint8Array<
    ArrayBuffer
  >;
}

function property(name: string, value: string): Uint8Array {
  const bytes = concatBytes([
    Uint8Array.of(name.length),
    encoder.encode(name),
    new Uint8Array(4),
    encoder.encode(value),
  ]);
  new DataView(bytes.buffer).setUint32(1 + name.length, value.length);
  return bytes;
}

function frame(body: Uint8Array, flags: number): Uint8Array<ArrayBuffer> {
  const isLong = body.length > shortBytesMax;
  const bytes = new Uint8Array((isLong ? longHeaderBytes : 2) + body.length);
  bytes[0] = isLong ? flags | flag.Long : flags;
  if (isLong) new DataView(bytes.buffer).setBigUint64(1, BigInt(body.length));
  else bytes[1] = body.length;
  bytes.set(body, bytes.length - body.length);
  return bytes;
}

/** Capacity of an idle reader, and what it goes back to after a large message. */
const restingBytes = 16 << 10;

/** Frames of a message: the protocols here have at most five. */
const framesMax = 8;

/** Cuts what a socket gives into messages and commands. */
export class ZmtpReader {
  readonly #messageBytesMax: number;
  #bytes = new Uint8Array(restingBytes);
  #start = 0;
  #end = 0;

  constructor(messageBytesMax: number) {
    this.#messageBytesMax = messageBytesMax;
  }

  /** Where to read to; then `filled`. Views given out before are no longer valid. */
  space(): Uint8Array<ArrayBuffer> {
    const held = this.#end - this.#start;
    if (held === 0 && this.#bytes.length > restingBytes * 16) this.#bytes = new Uint8Array(restingBytes);
    else if (held * 2 > this.#bytes.length) {
      const bytes = new Uint8Array(this.#bytes.length * 2);
      bytes.set(this.#bytes.subarray(this.#start, this.#end));
      this.#bytes = bytes;
    } else if (held > 0) this.#bytes.copyWithin(0, this.#start, this.#end);
    this.#start = 0;
    this.#end = held;
    return this.#bytes.subarray(held);
  }

  filled(bytes: number): void {
    this.#end += bytes;
  }

  /** The next `count` bytes as they are; undefined while they are not there. */
  take(count: number): Uint8Array | undefined {
    if (this.#end - this.#start < count) return undefined;
    this.#start += count;
    return this.#bytes.subarray(this.#start - count, this.#start);
  }

  /** The next message or command; undefined when it is not there as a whole. Throws `ZmtpError` on what is neither. */
  next(): ZmtpItem | undefined {
    const frames: Uint8Array[] = [];
    for (let at = this.#start;;) {
      if (this.#end - at < 2) return undefined;
      const flags = this.#bytes[at];
      if (flags > 7) throw new ZmtpError(`the peer sent a frame with flags ${flags}`);
      const isLong = (flags & flag.Long) !== 0;
      if (isLong && this.#end - at < longHeaderBytes) return undefined;
      const bodyAt = at + (isLong ? longHeaderBytes : 2);
      const length = isLong ? this.#longLength(at + 1) : this.#bytes[at + 1];
      at = bodyAt + length;
      if (at - this.#start > this.#messageBytesMax) {
        throw new ZmtpError(`the peer sent a message above ${this.#messageBytesMax} bytes`);
      }
      if (at > this.#end) return undefined;
      const body = this.#bytes.subarray(bodyAt, at);
      if (flags & flag.Command) {
        this.#start = at;
        return command(body);
      }
      frames.push(body);
      if (frames.length > framesMax) throw new ZmtpError(`the peer sent a message of more than ${framesMax} frames`);
      if (!(flags & flag.More)) {
        this.#start = at;
        return { command: undefined, frames };
      }
    }
  }

  #longLength(at: number): number {
    const view = new DataView(this.#bytes.buffer, at, 8);
    return view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  }
}

function command(body: Uint8Array): ZmtpItem {
  const nameEnd = 1 + body[0];
  if (body.length < nameEnd) throw new ZmtpError("the peer sent a command without a name");
  return { command: decoder.decode(body.subarray(1, nameEnd)), body: body.subarray(nameEnd) };
}
