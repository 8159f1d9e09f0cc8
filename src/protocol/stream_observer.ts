import { asciiText, mergeUsage, readFinishReason, readUsage, type Usage } from "./usage.ts";

// Usage stands in the first event (Anthropic) and in the last ones; what lies between is let go.
const headBytes = 4_096;
const tailBytes = 4_096;
/** Room for twice the tail: its younger half is moved to the front when it is full. */
const roomMax = 2 * tailBytes;
const roomMin = 1_024;

const none = new Uint8Array();

/** Looks at a response body as it passes: counts its bytes, keeps a copy of its beginning and end for the usage. */
export class BodyObserver {
  bytes = 0;
  #head: Uint8Array | undefined;
  #tail: Uint8Array = none;
  #end = 0;

  chunk(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.#head ??= bytes.slice(0, headBytes);
    const kept = bytes.length > tailBytes ? bytes.subarray(bytes.length - tailBytes) : bytes;
    if (this.#end + kept.length > this.#tail.length) this.#makeRoom(kept.length);
    this.#tail.set(kept, this.#end);
    this.#end += kept.length;
  }

  #makeRoom(size: number): void {
    const old = this.#tail;
    const from = Math.max(0, this.#end - tailBytes);
    if (old.length < roomMax) {
      this.#tail = new Uint8Array(Math.min(roomMax, Math.max(roomMin, old.length * 4, this.#end + size)));
      this.#tail.set(old.subarray(from, this.#end));
    } else old.copyWithin(0, from, this.#end);
    this.#end -= from;
  }

  /** The last `tailBytes` of the body, and what more of it was kept. */
  tail(): Uint8Array {
    return this.#tail.subarray(0, this.#end);
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
