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
  /** Tokens at the end of the prompt that are the answer's own beginning. */
  readonly begun?: number;
}

/**
 * The answer to a prompt: the same for the same seed, prompt and choice, whenever and wherever it is asked.
 *
 * Each token follows from all before it, of the prompt and of the answer alike, as in a model that takes the likeliest. So a
 * prompt with the beginning of its answer appended is answered by the rest, and by something else when a token of it is
 * missing or there twice.
 */
export function answerTo(prompt: ArrayLike<number>, choice: number, seed: number, limits: AnswerLimits): Answer {
  const { tokensMax, mayStop, begun = 0 } = limits;
  const asked = prompt.length - begun;
  let state = mix(seed | 0, choice), askedState = state;
  for (let i = 0; i < prompt.length; i++) {
    state = mix(state, prompt[i]);
    if (i === asked - 1) askedState = state;
  }
  const wholeMax = tokensMax + begun;
  const whole = mayStop ? drawLength(new Prng(scattered(askedState, asked)), wholeMax) : wholeMax;
  const stops = mayStop && whole < wholeMax;
  const ids = new Uint32Array(Math.max(1, whole - begun));
  for (let i = 0; i < ids.length; i++) {
    ids[i] = wordIds[(scattered(state, prompt.length + i) >>> 0) % wordIds.length];
    state = mix(state, ids[i]);
  }
  if (stops) ids[ids.length - 1] = specialTokens.messageEnd;
  return { ids, finishReason: stops ? "stop" : "length" };
}

/** murmur3's step: the state after one more token. */
function mix(state: number, token: number): number {
  let k = Math.imul(token, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = state ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

/** murmur3's end: with the position in it, no answer runs in a circle. */
function scattered(state: number, position: number): number {
  let h = state ^ Math.imul(position, 0x9e3779b9);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
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
