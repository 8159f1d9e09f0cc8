import { type AddedToken, AddedTokenMatcher, stripLeft, stripRight } from "./added_tokens.ts";
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

export interface EncoderOptions {
  /** Bound of the cache. Default 64 MiB: about 16 M tokens, of which a quarter may be whole texts. */
  readonly cacheBytesMax?: number;
  readonly hasher?: TextHasher;
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
  readonly #hasher: TextHasher;
  readonly #chunks: TokenCache;
  readonly #wholes: TokenCache;
  #units = new Uint16Array(4096);
  #chunkUnits = new Uint16Array(4096);
  #cached = 0;

  constructor(model: ByteLevelModel, options: EncoderOptions = {}) {
    this.#bpe = new Bpe(model.tables);
    this.#splitter = new Splitter(model.preTokenizer);
    const isLate = (token: AddedToken) => token.normalized && model.nfc;
    this.#raw = new AddedTokenMatcher(model.addedTokens.filter((token) => !isLate(token)));
    this.#normalized = new AddedTokenMatcher(
      model.addedTokens.filter(isLate).map((token) => ({ ...token, content: token.content.normalize("NFC") })),
    );
    this.#nfc = model.nfc;
    this.#cuts = model.preTokenizer.cutsAtLines && !model.addedTokens.some((token) => token.content.includes("\n"));
    this.#hasher = options.hasher ?? new TextHasher();
    const bytes = options.cacheBytesMax ?? 64 * 2 ** 20;
    this.#chunks = new TokenCache(Math.floor(bytes * 0.75));
    this.#wholes = new TokenCache(Math.floor(bytes * 0.25));
  }

  get cacheBytes(): number {
    return this.#chunks.bytes + this.#wholes.bytes;
  }

  /** The ids of `text`, without any that a post-processor adds. Throws a `NotExactError`. */
  encode(text: string): Encoded {
    // A surrogate without its pair would become U+FFFD in UTF-8; the engine refuses it.
    if (!text.isWellFormed()) throw new NotExactError("unicode");
    const n = text.length;
    if (n > this.#units.length) this.#units = new Uint16Array(Math.max(n, this.#units.length * 2));
    const units = this.#units;
    const marks = this.#readUnits(text, units);
    const key = this.#hasher.key(units, 0, n);
    const whole = n >= wholeUnitsMin ? this.#wholes.get(key) : undefined;
    if (whole) return { ids: whole, cachedTokens: whole.length, key };
    const out = new IdBuffer();
    this.#cached = 0;
    let from = 0;
    for (const { start, end, id } of marks) {
      this.#section(text, from, start, out);
      out.push(id);
      from = end;
    }
    this.#section(text, from, n, out);
    const ids = out.ids.slice(0, out.length);
    if (n >= wholeUnitsMin) this.#wholes.set(key, ids);
    return { ids, cachedTokens: this.#cached, key };
  }

  /** Copies the text to `units` and finds the added tokens on the way. */
  #readUnits(text: string, units: Uint16Array): Mark[] {
    const firsts = this.#raw.firsts;
    const marks: Mark[] = [];
    let taken = 0;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      units[i] = unit;
      if (firsts[unit] === 0 || i < taken) continue;
      const token = this.#raw.matchAt(text, i);
      if (token) marks.push(markOf(text, token, i, taken));
      taken = marks.at(-1)?.end ?? 0;
    }
    return marks;
  }

  #section(text: string, from: number, to: number, out: IdBuffer): void {
    const units = this.#units;
    while (from < to) {
      const end = this.#cuts && to - from > chunkUnits ? cutAfter(units, from + chunkUnits, to) : to;
      if (end - from < rememberUnitsMin) {
        this.#tokenize(text.slice(from, end), out);
      } else {
        const key = this.#hasher.key(units, from, end);
        const known = this.#chunks.get(key);
        if (known) {
          out.append(known);
          this.#cached += known.length;
        } else {
          const start = out.length;
          this.#tokenize(text.slice(from, end), out);
          this.#chunks.set(key, out.ids.slice(start, out.length));
        }
      }
      from = end;
    }
  }

  /** Tokens of a piece of text that holds no unnormalized added token. */
  #tokenize(raw: string, out: IdBuffer): void {
    if (this.#nfc && differingInNfc.test(raw)) throw new NotExactError("unicode");
    const text = this.#nfc ? raw.normalize("NFC") : raw;
    if (this.#normalized.empty) return this.#words(text, out);
    let from = 0;
    for (let i = 0; i < text.length; i++) {
      if (this.#normalized.firsts[text.charCodeAt(i)] === 0 || i < from) continue;
      const token = this.#normalized.matchAt(text, i);
      if (!token) continue;
      const mark = markOf(text, token, i, from);
      this.#words(text.slice(from, mark.start), out);
      out.push(mark.id);
      from = mark.end;
    }
    this.#words(text.slice(from), out);
  }

  #words(text: string, out: IdBuffer): void {
    if (text === "") return;
    if (text.length > this.#chunkUnits.length) {
      this.#chunkUnits = new Uint16Array(Math.max(text.length, this.#chunkUnits.length * 2));
    }
    const units = this.#chunkUnits;
    for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
    const { ends, count } = this.#splitter.split(text);
    let from = 0;
    for (let i = 0; i < count; i++) {
      this.#bpe.word(units, from, ends[i], out);
      from = ends[i];
    }
  }
}

/** An added token in a text. */
interface Mark {
  readonly start: number;
  readonly end: number;
  readonly id: number;
}

function markOf(text: string, token: AddedToken, at: number, from: number): Mark {
  const end = at + token.content.length;
  return {
    start: token.lstrip ? stripLeft(text, from, at) : at,
    end: token.rstrip ? stripRight(text, end) : end,
    id: token.id,
  };
}

/** The first place from `at` on where a line begins with an ASCII letter or digit; `to` when there is none. */
function cutAfter(units: Uint16Array, at: number, to: number): number {
  for (let i = at; i < to; i++) {
    if (units[i - 1] === 10 && isAsciiWord(units[i])) return i;
  }
  return to;
}

function isAsciiWord(unit: number): boolean {
  return (unit >= 48 && unit <= 57) || (unit >= 65 && unit <= 90) || (unit >= 97 && unit <= 122);
}
