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

const whiteSpace = /\p{White_Space}/u;

/** Finds added tokens: leftmost first, the longest of those that begin at one place. */
export class AddedTokenMatcher {
  readonly #root: TrieNode = { next: new Map() };
  /** 1 for UTF-16 units that begin a token. */
  readonly firsts = new Uint8Array(65_536);
  readonly empty: boolean;

  constructor(tokens: readonly AddedToken[]) {
    this.empty = tokens.length === 0;
    for (const token of tokens) {
      let node = this.#root;
      for (let i = 0; i < token.content.length; i++) {
        const unit = token.content.charCodeAt(i);
        let next = node.next.get(unit);
        if (!next) node.next.set(unit, next = { next: new Map() });
        node = next;
      }
      node.token ??= token;
      if (token.content !== "") this.firsts[token.content.charCodeAt(0)] = 1;
    }
  }

  /** The longest token that begins at `at`. */
  matchAt(text: string, at: number): AddedToken | undefined {
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
export function stripLeft(text: string, from: number, at: number): number {
  while (at > from && whiteSpace.test(text[at - 1])) at--;
  return at;
}

/** Where the white space from `at` on ends. */
export function stripRight(text: string, at: number): number {
  while (at < text.length && whiteSpace.test(text[at])) at++;
  return at;
}
