import { type AddedToken, AddedTokenMatcher } from "./added_tokens.ts";
import { Bpe, IdBuffer } from "./bpe.ts";
import type { BpeTables } from "./bpe_tables.ts";
import { NotExactError } from "./not_exact.ts";
import { type PreTokenizer, Splitter } from "./pretokenize.ts";
import { TextHasher } from "./text_hash.ts";
import { TokenCache } from "./token_cache.ts";

/** A byte-level BPE tokenizer, complete; passes between isolates by structured clone, tables shared. */
export interface ByteLevelModel {
  readonly tables: BpeTables;
  readonly preTokenizer: PreTokenizer;
  readonly addedTokens: readonly AddedToken[];
  /** Text is brought to Unicode form NFC first. */
  readonly nfc: boolean;
}

export interface Encoded {
  /** Not to be written to: the cache may hold it. */
  readonly ids: Uint32Array;
  /** How many of them came from the cache. */
  readonly cachedTokens: number;
  /** 128-bit hash of the text: equal texts have equal keys while the process lives. */
  readonly key: string;
}

/** Sections at least this long are remembered; shorter ones are tokenized as fast as they are looked up. */
const rememberUnitsMin = 96;

/** Long sections are cut into chunks of about this many UTF-16 units, where cutting changes nothing. */
const chunkUnits = 2048;

/** Texts at least this long are remembered whole, besides their chunks. */
const wholeUnitsMin = 2048;

/**
 * Characters that JavaScript normalizes to NFC in another way than the reference library, whose tables are of Unicode 9:
 * marks and compositions of later versions. Found by comparing every code point, alone, between marks of other
 * combining classes, and decomposed.
 */
const differingInNfc =
  /[\u07fd\u0897-\u089f\u08ca-\u08d3\u09fe\u0c3c\u0d3b\u0d3c\u0eba\u1715\u1abf-\u1ace\u1df6-\u1dfa\ua82c\u{105d2}\u{105da}\u{10d24}-\u{10d27}\u{10d69}-\u{10d6d}\u{10eab}\u{10eac}\u{10efd}-\u{10eff}\u{10f46}-\u{10f50}\u{10f82}-\u{10f85}\u{11070}\u{1133b}\u{11382}\u{11384}\u{1138b}\u{11390}\u{113c2}\u{113ce}-\u{113d0}\u{1145e}\u{11839}\u{1183a}\u{11935}\u{1193d}\u{1193e}\u{11943}\u{119e0}\u{11a34}\u{11a47}\u{11a99}\u{11d42}\u{11d44}\u{11d45}\u{11d97}\u{11f41}\u{11f42}\u{1611e}\u{16129}\u{1612f}\u{16d63}\u{16d67}\u{16ff0}\u{16ff1}\u{1e08f}\u{1e130}-\u{1e136}\u{1e2ae}\u{1e2ec}-\u{1e2ef}\u{1e4ec}-\u{1e4ef}\u{1e5ee}\u{1e5ef}]/u;

/** What an isolate remembers, over all models: keys are hashes under seeds of each encoder's own. */
export interface TokenCaches {
  /** Ids of sections and chunks. */
  readonly chunks: TokenCache;
  /** Ids of whole texts. */
  readonly wholes: TokenCache;
}

/** Caches of together `bytesMax`: three quarters for chunks. 64 MiB hold about 16 M tokens. */
export function tokenCaches(bytesMax: number): TokenCaches {
  return { chunks: new TokenCache(Math.floor(bytesMax * 0.75)), wholes: new TokenCache(Math.floor(bytesMax * 0.25)) };
}

/**
 * Text to ids, exactly as the reference library does it, with a cache of what it did.
 *
 * The cache keeps ids by the text of a *section*, not of a whole prefix. Added tokens split a text before anything else
 * sees it, so the ids of the whole are the ids of the sections after each other: a conversation that grew costs its new
 * sections, and a system prompt is shared by all conversations. A long section is cut further where a line begins with
 * an ASCII letter or digit, which no word of the known pre-tokenizers crosses (`PreTokenizer.cutsAtLines`).
 */
export class ByteLevelEncoder {
  readonly #bpe: Bpe;
  readonly #splitter: Splitter;
  readonly #raw: AddedTokenMatcher;
  readonly #normalized: AddedTokenMatcher;
  readonly #nfc: boolean;
  readonly #cuts: boolean;
  readonly #hasher = new TextHasher();
  readonly #caches: TokenCaches;
  /** Units of the text that is tokenized; reused, as is `#out`. */
  #units = new Uint16Array(4096);
  readonly #out = new IdBuffer();

  constructor(model: ByteLevelModel, caches: TokenCaches) {
    this.#bpe = new Bpe(model.tables);
    this.#splitter = new Splitter(model.preTokenizer);
    const isLate = (token: AddedToken) => token.normalized && model.nfc;
    this.#raw = new AddedTokenMatcher(model.addedTokens.filter((token) => !isLate(token)));
    this.#normalized = new AddedTokenMatcher(
      model.addedTokens.filter(isLate).map((token) => ({ ...token, content: token.content.normalize("NFC") })),
    );
    this.#nfc = model.nfc;
    this.#cuts = model.preTokenizer.cutsAtLines && !model.addedTokens.some((token) => token.content.includes("\n"));
    this.#caches = caches;
  }

  /** The ids of `text`, without any that a post-processor adds. Throws a `NotExactError`. */
  encode(text: string): Encoded {
    // A surrogate without its pair would become U+FFFD in UTF-8; the engine refuses it.
    if (!text.isWellFormed()) throw new NotExactError("unicode");
    const pieces = this.#pieces(text);
    const key = this.#keyOf(text, pieces);
    const { wholes } = this.#caches;
    const whole = text.length >= wholeUnitsMin ? wholes.get(key) : undefined;
    if (whole) return { ids: whole, cachedTokens: whole.length, key };
    const out = this.#out;
    out.length = 0;
    let cachedTokens = 0;
    for (const piece of pieces) {
      if (typeof piece === "number") out.push(piece);
      else cachedTokens += this.#appendPiece(text, piece, out);
    }
    const ids = out.ids.slice(0, out.length);
    if (text.length >= wholeUnitsMin) wholes.set(key, ids);
    return { ids, cachedTokens, key };
  }

  /** The text as added tokens and pieces between them. */
  #pieces(text: string): (number | Piece)[] {
    const pieces: (number | Piece)[] = [];
    let from = 0;
    for (const { start, end, id } of this.#raw.marks(text)) {
      this.#cut(text, from, start, pieces);
      pieces.push(id);
      from = end;
    }
    this.#cut(text, from, text.length, pieces);
    return pieces;
  }

  /** Cuts a section where that changes nothing. */
  #cut(text: string, from: number, to: number, pieces: (number | Piece)[]): void {
    while (from < to) {
      const end = this.#cuts && to - from > chunkUnits ? cutAfter(text, from + chunkUnits, to) : to;
      pieces.push({ from, to: end, key: end - from < rememberUnitsMin ? "" : this.#hasher.key(text, from, end) });
      from = end;
    }
  }

  /** Hash of the whole text, by those of its pieces. */
  #keyOf(text: string, pieces: readonly (number | Piece)[]): string {
    let digest = "";
    for (const piece of pieces) {
      if (typeof piece === "number") digest += String.fromCharCode(1, piece & 0xffff, piece >>> 16);
      else if (piece.key !== "") digest += `\u0002${piece.key}`;
      else digest += String.fromCharCode(3, piece.to - piece.from) + text.slice(piece.from, piece.to);
    }
    return this.#hasher.key(digest, 0, digest.length, 1);
  }

  /** Writes the ids of a piece; gives how many came from the cache. */
  #appendPiece(text: string, { from, to, key }: Piece, out: IdBuffer): number {
    const known = key === "" ? undefined : this.#caches.chunks.get(key);
    if (known) {
      out.append(known);
      return known.length;
    }
    const start = out.length;
    this.#tokenize(text.slice(from, to), out);
    if (key !== "") this.#caches.chunks.set(key, out.ids.slice(start, out.length));
    return 0;
  }

  /** Tokens of a piece of text that holds no unnormalized added token. */
  #tokenize(raw: string, out: IdBuffer): void {
    if (this.#nfc && differingInNfc.test(raw)) throw new NotExactError("unicode");
    const text = this.#nfc ? raw.normalize("NFC") : raw;
    if (this.#normalized.empty) return this.#words(text, out);
    let from = 0;
    for (const { start, end, id } of this.#normalized.marks(text)) {
      this.#words(text.slice(from, start), out);
      out.push(id);
      from = end;
    }
    this.#words(text.slice(from), out);
  }

  #words(text: string, out: IdBuffer): void {
    if (text === "") return;
    if (text.length > this.#units.length) {
      this.#units = new Uint16Array(Math.max(text.length, this.#units.length * 2));
    }
    const units = this.#units;
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    const { ends, count } = this.#splitter.split(text);
    let from = 0;
    for (let i = 0; i < count; i++) {
      this.#bpe.word(units, from, ends[i], out);
      from = ends[i];
    }
  }
}

/** A piece of text without added tokens, `text[from .. to]`; the key of its hash, "" when it is not worth one. */
interface Piece {
  readonly from: number;
  readonly to: number;
  readonly key: string;
}

/** The first place from `at` on where a line begins with an ASCII letter or digit; `to` when there is none. */
function cutAfter(text: string, at: number, to: number): number {
  for (let i = at; i < to; i++) {
    if (text.charCodeAt(i - 1) === 10 && isAsciiWord(text.charCodeAt(i))) return i;
  }
  return to;
}

function isAsciiWord(unit: number): boolean {
  return (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122);
}
