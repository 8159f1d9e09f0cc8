import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { LineWriter, sharedPieceChars } from "./mod.ts";

/** A reader that takes at most `most` bytes at a time, and nothing while it is held. */
class Reader {
  readonly writes: number[] = [];
  readonly #decoder = new TextDecoder();
  #text = "";
  #gate = Promise.resolve();
  #open = () => {};
  constructor(readonly most = Infinity) {}

  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    this.#open = resolve;
  }
  release(): void {
    this.#open();
  }
  async write(bytes: Uint8Array): Promise<number> {
    await this.#gate;
    const taken = bytes.subarray(0, this.most);
    this.writes.push(taken.length);
    this.#text += this.#decoder.decode(taken, { stream: true });
    return taken.length;
  }
  lines(): string[] {
    return this.#text.split("\n").slice(0, -1);
  }
}

const numbered = (count: number) => Array.from({ length: count }, (_, at) => `line ${at} é`);

Deno.test("lines come whole and in order, several in one write of at most 4 KiB", async () => {
  const clock = new VirtualClock(), stream = new Reader();
  const writer = new LineWriter({ stream, clock, pieceChars: sharedPieceChars });
  const lines = Array.from({ length: 1000 }, (_, at) => `line ${at}`);
  for (const line of lines) writer.write(line);
  clock.advance(20);
  await writer.flush(1000);
  deepStrictEqual(stream.lines(), lines);
  ok(stream.writes.length < 5, `${stream.writes.length} writes`);
  ok(Math.max(...stream.writes) <= 4096);
});

Deno.test("a stream that takes parts gets every byte once", async () => {
  const stream = new Reader(7);
  const writer = new LineWriter({ stream, clock: new VirtualClock() });
  for (const line of numbered(50)) writer.write(line);
  await writer.flush(1000);
  deepStrictEqual(stream.lines(), numbered(50));
});

Deno.test("a reader that stands still costs lines, which are counted where they are missing", async () => {
  const clock = new VirtualClock(), stream = new Reader();
  stream.hold();
  const writer = new LineWriter({ stream, clock, charsMax: 100 });
  for (const line of numbered(50)) writer.write(line);
  const flushed = writer.flush(1000);
  clock.advance(1000);
  await flushed;
  deepStrictEqual(stream.lines(), []);
  stream.release();
  await writer.flush(1000);
  const kept = stream.lines().filter((line) => line.startsWith("line"));
  deepStrictEqual(kept, numbered(50).slice(0, kept.length));
  const { level, lines } = JSON.parse(stream.lines().at(-1)!);
  deepStrictEqual([level, kept.length + lines], ["warn", 50]);
  writer.write("later");
  await writer.flush(1000);
  equal(stream.lines().at(-1), "later");
});

Deno.test("after the reader has gone nothing is kept", async () => {
  let tried = 0;
  const stream = {
    write: () => {
      tried++;
      return Promise.reject(new Error("Broken pipe"));
    },
  };
  const writer = new LineWriter({ stream, clock: new VirtualClock() });
  writer.write("one");
  await writer.flush(1000);
  writer.write("two");
  await writer.flush(1000);
  equal(tried, 1);
});
