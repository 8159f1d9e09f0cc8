import { ChainHash } from "./hash.ts";

/** A prompt as the engine sees it: its length and the keys of its full blocks, without the tokens themselves. */
export interface Prompt {
  /** Prompt length in tokens, the partial last block included. */
  readonly tokens: number;
  /**
   * Chained keys of full engine blocks in order. Keys beyond the prompt name the blocks that the output fills; where
   * they are missing, the output's blocks are not reusable.
   */
  readonly keys: Float64Array;
}

/** What besides the tokens separates one cache content from another. */
export interface ChainSeed {
  /** Tokens an engine block holds. */
  readonly blockSize: number;
  /** LoRA adapter name. */
  readonly adapter?: string;
  /** `cache_salt` of the request. */
  readonly salt?: string;
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
  const { blockSize } = seed;
  const keys = new Float64Array(Math.floor((ids.length + output.length) / blockSize));
  const chain = startChain(seed);
  for (let i = 0, at = 0; i < keys.length; i++) {
    for (const end = at + blockSize; at < end; at++) {
      chain.update(at < ids.length ? ids[at] : output[at - ids.length]);
    }
    keys[i] = chain.link();
  }
  return { tokens: ids.length, keys };
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
  return { tokens, keys };
}
