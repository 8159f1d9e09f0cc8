import { deepStrictEqual, equal } from "node:assert/strict";
import {
  parseKvTopic,
  parseLiveFrames,
  parseReplayFrames,
  parseSequence,
  replayRequestFrames,
  sequenceFrame,
} from "./frames.ts";

const text = (value: string) => new TextEncoder().encode(value);
const empty = new Uint8Array(0);
const payload = Uint8Array.of(0x92, 0xc0, 0x90);
const endMark = new Uint8Array(8).fill(0xff);

Deno.test("parseKvTopic() reads pod and model, with and without port, and models that hold an @", () => {
  deepStrictEqual(parseKvTopic(text("kv@10.0.0.7:8000@org/model")), { pod: "10.0.0.7:8000", model: "org/model" });
  deepStrictEqual(parseKvTopic(text("kv@10.0.0.7@m")), { pod: "10.0.0.7", model: "m" });
  deepStrictEqual(parseKvTopic(text("kv@SHARED_STORAGE@m@v2")), { pod: "SHARED_STORAGE", model: "m@v2" });
});

Deno.test("parseKvTopic() knows no other topic", () => {
  for (const topic of ["", "kv", "kv@pod", "load"]) equal(parseKvTopic(text(topic)), undefined);
});

Deno.test("parseSequence() reads 8 big-endian bytes below 2^53", () => {
  equal(parseSequence(Uint8Array.of(0, 0, 0, 1, 0, 0, 1, 2)), 2 ** 32 + 258);
  for (const seq of [0, 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1]) equal(parseSequence(sequenceFrame(seq)), seq);
  equal(parseSequence(endMark), undefined);
  equal(parseSequence(Uint8Array.of(1, 2, 3, 4)), undefined);
  equal(parseSequence(new Uint8Array(9)), undefined);
  // A frame is a view into a larger buffer.
  equal(parseSequence(Uint8Array.of(9, 9, 0, 0, 0, 0, 0, 0, 0, 7, 9).subarray(2, 10)), 7);
});

Deno.test("parseLiveFrames() reads topic, sequence, payload", () => {
  const topic = text("kv@a@b");
  deepStrictEqual(parseLiveFrames([topic, sequenceFrame(4), payload]), { topic, seq: 4, payload });
  deepStrictEqual(parseLiveFrames([empty, sequenceFrame(0), payload]), { topic: empty, seq: 0, payload });
  equal(parseLiveFrames([topic, payload]), undefined);
  equal(parseLiveFrames([topic, Uint8Array.of(4), payload]), undefined);
  equal(parseLiveFrames([empty, topic, sequenceFrame(4), payload]), undefined);
});

Deno.test("parseReplayFrames() reads the old form and the new, with and without the empty frame", () => {
  const seq = sequenceFrame(12);
  const forms = [
    [empty, seq, payload],
    [seq, payload],
    [empty, text("kv@a@b"), seq, payload],
    [empty, empty, seq, payload],
    [text("kv@a@b"), seq, payload],
  ];
  for (const frames of forms) deepStrictEqual(parseReplayFrames(frames), { seq: 12, payload });
});

Deno.test("parseReplayFrames() knows the end in every form", () => {
  for (const before of [[], [empty], [empty, empty], [empty, text("kv@a@b")], [text("kv@a@b")]]) {
    equal(parseReplayFrames([...before, endMark, empty]), "end");
  }
});

Deno.test("parseReplayFrames() takes nothing else", () => {
  const seq = sequenceFrame(12);
  const others = [
    [],
    [payload],
    [seq],
    [empty, payload],
    [Uint8Array.of(1), payload],
    [text("x"), text("y"), seq, payload],
    [empty, empty, empty, seq, payload],
    // The mark of the end, and a payload all the same.
    [empty, endMark, payload],
  ];
  for (const frames of others) equal(parseReplayFrames(frames), undefined);
});

Deno.test("replayRequestFrames() is an empty frame and the first sequence number wanted", () => {
  deepStrictEqual(replayRequestFrames(258), [empty, Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2)]);
});
