/** Read access to header fields by lower-case name; the platform's `Headers` is such, and so is {@link Fields}. */
export interface HeaderFields {
  /** Values of one name joined by a comma; null when there is none. */
  get(name: string): string | null;
  has(name: string): boolean;
  forEach(use: (value: string, name: string) => void): void;
}

/**
 * The header fields of one message in their order, without the checks and sorting of the platform's `Headers`, which cost
 * more than all else that is done with a short request's head. Names are lower case.
 */
export class Fields implements HeaderFields {
  /** Name, value, name, value, and so on. */
  readonly #list: string[] = [];

  get count(): number {
    return this.#list.length / 2;
  }

  get(name: string): string | null {
    const list = this.#list;
    let found: string | null = null;
    for (let i = 0; i < list.length; i += 2) {
      if (list[i] === name) found = found === null ? list[i + 1] : `${found}, ${list[i + 1]}`;
    }
    return found;
  }

  has(name: string): boolean {
    return this.times(name) > 0;
  }

  /** How often a name stands in the message. */
  times(name: string): number {
    const list = this.#list;
    let times = 0;
    for (let i = 0; i < list.length; i += 2) if (list[i] === name) times++;
    return times;
  }

  forEach(use: (value: string, name: string) => void): void {
    const list = this.#list;
    for (let i = 0; i < list.length; i += 2) use(list[i + 1], list[i]);
  }

  *[Symbol.iterator](): Generator<[string, string]> {
    for (let i = 0; i < this.#list.length; i += 2) yield [this.#list[i], this.#list[i + 1]];
  }

  /** Adds a field that came over a wire, read by {@link parseField}. */
  push(name: string, value: string): void {
    this.#list.push(name, value);
  }

  /** Adds a field of our own. Throws TypeError for bytes that would end the line or are no bytes. */
  append(name: string, value: string): void {
    if (!writable.test(value)) throw new TypeError(`Cannot write header ${name}: its value has control characters`);
    this.#list.push(name, value);
  }

  /** Puts `value` in place of what stood under the name. */
  set(name: string, value: string): void {
    const list = this.#list;
    for (let i = list.length - 2; i >= 0; i -= 2) if (list[i] === name) list.splice(i, 2);
    this.append(name, value);
  }
}

const writable = /^[\t\x20-\x7e\x80-\xff]*$/;

/** The characters of a token (RFC 9110 section 5.6.2), 1 for each. */
const tokenCodes = new Uint8Array(128);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") {
  tokenCodes[character.charCodeAt(0)] = 1;
  tokenCodes[character.toUpperCase().charCodeAt(0)] = 1;
}

/**
 * Reads one header line into `into`; false for a line that is none: a name that is no token, space before the colon, a
 * folded line, a control character other than a tab.
 */
export function parseField(line: string, into: Fields): boolean {
  const colon = line.indexOf(":");
  if (colon <= 0) return false;
  for (let i = 0; i < colon; i++) {
    const code = line.charCodeAt(i);
    if (code > 127 || tokenCodes[code] === 0) return false;
  }
  let from = colon + 1, to = line.length;
  while (from < to && isBlank(line.charCodeAt(from))) from++;
  while (to > from && isBlank(line.charCodeAt(to - 1))) to--;
  for (let i = from; i < to; i++) {
    const code = line.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return false;
  }
  into.push(line.slice(0, colon).toLowerCase(), line.slice(from, to));
  return true;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** Whether a comma-separated header lists a word, in any case. */
export function lists(value: string | null, word: string): boolean {
  if (value === null) return false;
  return value.split(",").some((entry) => entry.trim().toLowerCase() === word);
}
