import type { Socket } from "node:net";
import { concatBytes } from "../../core/mod.ts";

/** ZMTP 3.0 greeting (ZeroMQ RFC 23): signature, version, mechanism NULL, no roles. */
const greetingBytes = 64;
const mechanismAt = 12;

const flagMore = 1, flagLong = 2, flagCommand = 4;

/** The longest message a peer may send: subscriptions and replay requests are a few bytes. */
const receivedBytesMax = 1 << 20;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Role of this side of a connection. */
export type ZmtpRole = "PUB" | "ROUTER";

function greeting(): Uint8Array {
  const bytes = new Uint8Array(greetingBytes);
  bytes[0] = 0xff;
  bytes[9] = 0x7f;
  bytes[10] = 3;
  bytes.set(encoder.encode("NULL"), mechanismAt);
  return bytes;
}

function frame(flags: number, body: Uint8Array): Uint8Array {
  const long = body.length > 255;
  const bytes = new Uint8Array((long ? 9 : 2) + body.length);
  bytes[0] = flags | (long ? flagLong : 0);
  if (long) new DataView(bytes.buffer).setBigUint64(1, BigInt(body.length));
  else bytes[1] = body.length;
  bytes.set(body, long ? 9 : 2);
  return bytes;
}

function property(name: string, value: string): Uint8Array {
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, value.length);
  return concatBytes([Uint8Array.of(name.length), encoder.encode(name), size, encoder.encode(value)]);
}

function command(name: string, body: Uint8Array): Uint8Array {
  return frame(flagCommand, concatBytes([Uint8Array.of(name.length), encoder.encode(name), body]));
}

/** A message as it goes over the wire. */
export function messageBytes(frames: readonly Uint8Array[]): Uint8Array {
  return concatBytes(frames.map((body, i) => frame(i < frames.length - 1 ? flagMore : 0, body)));
}

/** What is done with what a peer sends. */
export interface ZmtpEvents {
  message(frames: readonly Uint8Array[]): void;
  closed(): void;
}

/**
 * One ZeroMQ connection as the side that publishes or resends. It says it speaks 3.0, so that newer peers subscribe by
 * messages and send no pings; a peer that breaks the protocol is cut off.
 */
export class ZmtpPeer {
  readonly #socket: Socket;
  readonly #events: ZmtpEvents;
  #buffer: Uint8Array = new Uint8Array(0);
  #greeted = false;
  #ready = false;
  #frames: Uint8Array[] = [];

  constructor(socket: Socket, role: ZmtpRole, events: ZmtpEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.setNoDelay(true);
    socket.on("data", (bytes) => this.#receive(bytes));
    // The close that follows is what is acted on.
    socket.on("error", () => {});
    socket.on("close", () => events.closed());
    socket.write(greeting());
    socket.write(command("READY", concatBytes([property("Socket-Type", role), property("Identity", "")])));
  }

  /** Bytes that wait for the peer to read. */
  get backlogBytes(): number {
    return this.#socket.writableLength;
  }

  /** Sends what `messageBytes` made, unless the connection is gone or not yet agreed upon. */
  write(bytes: Uint8Array): void {
    if (this.#ready && this.#socket.writable) this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(bytes: Uint8Array): void {
    this.#buffer = this.#buffer.length === 0 ? new Uint8Array(bytes) : concatBytes([this.#buffer, bytes]);
    try {
      if (!this.#greeted && !this.#greet()) return;
      while (this.#takeFrame());
    } catch {
      this.close();
    }
  }

  #greet(): boolean {
    const bytes = this.#buffer;
    if (bytes.length < greetingBytes) return false;
    const mechanism = decoder.decode(bytes.subarray(mechanismAt, mechanismAt + 20)).replace(/\0+$/, "");
    if (bytes[0] !== 0xff || bytes[9] !== 0x7f || bytes[10] < 3 || mechanism !== "NULL") {
      throw new RangeError(`Cannot speak with a peer as it must use ZMTP 3 and NULL: current value is ${mechanism}`);
    }
    this.#buffer = bytes.subarray(greetingBytes);
    return this.#greeted = true;
  }

  #takeFrame(): boolean {
    const bytes = this.#buffer;
    if (bytes.length < 2) return false;
    const flags = bytes[0];
    const long = (flags & flagLong) !== 0;
    if (long && bytes.length < 9) return false;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = long ? Number(view.getBigUint64(1)) : bytes[1];
    if (size > receivedBytesMax) {
      throw new RangeError(`Cannot take a frame as it is too long: current value is ${size}`);
    }
    const start = long ? 9 : 2;
    if (bytes.length < start + size) return false;
    const body = bytes.subarray(start, start + size);
    this.#buffer = bytes.subarray(start + size);
    if (flags & flagCommand) this.#obey(body);
    else this.#collect(body, (flags & flagMore) !== 0);
    return true;
  }

  #collect(body: Uint8Array, more: boolean): void {
    this.#frames.push(body);
    if (this.#frames.length > 16) throw new RangeError("Cannot take a message as it has too many frames");
    if (more) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#events.message(frames);
  }

  /** READY opens the connection; a subscription may come as a command; a ping is answered with its context. */
  #obey(body: Uint8Array): void {
    const name = decoder.decode(body.subarray(1, 1 + body[0]));
    const rest = body.subarray(1 + body[0]);
    if (name === "READY") this.#ready = true;
    else if (name === "SUBSCRIBE") this.#events.message([concatBytes([Uint8Array.of(1), rest])]);
    else if (name === "CANCEL") this.#events.message([concatBytes([Uint8Array.of(0), rest])]);
    else if (name === "PING") this.write(command("PONG", rest.subarray(2)));
  }
}
