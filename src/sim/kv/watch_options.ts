import { Prng } from "../../core/mod.ts";
import { ChainHash } from "../hash.ts";
import { type BlockHasher, blockHasher, type BlockHashName } from "./block_hash.ts";
import type { SimKvBatch } from "./events.ts";

/** How an endpoint tells of its cache. */
export interface KvWatchOptions {
  readonly blockHash: BlockHashName;
  /** As `PYTHONHASHSEED`; absent makes vLLM's chains start elsewhere in each life of each endpoint. */
  readonly hashSeed?: string;
  /** Base model; llm-d's hashes depend on it. */
  readonly model: string;
  /** Seed of what vLLM leaves to chance. */
  readonly seed: number;
  readonly rank: number;
  /** Whether events of slower tiers tell tokens and parent, or the hashes alone. */
  readonly offloadEvents: "self" | "location";
  /** Blocks a slower tier is written in; above 1 stores of a chunk are told again as it grows. */
  readonly offloadChunkBlocks: number;
  /** Hears each step's events as the step ends. */
  readonly onBatch?: (batch: SimKvBatch) => void;
}

export const defaultKvWatch: KvWatchOptions = {
  blockHash: "sha256-cbor",
  model: "sim/model-8b",
  seed: 0,
  rank: 0,
  offloadEvents: "self",
  offloadChunkBlocks: 1,
};

/** The hasher of the endpoint called `name` in its life number `life`. */
export function hasherOfLife(options: KvWatchOptions, name: string, life: number): BlockHasher {
  const { blockHash, hashSeed, model, seed } = options;
  const chance = new ChainHash(seed);
  chance.updateText(name);
  chance.update(life);
  return blockHasher({ name: blockHash, seed: hashSeed, model }, new Prng(chance.link()));
}
