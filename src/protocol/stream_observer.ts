import { concatBytes } from "../core/mod.ts";
import { asciiText, mergeUsage, readFinishReason, readUsage, type Usage } from "./usage.ts";

// Usage stands in the first event (Anthropic) and in the last ones; what lies between is let go.
const headBytes = 4_096;
const tailBytes = 4_096;

/** Looks at a response body as it passes: counts its bytes, keeps its beginning and end for the usage. */
export class BodyObserver {
  bytes = 0;
  #head: Uint8Array | undefined;
  #tail: Uint8Array[] = [];
  #tailBytes = 0;

  chunk(bytes: Uint8Array): void {
    this.bytes += bytes.length;
    this.#head ??= bytes.subarray(0, headBytes);
    this.#tail.push(bytes);
    this.#tailBytes += bytes.length;
    while (this.#tailBytes - this.#tail[0].length >= tailBytes) this.#tailBytes -= this.#tail.shift()!.length;
  }

  /** The last `tailBytes` of the body, and what more of it was kept. */
  tail(): Uint8Array {
    const kept = concatBytes(this.#tail);
    return kept.subarray(Math.max(0, kept.length - 2 * tailBytes));
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

  /**
   * Events of a stream that have passed, about one a token: counted in what was kept of it, and as many to the byte in what
   * was let go.
   */
  events(): number {
    const tail = this.tail();
    const events = asciiText(tail).match(/(?:^|\n)data:/g)?.length ?? 0;
    return tail.length === 0 ? 0 : Math.round(events * this.bytes / tail.length);
  }

  finishReason(): string | undefined {
    return readFinishReason(asciiText(this.tail()));
  }
}
