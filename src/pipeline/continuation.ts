import { RouterError } from "../core/mod.ts";
import { ResumableStream } from "../protocol/mod.ts";
import type { AnswerBytes } from "./life.ts";

/** Has another endpoint go on with `stream`: gives its answer's first bytes and the rest. Rejects when none does. */
export type GoOn = (stream: ResumableStream, lost: unknown) => Promise<{ first: Uint8Array; rest: AnswerBytes }>;

/**
 * A stream that outlives the endpoint it comes from. What the client has been told ends with a whole event, so that the
 * next endpoint's answer joins it without a token missing or told twice.
 */
export class ContinuedStream implements AnswerBytes {
  readonly #stream = new ResumableStream();
  readonly #goOn: GoOn;
  #from: AnswerBytes;
  #cancelled = false;
  #ended = false;

  constructor(from: AnswerBytes, goOn: GoOn) {
    this.#from = from;
    this.#goOn = goOn;
  }

  /** The events in bytes that were read of the answer before. */
  push(bytes: Uint8Array): Uint8Array {
    return this.#stream.push(bytes);
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#ended) return null;
      try {
        if (this.#stream.lost) throw new RouterError("upstream-error", "The model server told of a failure");
        const bytes = await this.#from.read();
        if (bytes === null) return this.#end();
        const out = this.#stream.push(bytes);
        if (out.length > 0) return out;
      } catch (error) {
        if (this.#cancelled) throw error;
        const out = await this.#resume(error);
        if (out.length > 0) return out;
      }
    }
  }

  cancel(): void {
    this.#cancelled = true;
    this.#from.cancel();
  }

  #end(): Uint8Array | null {
    const { done, finished, impossible } = this.#stream;
    if (!done && !finished && impossible === undefined) {
      throw new RouterError("upstream-aborted", "The stream ended early");
    }
    this.#ended = true;
    const rest = this.#stream.end();
    return rest.length > 0 ? rest : null;
  }

  /** The next bytes from elsewhere; throws `lost` again when there are none to have. */
  async #resume(lost: unknown): Promise<Uint8Array> {
    const stream = this.#stream;
    if (stream.done || stream.finished) {
      // All of the answer was told: only its end is missing.
      this.#from.cancel();
      this.#ended = true;
      return stream.done ? new Uint8Array() : new TextEncoder().encode("data: [DONE]\n\n");
    }
    const { first, rest } = await this.#goOn(stream, lost);
    this.#from = rest;
    stream.resume();
    return stream.push(first);
  }
}
