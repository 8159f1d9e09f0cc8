/** Tokens that are cut out of a text before anything else looks at it, such as `<|im_start|>`. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Swallows white space before it. */
  readonly lstrip: boolean;
  /** Swallows white space after it. */
  readonly rstrip: boolean;
  /** Looked for in the normalized text, not in the text as it came. */
  readonly normalized: boolean;
}

interface TrieNode {
  readonly next: Map<number, TrieNode>;
  token?: AddedToken;
}

/** An added token in a text, with the white space it swallows. */
export interface Mark {
  readonly start: number;
  readonly end: number;
  readonly id: number;
}

const whiteSpace = /\p{White_Space}/u;

/** Finds added tokens: leftmost first, the longest of those that begin at one place. */
export class AddedTokenMatcher {
  readonly #root: TrieNode = { next: new Map() };
  /** A UTF-16 unit that begins a token. */
  readonly #firsts: RegExp;
  readonly empty: boolean;

  constructor(tokens: readonly AddedToken[]) {
    this.empty = tokens.length === 0;
    const firsts = new Set<string>();
    for (const token of tokens) {
      let node = this.#root;
      for (let i = 0; i < token.content.length; i++) {
        const unit = token.content.charCodeAt(i);
        let next = node.next.get(unit);
        if (!next) node.next.set(unit, next = { next: new Map() });
        node = next;
      }
      node.token ??= token;
      if (token.content !== "") firsts.add(`\\u${token.content.charCodeAt(0).toString(16).padStart(4, "0")}`);
    }
    this.#firsts = new RegExp(`[${[...firsts].join("")}]`, "g");
  }

  /** Every token of `text`, in order; none overlaps the one before. */
  marks(text: string): Mark[] {
    const marks: Mark[] = [];
    const firsts = this.#firsts;
    let taken = 0;
    firsts.lastIndex = 0;
    while (firsts.test(text)) {
      const at = firsts.lastIndex - 1;
      const token = this.#matchAt(text, at);
      if (!token) continue;
      const end = at + token.content.length;
      const start = token.lstrip ? stripLeft(text, taken, at) : at;
      taken = token.rstrip ? stripRight(text, end) : end;
      marks.push({ start, end: taken, id: token.id });
      firsts.lastIndex = taken;
    }
    return marks;
  }

  /** The longest token that begins at `at`. */
  #matchAt(text: string, at: number): AddedToken | undefined {
    let node: TrieNode | undefined = this.#root;
    let found: AddedToken | undefined;
    for (let i = at; i < text.length; i++) {
      node = node.next.get(text.charCodeAt(i));
      if (!node) break;
      if (node.token) found = node.token;
    }
    return found;
  }
}

/** Where the white space before `at` begins, not before `from`. */
function stripLeft(text: string, from: number, at: number): number {
  while (at > from && whiteSpace.test(text[at - 1])) at--;
  return at;
}

/** Where the white space from `at` on ends. */
function stripRight(text: string, at: number): number {
  while (at < text.length && whiteSpace.test(text[at])) at++;
  return at;
}
