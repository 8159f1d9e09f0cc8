/**
 * Pre-tokenization of byte-level tokenizers: the text is split into words by regular expressions, each word is then
 * tokenized by itself. Only what is known to behave in JavaScript as in the reference library is taken; anything else
 * is refused, and the caller falls back to the general library.
 */

/** How a tokenizer splits text: stages after each other, each splits the pieces of the one before. */
export interface PreTokenizer {
  /** JavaScript source of each stage's expression; the pieces are its matches and what lies between them. */
  readonly stages: readonly string[];
  /** Text may be cut between a line feed and an ASCII letter or digit without changing any word. */
  readonly cutsAtLines: boolean;
}

/** Unicode White_Space: what the reference library's `\s` means. JavaScript's differs in U+0085 and U+FEFF. */
const whiteSpace = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/** GPT-2's expression, which a ByteLevel stage with `use_regex` applies. */
const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * Alternatives of the expressions that text may be cut under: none matches across a line feed followed by an ASCII
 * letter or digit, none looks behind, and what follows the run of white space before the cut does not change it.
 */
const cuttable: readonly RegExp[] = [
  /^\(\?i:'s\|'t\|'re\|'ve\|'m\|'ll\|'d\)$/,
  /^\[\^\\r\\n\\p\{L\}\\p\{N\}\]\?\\p\{L\}\+$/,
  /^\\p\{N\}(\{1,3\})?$/,
  /^ \?\[\^\\s\\p\{L\}\\p\{N\}\]\+\[\\r\\n\/?\]\*$/,
  /^\\s\*\[\\r\\n\]\+$/,
  /^\\s\+\(\?!\\S\)$/,
  /^\\s\+$/,
  /^\[\^\\r\\n\\p\{L\}\\p\{N\}\]\?\[(\\p\{(Lu|Lt|Lm|Lo|M)\})+\]\*\[(\\p\{(Ll|Lm|Lo|M)\})+\]\+\(\?i:'s\|'t\|'re\|'ve\|'m\|'ll\|'d\)\?$/,
  /^\[\^\\r\\n\\p\{L\}\\p\{N\}\]\?\[(\\p\{(Lu|Lt|Lm|Lo|M)\})+\]\+\[(\\p\{(Ll|Lm|Lo|M)\})+\]\*\(\?i:'s\|'t\|'re\|'ve\|'m\|'ll\|'d\)\?$/,
];

/** The alternatives of an expression at its outermost level. */
function alternatives(source: string): string[] {
  const parts: string[] = [];
  let depth = 0, from = 0;
  for (let i = 0; i < source.length; i++) {
    const c = source[i];
    if (c === "\\") i++;
    else if (c === "(" || c === "[") depth++;
    else if (c === ")" || c === "]") depth--;
    else if (c === "|" && depth === 0) {
      parts.push(source.slice(from, i));
      from = i + 1;
    }
  }
  return [...parts, source.slice(from)];
}

/** Escapes that mean the same in both languages, besides `\s`, `\S` and `\p{…}`. */
const plainEscapes = /^\\(?:[rntfv\\\/.*+?^${}()|[\]-]|u[0-9a-fA-F]{4})/;

/**
 * The JavaScript source of an expression in the reference library's language (Oniguruma); undefined when it holds
 * something that may mean another thing there.
 */
export function translateRegex(source: string): string | undefined {
  let out = "";
  let inClass = false;
  for (let i = 0; i < source.length;) {
    const rest = source.slice(i);
    const property = /^\\[pP]\{(L|N|M|P|S|Z|C|L[ultmo]|M[nce]|N[dlo]|P[cdseifo]|S[mcko]|Z[slp]|Cc|Han)\}/.exec(rest);
    const escape = property ?? plainEscapes.exec(rest);
    if (property) out += property[0].replace("{Han}", "{Script=Han}");
    else if (escape) out += escape[0] === "\\-" && !inClass ? "-" : escape[0];
    else if (rest.startsWith("\\s")) out += inClass ? whiteSpace : `[${whiteSpace}]`;
    else if (rest.startsWith("\\S") && !inClass) out += `[^${whiteSpace}]`;
    else if (/^\\["#%&',:;<=>@_`~ ]/.test(rest)) out += rest[1];
    else if (rest[0] === "\\") return undefined;
    else if (inClass && (rest[0] === "[" || rest.startsWith("&&"))) return undefined;
    else if (!inClass && (rest[0] === "^" || rest[0] === "$" || rest[0] === ".")) return undefined;
    else if (!inClass && /^(?:(?:[*+?]|\{[\d,]+\})\+|\(\?(?!:|!|=|i:))/.test(rest)) return undefined;
    else {
      if (rest[0] === "[") inClass = true;
      if (rest[0] === "]") inClass = false;
      out += rest[0];
    }
    i += escape ? escape[0].length : rest[0] === "\\" ? 2 : 1;
  }
  return compiles(out) ? out : undefined;
}

function compiles(source: string): boolean {
  try {
    new RegExp(source, "yu");
    return true;
  } catch {
    return false;
  }
}

interface Stage {
  readonly type?: string;
  readonly pattern?: { readonly Regex?: string; readonly String?: string };
  readonly behavior?: string;
  readonly invert?: boolean;
  readonly add_prefix_space?: boolean;
  readonly use_regex?: boolean;
  readonly individual_digits?: boolean;
  readonly pretokenizers?: readonly Stage[];
}

/** Reads `pre_tokenizer` of a `tokenizer.json`; undefined unless it is byte-level and exactly known. */
export function readPreTokenizer(value: unknown): PreTokenizer | undefined {
  const root = value as Stage | null;
  const list = root?.type === "Sequence" ? root.pretokenizers ?? [] : root ? [root] : [];
  const last = list.at(-1);
  if (last?.type !== "ByteLevel" || last.add_prefix_space !== false) return undefined;
  const sources: string[] = [];
  for (const stage of list.slice(0, -1)) {
    const source = stageSource(stage);
    if (source === undefined) return undefined;
    sources.push(source);
  }
  if (last.use_regex !== false) sources.push(gpt2);
  const stages = sources.map(translateRegex);
  if (stages.some((source) => source === undefined)) return undefined;
  const cutsAtLines = sources.length === 1 &&
    alternatives(sources[0]).every((part) => cuttable.some((known) => known.test(part)));
  return { stages: stages as string[], cutsAtLines };
}

function stageSource(stage: Stage): string | undefined {
  if (stage.type === "Digits") return stage.individual_digits ? "\\p{N}" : "\\p{N}+";
  if (stage.type !== "Split") return undefined;
  const { Regex: regex, String: text } = stage.pattern ?? {};
  const source = regex ?? text?.replace(/[\\.*+?^${}()|[\]\/-]/g, "\\$&");
  if (source === undefined) return undefined;
  // Matches and gaps both stay as pieces; with `Removed` and `invert` that holds where the expression leaves no gap.
  if (stage.behavior === "Isolated" && !stage.invert) return source;
  return stage.behavior === "Removed" && stage.invert && leavesNoGap(source) ? source : undefined;
}

/** Every character begins a match: tried with a letter, digit, mark and white space of each kind. */
function leavesNoGap(source: string): boolean {
  const translated = translateRegex(source);
  if (translated === undefined || !/ \?\[\^\\s\\p\{L\}\\p\{N\}\]\+/.test(source)) return false;
  const whole = new RegExp(translated, "yu");
  return ["A", "a", "ǅ", "ʰ", "中", "1", "Ⅷ", "½", " ", "\n", "\u3000"].every((char) => {
    whole.lastIndex = 0;
    return whole.test(char);
  });
}

/** Ends of words, in a list that is reused. */
export class Splitter {
  readonly #stages: readonly RegExp[];
  #ends = new Int32Array(1024);
  #other = new Int32Array(1024);

  constructor({ stages }: PreTokenizer) {
    this.#stages = stages.map((source) => new RegExp(source, "yu"));
  }

  /** The end of each word of `text`, in order: the first `count` of `ends`, valid until the next call. */
  split(text: string): { readonly ends: Int32Array; readonly count: number } {
    let count = 1;
    this.#ends[0] = text.length;
    for (const [i, stage] of this.#stages.entries()) {
      count = i === 0 ? this.#apply(stage, text, 0, 0) : this.#applyEach(stage, text, count);
    }
    return { ends: this.#ends, count };
  }

  #applyEach(stage: RegExp, text: string, pieces: number): number {
    const ends = this.#other;
    this.#other = this.#ends;
    this.#ends = ends;
    let count = 0, from = 0;
    for (let i = 0; i < pieces; i++) {
      const to = this.#other[i];
      count = this.#apply(stage, text.slice(from, to), from, count);
      from = to;
    }
    return count;
  }

  /** Appends the ends of the matches in `text`, and of the gaps between them, shifted by `offset`. */
  #apply(stage: RegExp, text: string, offset: number, count: number): number {
    let gap = false;
    for (let at = 0; at < text.length;) {
      stage.lastIndex = at;
      const matched = stage.test(text) && stage.lastIndex > at;
      if (count + 2 > this.#ends.length) this.#grow();
      if (matched && gap) this.#ends[count++] = offset + at;
      gap = !matched;
      at = matched ? stage.lastIndex : at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
      if (matched || at >= text.length) this.#ends[count++] = offset + at;
    }
    return count;
  }

  #grow(): void {
    const grown = new Int32Array(this.#ends.length * 2);
    grown.set(this.#ends);
    this.#ends = grown;
  }
}
