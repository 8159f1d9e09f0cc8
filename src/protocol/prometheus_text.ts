/**
 * Reads the Prometheus text exposition format (version 0.0.4, and OpenMetrics pages as far as plain samples go) straight
 * from bytes, looking only at metrics that were asked for. A line of any other metric costs the hash of its name and one
 * search for the next newline: no string, no object.
 */

/** A metric name and the labels a series must carry to count. */
export interface MetricSelector {
  readonly name: string;
  readonly labels: readonly (readonly [name: string, value: string])[];
}

/** What one scan saw. */
export interface ScanResult {
  /** Series handed to the sink. */
  readonly matched: number;
  /** Lines of wanted metrics that could not be read. Lines of other metrics are not checked. */
  readonly malformed: number;
  /** The page was longer than `bytesMax`; only whole lines before that were read. */
  readonly truncated: boolean;
}

/** Labels a series may have; a line with more is malformed. Engines have at most about 40 (`vllm:cache_config_info`). */
export const seriesLabelsMax = 128;

const selectorName = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const selectorLabel =
  /^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s,{}"'=~]+))\s*/;

/**
 * Compiles `name` or `name{label=value,…}`, values quoted with `"`, `'` or bare.
 *
 * @throws {SyntaxError} If the text is anything else, such as a matcher with `!=` or `=~`.
 */
export function parseSelector(text: string): MetricSelector {
  const fail = (): never => {
    throw new SyntaxError(
      `Cannot read the metric selector as it must be name{label=value,…}: current value is "${text}"`,
    );
  };
  const trimmed = text.trim();
  const name = selectorName.exec(trimmed)?.[0] ?? fail();
  let rest = trimmed.slice(name.length).trimStart();
  const labels: [string, string][] = [];
  if (rest === "") return { name, labels };
  if (!rest.startsWith("{") || !rest.endsWith("}")) fail();
  rest = rest.slice(1, -1).trim();
  while (rest !== "") {
    const found = selectorLabel.exec(rest) ?? fail();
    labels.push([found[1], unescapeSelector(found[2] ?? found[3]) ?? found[4]]);
    rest = rest.slice(found[0].length);
    if (rest === "") break;
    if (!rest.startsWith(",")) fail();
    rest = rest.slice(1).trim();
  }
  return { name, labels };
}

function unescapeSelector(quoted: string | undefined): string | undefined {
  return quoted?.replace(/\\(.)/gs, (_, c) => c === "n" ? "\n" : c === "t" ? "\t" : c);
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** One line of a wanted metric. The scanner reuses it: read what is needed before the sink returns. */
export class Series {
  value = NaN;
  /** As written: milliseconds in the classic format, seconds in OpenMetrics; NaN when the line has none. */
  timestamp = NaN;
  bytes: Uint8Array = new Uint8Array();
  labelCount = 0;
  /** Four offsets a label: name start, name end, value start, value end. */
  readonly spans = new Uint32Array(4 * seriesLabelsMax);

  /** The value of a label, unescaped; undefined when the series has no such label. */
  label(name: string): string | undefined {
    const at = this.#find(name);
    return at < 0 ? undefined : this.#value(at);
  }

  hasLabel(name: string, value: string): boolean {
    const at = this.#find(name);
    if (at < 0) return false;
    return this.#equals(this.spans[at + 2], this.spans[at + 3], value) || this.#value(at) === value;
  }

  #find(name: string): number {
    for (let at = 0; at < 4 * this.labelCount; at += 4) {
      if (this.#equals(this.spans[at], this.spans[at + 1], name)) return at;
    }
    return -1;
  }

  #equals(start: number, end: number, text: string): boolean {
    if (end - start !== text.length) return false;
    for (let i = 0; i < text.length; i++) if (this.bytes[start + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  #value(at: number): string {
    const raw = this.bytes.subarray(this.spans[at + 2], this.spans[at + 3]);
    const text = decoder.decode(raw);
    if (!text.includes("\\")) return text;
    // The format knows three escapes; a backslash before anything else stands for itself.
    return text.replace(/\\([\\"n])/g, (_, c) => c === "n" ? "\n" : c);
  }
}

interface WantedName {
  readonly bytes: Uint8Array;
  readonly selectors: readonly { readonly index: number; readonly labels: MetricSelector["labels"] }[];
}

const newline = 10, tab = 9, space = 32, hash = 35, quote = 34, comma = 44, equals = 61, backslash = 92;
const openBrace = 123, closeBrace = 125, carriageReturn = 13;
const fnvOffset = 0x811c9dc5, fnvPrime = 0x01000193;

const isNameByte = new Uint8Array(256);
for (const c of encoder.encode("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:")) isNameByte[c] = 1;

/** A set of selectors, compiled once and used for any number of pages. Not re-entrant: the sink must not scan again. */
export class PrometheusScanner {
  readonly selectors: readonly MetricSelector[];
  readonly #wanted = new Map<number, WantedName[]>();
  readonly #series = new Series();
  #bytes: Uint8Array = new Uint8Array();
  #at = 0;

  constructor(selectors: readonly MetricSelector[]) {
    this.selectors = selectors;
    const byName = new Map<string, WantedName["selectors"][number][]>();
    selectors.forEach(({ name, labels }, index) => {
      const list = byName.get(name) ?? [];
      byName.set(name, list);
      list.push({ index, labels });
    });
    for (const [name, list] of byName) {
      const bytes = encoder.encode(name);
      let code = fnvOffset;
      for (const byte of bytes) code = Math.imul(code ^ byte, fnvPrime);
      this.#wanted.set(code, [...this.#wanted.get(code) ?? [], { bytes, selectors: list }]);
    }
  }

  /**
   * Calls `sink` for every series that a selector matches, in page order; a series that several selectors match is handed
   * over once for each. `bytesMax` bounds the work on one page.
   */
  scan(page: Uint8Array, sink: (selector: number, series: Series) => void, bytesMax = Infinity): ScanResult {
    const truncated = page.length > bytesMax;
    const end = truncated ? page.subarray(0, bytesMax).lastIndexOf(newline) + 1 : page.length;
    // A view keeps every search below inside the bytes that count.
    const bytes = truncated ? page.subarray(0, end) : page;
    this.#bytes = bytes;
    this.#series.bytes = bytes;
    let matched = 0, malformed = 0, at = 0;
    while (at < end) {
      while (at < end && (bytes[at] === space || bytes[at] === tab)) at++;
      const start = at;
      let code = fnvOffset;
      while (at < end && isNameByte[bytes[at]] === 1) code = Math.imul(code ^ bytes[at++], fnvPrime);
      const wanted = at > start ? this.#lookup(code, start, at) : undefined;
      if (wanted) {
        this.#at = at;
        if (this.#readSample(end)) {
          for (const { index, labels } of wanted.selectors) {
            if (!this.#carries(labels)) continue;
            matched++;
            sink(index, this.#series);
          }
        } else {
          malformed++;
        }
      }
      const next = bytes.indexOf(newline, at);
      if (next < 0) break;
      at = next + 1;
    }
    this.#bytes = this.#series.bytes = new Uint8Array();
    return { matched, malformed, truncated };
  }

  #lookup(code: number, start: number, end: number): WantedName | undefined {
    const candidates = this.#wanted.get(code);
    if (!candidates) return undefined;
    for (const candidate of candidates) {
      if (candidate.bytes.length !== end - start) continue;
      let i = 0;
      while (i < candidate.bytes.length && candidate.bytes[i] === this.#bytes[start + i]) i++;
      if (i === candidate.bytes.length) return candidate;
    }
    return undefined;
  }

  #carries(labels: MetricSelector["labels"]): boolean {
    for (const [name, value] of labels) if (!this.#series.hasLabel(name, value)) return false;
    return true;
  }

  #skipBlanks(): number {
    let c = this.#bytes[this.#at];
    while (c === space || c === tab) c = this.#bytes[++this.#at];
    return c;
  }

  /** From behind the name to the end of the line; false when the line is not a sample. */
  #readSample(end: number): boolean {
    const series = this.#series;
    series.labelCount = 0;
    series.timestamp = NaN;
    const blankBefore = this.#bytes[this.#at] === space || this.#bytes[this.#at] === tab;
    let c = this.#skipBlanks();
    if (c === openBrace) {
      this.#at++;
      if (!this.#readLabels()) return false;
      c = this.#skipBlanks();
    } else if (!blankBefore) return false;
    if (!this.#readNumber(end)) return false;
    series.value = this.#number;
    c = this.#skipBlanks();
    if (!this.#atLineEnd(c) && c !== hash) {
      if (!this.#readNumber(end)) return false;
      series.timestamp = this.#number;
      c = this.#skipBlanks();
    }
    // Behind a hash sign stands an OpenMetrics exemplar.
    return this.#atLineEnd(c) || c === hash;
  }

  #atLineEnd(c: number | undefined): boolean {
    return c === undefined || c === newline ||
      (c === carriageReturn && (this.#bytes[this.#at + 1] ?? newline) === newline);
  }

  #readLabels(): boolean {
    const bytes = this.#bytes, spans = this.#series.spans;
    for (let count = 0;; count++) {
      let c = this.#skipBlanks();
      if (c === closeBrace) {
        this.#at++;
        this.#series.labelCount = count;
        return true;
      }
      if (count === seriesLabelsMax) return false;
      const nameStart = this.#at;
      while (isNameByte[bytes[this.#at]] === 1) this.#at++;
      const nameEnd = this.#at;
      if (nameEnd === nameStart || this.#skipBlanks() !== equals) return false;
      this.#at++;
      if (this.#skipBlanks() !== quote) return false;
      const valueStart = ++this.#at;
      while ((c = bytes[this.#at]) !== quote) {
        if (c === undefined || c === newline) return false;
        this.#at += c === backslash && bytes[this.#at + 1] !== newline ? 2 : 1;
      }
      spans[4 * count] = nameStart;
      spans[4 * count + 1] = nameEnd;
      spans[4 * count + 2] = valueStart;
      spans[4 * count + 3] = this.#at++;
      c = this.#skipBlanks();
      if (c === comma) this.#at++;
      else if (c !== closeBrace) return false;
    }
  }

  #number = NaN;

  /**
   * A decimal number, NaN or an infinity. Up to 15 digits with a power of ten up to 22 are exact in one division or
   * multiplication of doubles (Clinger's fast path); the rest goes through `Number`.
   */
  #readNumber(end: number): boolean {
    const bytes = this.#bytes, start = this.#at;
    let at = start, mantissa = 0, digits = 0, scale = 0;
    const negative = bytes[at] === 45;
    if (negative || bytes[at] === 43) at++;
    for (let fraction = false; at < end; at++) {
      const c = bytes[at];
      if (c >= 48 && c <= 57) {
        mantissa = mantissa * 10 + (c - 48);
        digits++;
        if (fraction) scale++;
      } else if (c === 46 && !fraction) fraction = true;
      else break;
    }
    let stop = at;
    while (stop < end && bytes[stop] > space) stop++;
    this.#at = stop;
    if (stop === at && digits > 0 && digits <= 15) {
      const value = scale === 0 ? mantissa : mantissa / 10 ** scale;
      this.#number = negative ? -value : value;
      return true;
    }
    return this.#readRareNumber(start, stop);
  }

  #readRareNumber(start: number, stop: number): boolean {
    if (stop - start > 64) return false;
    const text = decoder.decode(this.#bytes.subarray(start, stop));
    if (/^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text)) this.#number = Number(text);
    else if (/^[+-]?nan$/i.test(text)) this.#number = NaN;
    else if (/^\+?inf(inity)?$/i.test(text)) this.#number = Infinity;
    else if (/^-inf(inity)?$/i.test(text)) this.#number = -Infinity;
    else return false;
    return true;
  }
}
