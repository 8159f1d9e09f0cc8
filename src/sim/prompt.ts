import { ChainHash } from "./hash.ts";
import type { MediaSpan } from "./kv/events.ts";

/** What a prompt's keys stand for: needed where the engine tells what its cache holds. */
export interface PromptContent {
  /** Writes the token ids of block `index` to `out`, which has the size of a block. */
  fill(index: number, out: Uint32Array): void;
  /** `cache_salt` of the request. */
  readonly salt?: string;
  readonly media?: readonly MediaSpan[];
}

/** A prompt as the engine sees it: its length and the keys of its full blocks, without the tokens themselves. */
export interface Prompt {
  /** Prompt length in tokens, the partial last block included. */
  readonly tokens: number;
  /**
   * Chained keys of full engine blocks in order. Keys beyond the prompt name the blocks that the output fills; where
   * they are missing, the output's blocks are not reusable.
   */
  readonly keys: Float64Array;
  readonly content?: PromptContent;
}

/** What besides the tokens separates one cache content from another. */
export interface ChainSeed {
  /** Tokens an engine block holds. */
  readonly blockSize: number;
  /** LoRA adapter name. */
  readonly adapter?: string;
  /** `cache_salt` of the request. */
  readonly salt?: string;
  /** Parts that are not text; their placeholder tokens alone do not tell them apart. */
  readonly media?: readonly MediaSpan[];
}

function startChain(seed: ChainSeed): ChainHash {
  const chain = new ChainHash(0x3c6ef372);
  chain.updateText(seed.adapter ?? "");
  chain.updateText(seed.salt ?? "");
  chain.link();
  return chain;
}

/** A prompt from token ids; `output` are the tokens the engine will generate, which makes their blocks reusable. */
export function promptFromTokens(ids: ArrayLike<number>, seed: ChainSeed, output: ArrayLike<number> = []): Prompt {
  const { blockSize, salt, media } = seed;
  const keys = new Float64Array(Math.floor((ids.length + output.length) / blockSize));
  const chain = startChain(seed);
  const tokenAt = (at: number) => at < ids.length ? ids[at] : output[at - ids.length];
  for (let i = 0, at = 0; i < keys.length; i++) {
    for (const { hash, offset, length } of media ?? []) {
      if (offset < at + blockSize && offset + length > at) chain.updateText(hash);
    }
    for (const end = at + blockSize; at < end; at++) chain.update(tokenAt(at));
    keys[i] = chain.link();
  }
  const fill = (index: number, out: Uint32Array) => {
    for (let i = 0; i < blockSize; i++) out[i] = tokenAt(index * blockSize + i);
  };
  return { tokens: ids.length, keys, content: { fill, salt, media } };
}

/** Token id `at` of the block a trace calls `hashId`: the same wherever the block stands; below 2^17, as in vocabularies. */
function traceToken(hashId: number, at: number): number {
  let mix = Math.imul(hashId ^ Math.imul(at, 0x9e3779b1), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 15), 0xc2b2ae35);
  return (mix ^ (mix >>> 13)) >>> 15;
}

/** Token ids of a trace line's prompt: what `promptFromTrace` gives the engine, for the router. */
export function tokensFromTrace(hashIds: ArrayLike<number>, tokens: number, traceBlockTokens = 512): Uint32Array {
  const length = Math.min(tokens, hashIds.length * traceBlockTokens);
  return Uint32Array.from(
    { length },
    (_, at) => traceToken(hashIds[Math.floor(at / traceBlockTokens)], at % traceBlockTokens),
  );
}

/**
 * A prompt from a trace line: each of `hashIds` stands for `traceBlockTokens` tokens (the last one for what is left of
 * `tokens`) and is split in engine blocks. Traces number whole prefixes, so an equal id means an equal prefix.
 */
export function promptFromTrace(
  hashIds: ArrayLike<number>,
  tokens: number,
  seed: ChainSeed,
  traceBlockTokens = 512,
): Prompt {
  const { blockSize } = seed;
  if (traceBlockTokens % blockSize !== 0) {
    throw new RangeError(
      `Cannot read the trace as traceBlockTokens must be a multiple of the block size ${blockSize}: current value is ${traceBlockTokens}`,
    );
  }
  const perId = traceBlockTokens / blockSize;
  const keys = new Float64Array(Math.min(Math.floor(tokens / blockSize), hashIds.length * perId));
  const chain = startChain(seed);
  for (let i = 0; i < keys.length; i++) {
    chain.update(hashIds[Math.floor(i / perId)]);
    chain.update(i % perId);
    keys[i] = chain.link();
  }
  const fill = (index: number, out: Uint32Array) => {
    const hashId = hashIds[Math.floor(index / perId)];
    for (let i = 0; i < blockSize; i++) out[i] = traceToken(hashId, (index % perId) * blockSize + i);
  };
  return { tokens, keys, content: { fill, salt: seed.salt } };
}
