import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import fc from "fast-check";
import { ContinuedStream, type GoOn } from "./continuation.ts";
import type { AnswerBytes } from "./life.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const words = Array.from({ length: 30 }, (_, i) => ` w${i}`);
const chunk = (id: string, delta: object, finish: string | null = null) =>
  `data: ${JSON.stringify({ id, created: 1, model: "m", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;

/** What an engine says that has `from` words behind it. */
function says(id: string, from: number): string {
  const rest = words.slice(from).map((content, i) =>
    chunk(id, { content }, from + i === words.length - 1 ? "length" : null)
  );
  const usage = { prompt_tokens: 10 + from, completion_tokens: words.length - from, total_tokens: 10 + words.length };
  const end = `data: ${JSON.stringify({ id, created: 1, model: "m", choices: [], usage })}\n\n`;
  return chunk(id, { role: "assistant", content: "" }) + rest.join("") + end + "data: [DONE]\n\n";
}

/** An engine that says so many bytes of it in pieces of a size, and is lost then. */
function engine(text: string, bytesMax: number, pieceBytes: number): AnswerBytes & { cancelled: boolean } {
  const bytes = encoder.encode(text);
  let at = 0;
  return {
    cancelled: false,
    read() {
      if (at >= bytes.length) return Promise.resolve(null);
      if (at >= bytesMax) return Promise.reject(new Error("lost"));
      const piece = bytes.slice(at, Math.min(at + pieceBytes, bytesMax));
      at += piece.length;
      return Promise.resolve(piece);
    },
    cancel() {
      this.cancelled = true;
    },
  };
}

async function readAll(stream: ContinuedStream): Promise<string> {
  let text = "";
  for (let bytes; (bytes = await stream.read());) text += decoder.decode(bytes);
  return text;
}

Deno.test("a stream lost at any byte, again and again, reads as one that was never lost", async () => {
  const whole = says("one", 0);
  const life = fc.record({ bytes: fc.integer({ min: 1, max: whole.length }), piece: fc.integer({ min: 1, max: 300 }) });
  await fc.assert(fc.asyncProperty(fc.array(life, { minLength: 1, maxLength: 6 }), async (lives) => {
    const taken: number[] = [];
    let next = 1;
    const goOn: GoOn = async (stream) => {
      const { bytes, piece } = lives[next] ?? { bytes: Infinity, piece: 77 };
      const said = words.slice(0, stream.tokens).join("");
      equal(stream.text, said, "what is gone on with is what was told, whole words");
      taken.push(stream.tokens);
      const rest = engine(says(`engine ${next++}`, stream.tokens), bytes, piece);
      const first = await rest.read();
      return { first: first!, rest };
    };
    const stream = new ContinuedStream(engine(whole, lives[0].bytes, lives[0].piece), goOn);
    const told = await readAll(stream);
    // The id is that of the first engine that got an event out.
    const [, id] = /"id":"([^"]+)"/.exec(told)!;
    const text = told.replaceAll(`"id":"${id}"`, '"id":"one"');
    // Lost after the last word, nobody is left who counted.
    const uncounted = whole.replace(/data: [^\n]*"usage"[^\n]*\n\n/, "");
    ok(text === whole || text === uncounted, text);
    deepStrictEqual(taken, taken.toSorted((a, b) => a - b));
  }));
});

Deno.test("what cannot go on ends with the loss, and a stream that is let go of takes its engine with it", async () => {
  const lost = new ContinuedStream(engine(says("one", 0), 300, 50), (_stream, error) => Promise.reject(error));
  await rejects(readAll(lost), /lost/);
  const from = engine(says("one", 0), 300, 50);
  const left = new ContinuedStream(from, () => Promise.reject(new Error("nobody asked")));
  await left.read();
  left.cancel();
  equal(from.cancelled, true);
  await rejects(readAll(left), /lost/);
});

Deno.test("a stream that ends without its end is lost, one with a form of its own is not judged", async () => {
  const cut = says("one", 0).slice(0, 400);
  let asked = 0;
  const goOn: GoOn = (_stream, error) => {
    asked++;
    return Promise.reject(error);
  };
  await rejects(readAll(new ContinuedStream(engine(cut, Infinity, 100), goOn)), /ended early/);
  const own = 'event: x\ndata: {"type":"x"}\n\n';
  equal(await readAll(new ContinuedStream(engine(own + "tail", Infinity, 5), goOn)), own + "tail");
  equal(asked, 1);
});
