import { concatBytes, type Outcome, RouterError } from "../core/mod.ts";
import {
  type BodyEdit,
  type ByteGate,
  type ByteSink,
  chunkOf,
  errorBody,
  type ErrorShape,
  lastChunk,
  SinkFailure,
  writeTo,
} from "../protocol/mod.ts";
import type { BodySource } from "./answer.ts";
import { upstreamError } from "./attempt.ts";
import type { RequestLife } from "./life.ts";

/** An answer of 5xx is the server's failure even when it arrives whole; one of 4xx is what the request deserved. */
export function outcomeOf(status: number): Outcome {
  return status >= 500 ? "upstream-error" : "completed";
}

export function applyEdits(edits: readonly BodyEdit[], bytes: Uint8Array, last: boolean): Uint8Array<ArrayBuffer> {
  let out = bytes;
  for (const edit of edits) {
    out = edit.push(out);
    if (!last) continue;
    const rest = edit.end();
    if (rest.length > 0) out = concatBytes([out, rest]);
  }
  return out as Uint8Array<ArrayBuffer>;
}

/** The rest of the body, read from the server only as the client takes it: nothing is buffered here beyond one read. */
export class AnswerBody implements BodySource, ByteGate {
  readonly #life: RequestLife;
  readonly #edits: readonly BodyEdit[];
  readonly #sse: boolean;
  #first: Uint8Array | undefined;
  #done = false;

  constructor(life: RequestLife, first: Uint8Array, edits: readonly BodyEdit[], sse: boolean) {
    this.#life = life;
    this.#first = first;
    this.#edits = edits;
    this.#sse = sse;
  }

  async read(): Promise<Uint8Array | null> {
    if (this.#done) return null;
    try {
      for (;;) {
        const bytes = this.#first ?? await this.#life.exchange!.read();
        if (bytes === null) return this.#end();
        if (this.#first) this.#first = undefined;
        else this.#life.sawChunk(bytes);
        const out = this.#edited(bytes);
        if (out.length > 0) return out;
      }
    } catch (error) {
      return this.#breakOff(error);
    }
  }

  async pump(sink: ByteSink, head: Uint8Array): Promise<void> {
    let start: Uint8Array | undefined = head;
    while (!this.#done) {
      let bytes: Uint8Array | null;
      try {
        bytes = await this.#nextPumped(start ? undefined : sink);
        bytes = bytes === null ? this.#end() : this.#edited(bytes);
      } catch (error) {
        if (error instanceof SinkFailure) throw error;
        bytes = this.#breakOff(error);
      }
      if (!bytes || bytes.length === 0) continue;
      await writeTo(sink, chunkOf(bytes, start));
      start = undefined;
    }
    await writeTo(sink, start ? concatBytes([start, lastChunk]) : lastChunk);
  }

  /** The next bytes that do not pass in their own framing; the first piece goes out with the head. */
  async #nextPumped(sink: ByteSink | undefined): Promise<Uint8Array | null> {
    const first = this.#first;
    this.#first = undefined;
    if (first) return first;
    const exchange = this.#life.exchange!;
    const bytes = sink && exchange.pump ? await exchange.pump(this, sink) : await exchange.read();
    if (bytes) this.#life.sawChunk(bytes);
    return bytes;
  }

  passes(payload: Uint8Array): boolean {
    for (const edit of this.#edits) if (!edit.passes(payload)) return false;
    return true;
  }

  chunk(payload: Uint8Array): void {
    this.#life.observer!.chunk(payload);
  }

  arrived(): void {
    this.#life.arrived();
  }

  #edited(bytes: Uint8Array): Uint8Array {
    return this.#edits.length > 0 ? applyEdits(this.#edits, bytes, false) : bytes;
  }

  cancel(): void {
    this.#done = true;
    this.#life.end("client-disconnect");
  }

  #end(): Uint8Array | null {
    this.#done = true;
    this.#life.end(outcomeOf(this.#life.status));
    const rest = applyEdits(this.#edits, new Uint8Array(), true);
    return rest.length > 0 ? rest : null;
  }

  /** The server was lost in the middle of an answer: a stream is told so in its own format, another body is cut off. */
  #breakOff(error: unknown): Uint8Array {
    this.#done = true;
    const life = this.#life;
    const timedOut = upstreamError(error).outcome === "upstream-timeout";
    const lost = new RouterError(timedOut ? "upstream-timeout" : "upstream-aborted", lostMessage, { cause: error });
    if (life.ended) throw lost;
    life.failedMidStream();
    life.end(lost.outcome, lost);
    if (!this.#sse) throw lost;
    // An empty line first: the last event may have been cut in the middle.
    return new TextEncoder().encode(`\n\n${lostEvent(life.inbound.errorShape)}\n\n`);
  }
}

const lostMessage = "The model server ended the response early";

function lostEvent(shape: ErrorShape): string {
  if (shape === "openai") return `data: ${errorBody(new RouterError("upstream-aborted", lostMessage), shape, "")}`;
  return `event: error\ndata: ${JSON.stringify({ type: "error", error: { type: "api_error", message: lostMessage } })}`;
}
