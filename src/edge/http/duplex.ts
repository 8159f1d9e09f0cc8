import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { closeQuietly, writeAll } from "../../core/mod.ts";
import type { ClientStream } from "./http1_connection.ts";

const readBytes = 16_384;

/** A connection as Node's stream, for its HTTP/2. */
export class ConnectionDuplex extends Duplex {
  readonly #stream: ClientStream;
  #begun: Uint8Array | undefined;
  #reading = false;

  /** `begun` are bytes that were read already. */
  constructor(stream: ClientStream, begun: Uint8Array | undefined) {
    super();
    this.#stream = stream;
    this.#begun = begun;
  }

  override _read(): void {
    if (this.#begun) {
      const { buffer, byteOffset, length } = this.#begun;
      this.#begun = undefined;
      this.push(Buffer.from(buffer, byteOffset, length));
      return;
    }
    if (this.#reading) return;
    this.#reading = true;
    // Node's readers keep what they are given, so each read has a buffer of its own.
    const into = Buffer.allocUnsafeSlow(readBytes);
    this.#stream.read(into).then((n) => {
      this.#reading = false;
      this.push(n ? into.subarray(0, n) : null);
    }, () => void this.destroy());
  }

  override _write(bytes: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    writeAll(this.#stream, bytes).then(() => done(), (error) => done(error));
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    closeQuietly(this.#stream);
    done(error);
  }
}
