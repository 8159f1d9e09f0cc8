import { deepStrictEqual, equal } from "node:assert/strict";
import { BodyObserver } from "./stream_observer.ts";

const encoder = new TextEncoder();

Deno.test("BodyObserver keeps the end of a long body and the usage in its first event", () => {
  const observer = new BodyObserver();
  observer.chunk(
    encoder.encode('data: {"message":{"usage":{"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":1}}}\n\n'),
  );
  for (let i = 0; i < 2000; i++) observer.chunk(encoder.encode(`data: {"delta":"${"x".repeat(50)}"}\n\n`));
  observer.chunk(encoder.encode('data: {"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2000}}\n\n'));
  deepStrictEqual(observer.usage(), { promptTokens: 9, cachedTokens: 4, completionTokens: 2000 });
  equal(observer.finishReason(), "end_turn");
  equal(observer.tail().length < 20_000, true);
});

Deno.test("events() counts those of a short stream, and those of a long one by the length of its last", () => {
  const short = new BodyObserver();
  equal(short.events(), 0);
  for (const part of ["data: {}\n\nda", "ta: {}\n\n", "event: x\ndata: {}\n\n", ": a comment\n\n"]) {
    short.chunk(encoder.encode(part));
  }
  equal(short.events(), 3);
  const long = new BodyObserver();
  for (let i = 0; i < 5000; i++) long.chunk(encoder.encode(`data: {"text":"${"x".repeat(20 + i % 7)}"}\r\n\r\n`));
  const ratio = long.events() / 5000;
  equal(ratio > 0.98 && ratio < 1.02, true, `${ratio}`);
});

Deno.test("BodyObserver keeps what it was shown, whatever becomes of the buffer it lay in", () => {
  for (const pieces of [1, 2, 3, 40, 400]) {
    const observer = new BodyObserver(), buffer = new Uint8Array(64);
    observer.chunk(encoder.encode("first,"));
    let text = "first,";
    for (let i = 0; i < pieces; i++) {
      const piece = encoder.encode(`piece ${i},`);
      buffer.set(piece);
      observer.chunk(buffer.subarray(0, piece.length));
      buffer.fill(0x58);
      text += `piece ${i},`;
    }
    equal(observer.bytes, text.length);
    const tail = new TextDecoder().decode(observer.tail());
    equal(text.endsWith(tail) && tail.length >= Math.min(text.length, 4_096), true, tail.slice(0, 100));
  }
});
