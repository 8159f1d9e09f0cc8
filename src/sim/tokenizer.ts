import { createHash } from "node:crypto";
import type { MediaSpan } from "./kv/events.ts";

/**
 * The simulator's tokenizer: each piece of text is cut in runs of 4 UTF-8 bytes, and a run is its own token id, read as a
 * little-endian number; a shorter last run is filled with zero bytes. So ids turn back into text without a vocabulary,
 * lengths resemble those of real tokenizers on English (about 4 bytes a token), and a common beginning of two texts gives
 * common tokens. Not kept: zero bytes at the end of a piece.
 *
 * Chat messages are pieces of their own between special tokens, so that an answer sent back as history gives the ids the
 * engine generated. A part that is not text is a row of placeholders, the same for every image, and a hash that tells its
 * content, as in real models.
 */
export const specialTokens = { messageStart: 1, messageEnd: 2, media: 3 } as const;

const specials: ReadonlySet<number> = new Set(Object.values(specialTokens));

/** A part of a chat that is not text. */
export interface MediaPart extends MediaSpan {
  /** `image`, `audio` or `video`. */
  readonly modality: string;
}

/** A prompt as the engine is given it. */
export interface TokenizedPrompt {
  readonly ids: Uint32Array;
  /** In order of offset; absent for none. */
  readonly media?: readonly MediaPart[];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Tokens an image or other non-text part counts for. */
const mediaTokens = 576;

/** Collects token ids. */
class TokenWriter {
  readonly #media: MediaPart[] = [];
  #ids = new Uint32Array(256);
  #length = 0;

  push(id: number): void {
    this.#reserve(1);
    this.#ids[this.#length++] = id;
  }

  text(text: string): void {
    const bytes = encoder.encode(text);
    this.#reserve(Math.ceil(bytes.length / 4));
    for (let i = 0; i < bytes.length; i += 4) {
      this.#ids[this.#length++] = (bytes[i] | (bytes[i + 1] ?? 0) << 8 | (bytes[i + 2] ?? 0) << 16 |
        (bytes[i + 3] ?? 0) << 24) >>> 0;
    }
  }

  /** Placeholders for a part that is not text. */
  media(part: unknown): void {
    const hash = createHash("sha256").update(JSON.stringify(part) ?? "").digest("hex");
    this.#media.push({ hash, offset: this.#length, length: mediaTokens, modality: modalityOf(part) });
    this.#reserve(mediaTokens);
    this.#ids.fill(specialTokens.media, this.#length, this.#length + mediaTokens);
    this.#length += mediaTokens;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#ids.length) return;
    const larger = new Uint32Array(Math.max(this.#length + count, this.#ids.length * 2));
    larger.set(this.#ids.subarray(0, this.#length));
    this.#ids = larger;
  }

  done(): TokenizedPrompt {
    const ids = this.#ids.slice(0, this.#length);
    return this.#media.length > 0 ? { ids, media: this.#media } : { ids };
  }
}

/** By the name of the part's type, such as `image_url` or `input_audio`. */
function modalityOf(part: unknown): string {
  const type = typeof part === "object" && part !== null && "type" in part ? String(part.type) : "";
  return ["audio", "video"].find((each) => type.includes(each)) ?? "image";
}

/** Token ids of plain text. */
export function tokenize(text: string): Uint32Array {
  const writer = new TokenWriter();
  writer.text(text);
  return writer.done().ids;
}

/** Text of token ids; special tokens give nothing. */
export function detokenize(ids: ArrayLike<number>): string {
  const bytes = new Uint8Array(ids.length * 4);
  let length = 0;
  for (let i = 0; i < ids.length; i++) {
    if (specials.has(ids[i])) continue;
    let end = length;
    for (let shift = 0; shift < 32; shift += 8) {
      bytes[length + shift / 8] = (ids[i] >>> shift) & 0xff;
      if (bytes[length + shift / 8] !== 0) end = length + shift / 8 + 1;
    }
    length = end;
  }
  return decoder.decode(bytes.subarray(0, length));
}

/** One message of a chat, in whatever dialect: content is text, or parts of which those with `text` count as text. */
export interface ChatTurn {
  readonly role: string;
  readonly content: unknown;
}

/**
 * A chat's prompt: tools, then each message between special tokens, then the opening of the answer. With `open` the last
 * message is left open instead, for the answer to go on with it.
 */
export function tokenizeChat(turns: readonly ChatTurn[], tools?: unknown, open = false): TokenizedPrompt {
  const writer = new TokenWriter();
  if (tools !== undefined && tools !== null) writer.text(JSON.stringify(tools));
  turns.forEach(({ role, content }, i) => {
    writer.push(specialTokens.messageStart);
    writer.text(role);
    writeContent(writer, content);
    if (!open || i < turns.length - 1) writer.push(specialTokens.messageEnd);
  });
  if (open) return writer.done();
  writer.push(specialTokens.messageStart);
  writer.text("assistant");
  return writer.done();
}

function writeContent(writer: TokenWriter, content: unknown): void {
  if (typeof content === "string") return writer.text(content);
  if (!Array.isArray(content)) {
    if (content !== undefined && content !== null) writer.text(JSON.stringify(content));
    return;
  }
  for (const part of content) {
    if (typeof part === "string") writer.text(part);
    else if (typeof part?.text === "string") writer.text(part.text);
    else writer.media(part);
  }
}
