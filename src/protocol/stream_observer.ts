import { textOf } from "./http1/mod.ts";
import { mergeUsage, readFinishReason, readUsage, type Usage } from "./usage.ts";

// Usage stands in the first event (Anthropic) and in the last ones; what lies between is let go.
const headBytes = 4_096;
const tailBytes = 4_096;
/** Room for twice the tail: its younger half is moved to the front when it is full. */
const roomMax = 2 * tailBytes;
const roomMin = 1_024;

/** Looks at a response body as it passes: counts its bytes, keeps its beginning and end for the usage. */
export class BodyObserver {
  bytes = 0;
  #first: Uint8Array | undefined;
  #tail: Uint8Array | undefined;
  #end = 0;

  /** The first piece is the observer's to keep, so that a short answer is not copied; of later ones it keeps a copy. */
  chunk(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    if (!this.#first) this.#first = bytes;
    else {
      if (!this.#tail) this.#begin(this.#first);
      this.#copy(bytes);
    }
  }

  #begin(first: Uint8Array): void {
    this.#tail = new Uint8Array(roomMin);
    this.#copy(first);
    this.#first = first.subarray(0, headBytes);
  }

  #copy(bytes: Uint8Array): void {
    const kept = bytes.length > tailBytes ? bytes.subarray(bytes.length - tailBytes) : bytes;
    let tail = this.#tail!;
    if (this.#end + kept.length > tail.length) tail = this.#tail = this.#withRoom(tail, kept.length);
    tail.set(kept, this.#end);
    this.#end += kept.length;
  }

  #withRoom(old: Uint8Array, size: number): Uint8Array {
    const from = Math.max(0, this.#end - tailBytes);
    let tail = old;
    if (old.length < roomMax) {
      tail = new Uint8Array(Math.min(roomMax, Math.max(old.length * 4, this.#end + size)));
      tail.set(old.subarray(from, this.#end));
    } else old.copyWithin(0, from, this.#end);
    this.#end -= from;
    return tail;
  }

  /** The last `tailBytes` of the body, and what more of it was kept. */
  tail(): Uint8Array {
    if (this.#tail) return this.#tail.subarray(0, this.#end);
    const first = this.#first ?? new Uint8Array();
    return first.subarray(Math.max(0, first.length - roomMax));
  }

  /** Token counts the server reported, merged over the beginning, the end, and an event taken out of the stream. */
  usage(removed?: Uint8Array): Usage {
    const usage: Usage = {};
    const first = this.#first;
    // A short answer that came in one piece is all in its tail.
    const head = this.#tail || (first && first.length > headBytes) ? first?.subarray(0, headBytes) : undefined;
    for (const part of [head, this.tail(), removed]) {
      const found = part && readUsage(textOf(part));
      if (found) mergeUsage(usage, found);
    }
    return usage;
  }

  /**
   * Events of a stream that have passed, about one a token: counted in what was kept of it, and as many to the byte in what
   * was let go.
   */
  events(): number {
    const tail = this.tail();
    const events = textOf(tail).match(/(?:^|\n)data:/g)?.length ?? 0;
    return tail.length === 0 ? 0 : Math.round(events * this.bytes / tail.length);
  }

  finishReason(): string | undefined {
    return readFinishReason(textOf(this.tail()));
  }
}
