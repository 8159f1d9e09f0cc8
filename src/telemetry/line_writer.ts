import { type Clock, within, writeAll } from "../core/mod.ts";

/** Where lines go: standard output, or a test's sink. May write a part, and may wait as long as its reader does. */
export interface ByteStream {
  write(bytes: Uint8Array): Promise<number>;
}

export interface LineWriterOptions {
  readonly stream: ByteStream;
  readonly clock: Clock;
  /** Most characters that wait; 1 Mi by default. */
  readonly charsMax?: number;
  /** Most characters written at once, longer lines aside; 64 Ki by default, `sharedPieceChars` where others write too. */
  readonly pieceChars?: number;
}

/** What a pipe takes in one piece, so that lines of several isolates that write to it do not mix. */
export const sharedPieceChars = 4096;
/** Lines are collected for this long: nobody waits for a log, and one write for several costs less. */
const gatherMs = 20;

/**
 * Writes lines without making anybody wait: a reader that stands still costs lines, not requests. Lines beyond the bound
 * are left out, and one in their place says how many: `{"time":…,"level":"warn","message":"Lines left out","lines":3}`.
 */
export class LineWriter {
  readonly #stream: ByteStream;
  readonly #clock: Clock;
  readonly #charsMax: number;
  readonly #pieceChars: number;
  #pieces: string[] = [];
  #chars = 0;
  #leftOut = 0;
  #idle = Promise.withResolvers<void>();
  #state: "idle" | "gathering" | "writing" = "idle";
  #broken = false;

  constructor({ stream, clock, charsMax = 1 << 20, pieceChars = 1 << 16 }: LineWriterOptions) {
    this.#stream = stream;
    this.#clock = clock;
    this.#charsMax = charsMax;
    this.#pieceChars = pieceChars;
  }

  /** Takes a line without its newline. */
  write(line: string): void {
    if (this.#broken) return;
    if (this.#chars + line.length >= this.#charsMax) {
      this.#leftOut++;
      return;
    }
    this.#noteGap();
    this.#append(`${line}\n`);
    if (this.#state !== "idle") return;
    this.#state = "gathering";
    this.#idle = Promise.withResolvers();
    this.#clock.after(gatherMs, () => void this.#drain());
  }

  /** Resolves once all is written, or after `deadlineMs`. */
  async flush(deadlineMs: number): Promise<void> {
    if (this.#state === "idle") return;
    if (this.#state === "gathering") void this.#drain();
    await within(this.#clock, deadlineMs, this.#idle.promise);
  }

  #append(text: string): void {
    const last = this.#pieces.length - 1;
    if (last >= 0 && this.#pieces[last].length + text.length <= this.#pieceChars) this.#pieces[last] += text;
    else this.#pieces.push(text);
    this.#chars += text.length;
  }

  #noteGap(): void {
    if (this.#leftOut === 0) return;
    const time = new Date(this.#clock.wallMs()).toISOString();
    this.#append(JSON.stringify({ time, level: "warn", message: "Lines left out", lines: this.#leftOut }) + "\n");
    this.#leftOut = 0;
  }

  async #drain(): Promise<void> {
    if (this.#state !== "gathering") return;
    this.#state = "writing";
    const encoder = new TextEncoder();
    try {
      while (this.#pieces.length > 0) {
        const pieces = this.#pieces;
        this.#pieces = [];
        for (const piece of pieces) {
          await writeAll(this.#stream, encoder.encode(piece));
          this.#chars -= piece.length;
        }
        if (this.#pieces.length === 0) this.#noteGap();
      }
    } catch {
      // Nobody reads any more, and there is no other place to say so.
      this.#broken = true;
      this.#pieces = [];
    }
    this.#state = "idle";
    this.#idle.resolve();
  }
}
