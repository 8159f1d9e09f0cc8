import { asciiText, mergeUsage, readFinishReason, readUsage, type Usage } from "./usage.ts";

// Usage stands in the first event (Anthropic) and in the last ones; what lies between is counted and let go.
const headBytes = 4_096;
const tailBytes = 8_192;

/** Looks at a response body as it passes: counts bytes and events, keeps its beginning and end for the usage. */
export class BodyObserver {
  bytes = 0;
  /** `data:` events of a stream. */
  events = 0;
  readonly #sse: boolean;
  #head: Uint8Array | undefined;
  #tail: Uint8Array[] = [];
  #tailBytes = 0;
  #lineEnd = -3;
  #lastByte = 0;

  constructor(sse: boolean) {
    this.#sse = sse;
  }

  chunk(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.#head ??= bytes.subarray(0, headBytes);
    this.#tail.push(bytes);
    this.#tailBytes += bytes.length;
    while (this.#tailBytes - this.#tail[0].length >= tailBytes) this.#tailBytes -= this.#tail.shift()!.length;
    if (this.#sse) this.#countEvents(bytes);
  }

  /** Events are counted by the empty line that ends each; places are counted from the start of the body. */
  #countEvents(bytes: Uint8Array): void {
    const start = this.bytes - bytes.length;
    for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
      const distance = start + at - this.#lineEnd;
      this.#lineEnd = start + at;
      if (distance === 1 || (distance === 2 && (at > 0 ? bytes[at - 1] : this.#lastByte) === 0x0d)) {
        this.events++;
        this.#lineEnd = -3;
      }
    }
    this.#lastByte = bytes[bytes.length - 1];
  }

  /** The last `tailBytes` or more of the body. */
  tail(): Uint8Array {
    if (this.#tail.length === 1) return this.#tail[0].subarray(Math.max(0, this.#tail[0].length - tailBytes));
    const out = new Uint8Array(this.#tailBytes);
    let at = 0;
    for (const part of this.#tail) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }

  /** Token counts the server reported, merged over the beginning, the end, and an event taken out of the stream. */
  usage(removed?: Uint8Array): Usage {
    const usage: Usage = {};
    for (const part of [this.#head, this.tail(), removed]) {
      const found = part && readUsage(asciiText(part));
      if (found) mergeUsage(usage, found);
    }
    return usage;
  }

  finishReason(): string | undefined {
    return readFinishReason(asciiText(this.tail()));
  }
}
