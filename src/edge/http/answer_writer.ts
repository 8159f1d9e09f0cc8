import { concatBytes } from "../../core/mod.ts";
import { type Answer, type BodySource, isSource } from "../../pipeline/mod.ts";
import { type ByteSink, chunkOf, hasNoBody, lastChunk, writeTo } from "../../protocol/mod.ts";
import { type AnswerFraming, answerHead } from "./answer_head.ts";

/** A small body goes out with its head in one write. */
const joinedBytesMax = 65_536;

/** What an answer's framing and connection header depend on. */
export interface AnswerTerms {
  readonly method: string;
  /** The client's, of HTTP/1.x. */
  readonly minor: number;
  /** Another request may follow on the connection. */
  readonly stays: boolean;
  readonly date: string;
}

/** Writes an answer in HTTP/1.1; whether the connection can carry another. A source is read to its end or cancelled. */
export async function writeAnswer(answer: Answer, terms: AnswerTerms, sink: ByteSink): Promise<boolean> {
  const { status, body } = answer;
  const { method, minor, stays } = terms;
  const bodyless = hasNoBody(method, status);
  if (!isSource(body)) {
    const bytes = bodyless ? null : body ?? new Uint8Array();
    await writeWhole(headOf(answer, terms, bytes?.length ?? "none", stays, bytes?.length), bytes, sink);
    return stays;
  }
  try {
    if (bodyless) {
      await writeTo(sink, headOf(answer, terms, "none", stays));
      return stays;
    }
    // HTTP/1.0 knows no chunks: the connection's end is the body's.
    const keep = stays && minor === 1;
    const head = headOf(answer, terms, minor === 1 ? "chunked" : "until-close", keep);
    await (minor === 1 ? writeChunks(head, body, sink) : writePlain(head, body, sink));
    return keep;
  } finally {
    body.cancel();
  }
}

function headOf(
  { status, headers }: Answer,
  { minor, date }: AnswerTerms,
  framing: AnswerFraming,
  stays: boolean,
  room = 0,
): Uint8Array<ArrayBuffer> {
  const connection = stays ? (minor === 0 ? "keep-alive" : undefined) : "close";
  return answerHead({ status, headers, framing, connection, date, room: room > joinedBytesMax ? 0 : room });
}

/** `head` has room for the body behind it, where it is to go out with it. */
async function writeWhole(head: Uint8Array, body: Uint8Array | null, sink: ByteSink): Promise<void> {
  const joined = body !== null && body.length <= joinedBytesMax;
  if (joined) head.set(body, head.length - body.length);
  await writeTo(sink, head);
  if (body && !joined) await writeTo(sink, body);
}

/** The first piece goes out with the head. */
async function writeChunks(head: Uint8Array, body: BodySource, sink: ByteSink): Promise<void> {
  if (body.pump) return await body.pump(sink, head);
  let start: Uint8Array | undefined = head;
  for (let bytes = await body.read(); bytes; bytes = await body.read()) {
    if (bytes.length === 0) continue;
    await writeTo(sink, chunkOf(bytes, start));
    start = undefined;
  }
  await writeTo(sink, start ? concatBytes([start, lastChunk]) : lastChunk);
}

async function writePlain(head: Uint8Array, body: BodySource, sink: ByteSink): Promise<void> {
  await writeTo(sink, head);
  for (let bytes = await body.read(); bytes; bytes = await body.read()) {
    if (bytes.length > 0) await writeTo(sink, bytes);
  }
}
