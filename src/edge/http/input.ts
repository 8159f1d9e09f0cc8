import { headBytesMax, headEnd, Http1Error } from "../../protocol/mod.ts";
import type { ByteStream } from "../../upstream/mod.ts";

/** Idle connections hold this much each: a short request in one read. */
const bufferBytes = 4_096;
/** Long query strings are met in practice; beyond this it is not a path. */
const requestLineMax = 32_768;

const cr = 0x0d, lf = 0x0a;

/**
 * What a client sends, read at most one buffer ahead. One read at a time is under way; while an answer is awaited it tells
 * that the client left, and what it brings are the next requests.
 */
export class Input {
  readonly #stream: ByteStream;
  #buffer: Uint8Array;
  #start = 0;
  #end = 0;
  #reading: Promise<void> | undefined;
  #ended = false;
  #watcher: (() => void) | undefined;

  constructor(stream: ByteStream) {
    this.#stream = stream;
    this.#buffer = new Uint8Array(bufferBytes);
  }

  /** The client has closed its side, or the connection is lost. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes that were read and not taken. */
  get buffered(): number {
    return this.#end - this.#start;
  }

  /** The bytes that were read and not taken; valid until the next read. */
  peek(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Takes the next `n` bytes. */
  take(n: number): Uint8Array {
    const bytes = this.#buffer.subarray(this.#start, this.#start + n);
    this.#start += n;
    return bytes;
  }

  /** Reads more; false when nothing more will come. */
  async fill(): Promise<boolean> {
    if (!this.#reading) this.#read();
    await this.#reading;
    return !this.#ended;
  }

  /** Reads straight into `target` what has not been read yet; 0 when nothing more will come. */
  async readInto(target: Uint8Array): Promise<number> {
    if (this.#start === this.#end && this.#reading) await this.#reading;
    if (this.#start < this.#end) {
      const n = Math.min(target.length, this.#end - this.#start);
      target.set(this.take(n));
      return n;
    }
    if (this.#ended) return 0;
    let n: number | null = null;
    try {
      n = await this.#stream.read(target);
    } catch {
      // Reset is an end like another.
    }
    if (!n) this.#ended = true;
    return n ?? 0;
  }

  /** Keeps a read under way as long as there is room, and calls `onArrival` after each. */
  watch(onArrival: () => void): void {
    this.#watcher = onArrival;
    if (!this.#reading && !this.#ended && this.#room()) this.#read();
  }

  unwatch(): void {
    this.#watcher = undefined;
  }

  /**
   * The length of the head that stands in the buffer with its empty line; 0 while it is not whole. `scanned` of its bytes
   * were looked at before. Throws Http1Error for what will never be one.
   */
  headLength(scanned = 0): number {
    while (this.#start < this.#end && (this.#buffer[this.#start] === cr || this.#buffer[this.#start] === lf)) {
      // A client may send an empty line before its request line (RFC 9112 section 2.2).
      if (this.#buffer[this.#start] === lf || this.#end - this.#start < 2) break;
      if (this.#buffer[this.#start + 1] !== lf) break;
      this.#start += 2;
    }
    const { buffered } = this;
    if (buffered === 0) return 0;
    const first = this.#buffer[this.#start];
    // A method in capitals: TLS, noise and an endless nothing are known by their first byte.
    if ((first < 0x41 || first > 0x5a) && first !== cr) throw new Http1Error("it is not valid HTTP/1.1");
    const end = headEnd(this.#buffer, this.#start, this.#end, this.#start + scanned);
    const length = end < 0 ? buffered : end - this.#start;
    if (length > requestLineMax && this.peek().subarray(0, requestLineMax).indexOf(lf) < 0) {
      throw new Http1Error(`its request line is longer than ${requestLineMax} bytes`, { status: 414 });
    }
    if (length >= headBytesMax) {
      throw new Http1Error(`its head is longer than ${headBytesMax} bytes`, { status: 431 });
    }
    return end < 0 ? 0 : length;
  }

  /** Begins a read into the buffer's free end. */
  #read(): void {
    if (!this.#room()) throw new Http1Error("it does not fit the buffer", { status: 431 });
    this.#reading = this.#stream.read(this.#end === 0 ? this.#buffer : this.#buffer.subarray(this.#end)).then(
      (n) => this.#arrived(n),
      () => this.#arrived(null),
    );
  }

  #arrived(n: number | null): void {
    this.#reading = undefined;
    if (!n) this.#ended = true;
    else this.#end += n;
    this.#watcher?.();
    if (this.#watcher && !this.#ended && !this.#reading && this.#room()) this.#read();
  }

  /** Makes room behind the buffered bytes; false when they are as many as may be. Never while a read is under way. */
  #room(): boolean {
    if (this.#start === this.#end) {
      this.#start = this.#end = 0;
      if (this.#buffer.length > bufferBytes) this.#buffer = new Uint8Array(bufferBytes);
    }
    if (this.#end < this.#buffer.length) return true;
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
      return true;
    }
    if (this.#buffer.length >= headBytesMax) return false;
    const larger = new Uint8Array(this.#buffer.length * 2);
    larger.set(this.#buffer);
    this.#buffer = larger;
    return true;
  }
}
