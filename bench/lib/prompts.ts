/** Chat completion bodies: short ones, and long prompts that share most of their text. */
import { Prng } from "../../src/core/mod.ts";

/** What is asked for besides the prompt. */
export interface Asked {
  readonly maxTokens: number;
  readonly stream: boolean;
}

interface Message {
  readonly role: "system" | "user";
  readonly content: string;
}

const encoder = new TextEncoder();

/** English text has about four bytes a token. */
const bytesPerToken = 4;

const words =
  "the river ran between low hills and every evening a small boat with two old fishermen crossed it to reach " +
  "an island where nobody had lived since winter when water had come up over wooden houses of their village";

function bodyOf(messages: readonly Message[], { maxTokens, stream }: Asked): Uint8Array {
  return encoder.encode(JSON.stringify({ model: "bench", max_tokens: maxTokens, stream, messages }));
}

/** A prompt of about 90 tokens, always the same. */
export function shortBody(asked: Asked): Uint8Array {
  return bodyOf([{ role: "user", content: "Write a story about a river. ".repeat(12) }], asked);
}

/** Text of `bytes` ASCII characters with a line end every dozen words, which JSON escapes. */
function textOf(prng: Prng, bytes: number): string {
  const list = words.split(" ");
  let text = "";
  for (let n = 1; text.length < bytes; n++) text += list[prng.u32() % list.length] + (n % 12 === 0 ? "\n" : " ");
  return text.slice(0, bytes);
}

export interface PromptsOptions {
  readonly tokens: number;
  /** Of each prompt, in common with the others of its group. */
  readonly sharedShare: number;
  readonly groups: number;
  readonly seed: number;
}

/** Prompts of one length; each shares its beginning with those of its group, and its end with none. */
export class Prompts {
  readonly #shared: readonly string[];
  /** Twice as long as an end, so that ends cut from it at any place differ. */
  readonly #pool: string;
  readonly #endBytes: number;
  readonly #prng: Prng;
  #made = 0;

  constructor({ tokens, sharedShare, groups, seed }: PromptsOptions) {
    this.#prng = new Prng(seed);
    const bytes = tokens * bytesPerToken;
    this.#endBytes = Math.round(bytes * (1 - sharedShare));
    this.#shared = Array.from({ length: groups }, () => textOf(this.#prng, bytes - this.#endBytes));
    this.#pool = textOf(this.#prng, 2 * this.#endBytes);
  }

  /** The next prompt, groups in turn. */
  next(asked: Asked): Uint8Array {
    const number = this.#made++;
    const from = this.#prng.u32() % (this.#endBytes + 1);
    const end = `Question ${number}: ${this.#pool.slice(from, from + this.#endBytes)}`.slice(0, this.#endBytes);
    const system = this.#shared[number % this.#shared.length];
    return bodyOf([{ role: "system", content: system }, { role: "user", content: end }], asked);
  }
}
