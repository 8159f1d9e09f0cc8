import { Prng } from "../core/mod.ts";
import { ChainHash } from "./hash.ts";
import { specialTokens } from "./tokenizer.ts";

/** Words of three letters: with the space before it each is one token, and any row of them reads as text. */
const words =
  ("the and for are but not you all any can had her was one our out day get has him his how man new now old " +
    "see two way who its let put say she too use dad mom run big box yes why far own off red hot ten sun air sea top low " +
    "ask buy cut end eat fly hit law lot mix net oil pay ran set sit six try war win arm bad bed bit boy car cup dog ear")
    .split(" ");

const encoder = new TextEncoder();

const wordIds = Uint32Array.from(words, (word) => new DataView(encoder.encode(` ${word}`).buffer).getUint32(0, true));

/** Shares of llm-d-inference-sim's histogram of answer lengths: six equal ranges up to the limit. */
const lengthShares = [0.2, 0.3, 0.2, 0.05, 0.1, 0.15];

/** What an engine will answer. */
export interface Answer {
  /** Output token ids; the last is the end token when the answer stops by itself. */
  readonly ids: Uint32Array;
  readonly finishReason: "stop" | "length";
}

/** How long the answer may be. */
export interface AnswerLimits {
  /** The most tokens there may be. */
  readonly tokensMax: number;
  /** Whether the answer may stop earlier. */
  readonly mayStop: boolean;
}

/** The answer to a prompt: the same for the same seed, prompt and choice, whenever and wherever it is asked. */
export function answerTo(prompt: ArrayLike<number>, choice: number, seed: number, limits: AnswerLimits): Answer {
  const prng = new Prng(fingerprint(prompt, choice, seed));
  const length = limits.mayStop ? drawLength(prng, limits.tokensMax) : limits.tokensMax;
  const stops = limits.mayStop && length < limits.tokensMax;
  const ids = Uint32Array.from({ length }, () => wordIds[prng.below(wordIds.length)]);
  if (stops) ids[length - 1] = specialTokens.messageEnd;
  return { ids, finishReason: stops ? "stop" : "length" };
}

function drawLength(prng: Prng, most: number): number {
  let share = prng.float();
  let range = 0;
  while (range < lengthShares.length - 1 && share >= lengthShares[range]) share -= lengthShares[range++];
  return Math.min(most, 1 + Math.floor((range + prng.float()) * most / lengthShares.length));
}

function fingerprint(prompt: ArrayLike<number>, choice: number, seed: number): number {
  const hash = new ChainHash(seed);
  for (let i = 0; i < prompt.length; i++) hash.update(prompt[i]);
  hash.update(choice);
  return hash.link();
}

/** A unit vector that depends on the tokens alone. */
export function embeddingOf(ids: ArrayLike<number>, dimensions: number, seed: number): Float32Array {
  const prng = new Prng(fingerprint(ids, 0, seed));
  const vector = Float32Array.from({ length: dimensions }, () => prng.normal(0, 1));
  const norm = Math.hypot(...vector);
  return vector.map((value) => value / norm);
}

/** A relevance in [0, 1) that depends on the tokens of both texts alone. */
export function relevanceOf(query: ArrayLike<number>, document: ArrayLike<number>, seed: number): number {
  return new Prng(fingerprint(document, fingerprint(query, 0, seed), seed)).float();
}
