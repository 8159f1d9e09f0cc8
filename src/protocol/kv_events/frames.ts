/** A topic such as `kv@10.0.0.7:8000@meta-llama/Llama-3.1-8B`. */
export interface KvTopic {
  /** Address of the serving pod, or the name of a store. */
  readonly pod: string;
  readonly model: string;
}

/** Reads a topic frame of llm-d's convention; undefined for any other, the empty topic of the engines among them. */
export function parseKvTopic(topic: Uint8Array): KvTopic | undefined {
  const text = new TextDecoder().decode(topic);
  const first = text.indexOf("@");
  const second = text.indexOf("@", first + 1);
  if (first < 0 || second < 0) return undefined;
  // The model is last, as its name may hold an @ too.
  return { pod: text.slice(first + 1, second), model: text.slice(second + 1) };
}

const sequenceBytes = 8;

/** Sequence frame: 8 bytes, big-endian. Undefined when it is of another length or the number beyond 2^53. */
export function parseSequence(frame: Uint8Array): number | undefined {
  if (frame.length !== sequenceBytes) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, sequenceBytes);
  const seq = view.getUint32(0) * 2 ** 32 + view.getUint32(4);
  return Number.isSafeInteger(seq) ? seq : undefined;
}

/** `seq` as a sequence frame. */
export function sequenceFrame(seq: number): Uint8Array {
  const frame = new Uint8Array(sequenceBytes);
  new DataView(frame.buffer).setBigUint64(0, BigInt(seq));
  return frame;
}

/** One message of a publisher, still encoded. */
export interface KvMessage {
  readonly topic: Uint8Array;
  readonly seq: number;
  /** For `decodeKvBatch`. */
  readonly payload: Uint8Array;
}

/** Reads a published message `[topic, sequence, payload]`; undefined when it is none. */
export function parseLiveFrames(frames: readonly Uint8Array[]): KvMessage | undefined {
  if (frames.length !== 3) return undefined;
  const [topic, sequence, payload] = frames;
  const seq = parseSequence(sequence);
  return seq === undefined ? undefined : { topic, seq, payload };
}

/** What a replay socket answers with: a message, or the end of the replay. */
export type ReplayFrame = { readonly seq: number; readonly payload: Uint8Array } | "end";

/**
 * Reads one answer of a replay socket, as a DEALER receives it: `["", sequence, payload]` (vLLM up to 0.25, SGLang),
 * `["", topic, sequence, payload]` (vLLM from 0.26 on), either also without the empty frame. An empty payload is the end.
 * Undefined when it is no answer.
 */
export function parseReplayFrames(frames: readonly Uint8Array[]): ReplayFrame | undefined {
  if (frames.length < 2 || frames.length > 4) return undefined;
  if (frames.length === 4 && frames[0].length > 0) return undefined;
  const [sequence, payload] = frames.slice(-2);
  if (sequence.length !== sequenceBytes) return undefined;
  if (payload.length === 0) return "end";
  const seq = parseSequence(sequence);
  return seq === undefined ? undefined : { seq, payload };
}

/** Frames a DEALER sends to be answered with the messages from `from` on that the publisher still has, oldest first. */
export function replayRequestFrames(from: number): [Uint8Array, Uint8Array] {
  return [new Uint8Array(0), sequenceFrame(from)];
}
