/**
 * `index`: how fast does the prefix tree take in what engines say, how long does a lookup take, how much memory is a pair?
 *
 *     deno task bench index [--pairs 10000000] [--rounds 40] [--json]
 *
 * Measured, on one thread, through the door the router uses: `store` and `remove` of what engines announce, token ids
 * hashed on the way; `match` of 128 blocks. A pair is one block at one endpoint. Made up: the traffic (64 engines, 16
 * tokens a block; conversations of 128 blocks and up to three further turns, a quarter of the first part a system prompt
 * that many share; 35 % of them computed at a second engine, 15 % at a third; each engine forgets its oldest conversation
 * when its cache is full). `unshared_` is the same without system prompts and second copies: each block at one engine.
 * Events are made before the clock starts. At the end of each run the tree is compared with what the traffic says the
 * caches hold; a difference fails the run, so that no work is left undone in the figures.
 *
 *   block_ops_per_s          blocks stored and removed, with the caches full; a step of some 100k a round
 *   lookup_us_p50_128, _p99_ prompts that some engine holds, chosen by chance; a pass over 20,000 in every eighth round
 *   blocks, pairs            different blocks, and pairs, while those were measured
 *   region_mb                memory the tree was given for that
 *   bytes_per_holder         a region of 64 MiB ÷ the pairs in it when it is full for the first time; reverse map, sets of
 *                            holders, free room and all
 *   soak_blocks              blocks stored into the full region, which gives up others for them
 *   soak_ops_per_s, soak_rss_mb   how fast, and growth of the process's memory over the last nine tenths of it
 */
import { strictEqual } from "node:assert/strict";
import { Hotpath } from "../src/hotpath/mod.ts";
import { Batch, hashOf } from "./index/batch.ts";
import { blockTokens, promptTokens, Traffic, type TrafficShape } from "./index/traffic.ts";
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { Figures, quantile } from "./lib/stats.ts";

const slots = 64;
const lookupBlocks = 128;
const MiB = 2 ** 20;
const shapes = { "": { systems: 256, again: [0.35, 0.15] }, "unshared_": { systems: 0, again: [0, 0] } } as const;

interface Setting {
  readonly pairs: number;
  readonly rounds: number;
  readonly stepBlocks: number;
  readonly lookups: number;
  /** Bytes of the region that is filled to the brim, and blocks that then go through it. */
  readonly fullBytes: number;
  readonly soakBlocks: number;
  readonly context: BenchContext;
}

export const index: Bench = {
  name: "index",
  summary: "How fast is the prefix tree, and how much memory does it take?",
  flags: [
    { flag: "--pairs <n>", about: "blocks all caches hold together", fallback: "10000000" },
    { flag: "--rounds <n>", about: "rounds of changes, eight of which go to one of lookups", fallback: "40" },
  ],
  run: async (flags: Flags, context: BenchContext): Promise<Report> => {
    const { smoke } = context;
    const setting: Setting = {
      pairs: smoke ? 50_000 : positiveInteger(flags, "pairs"),
      rounds: smoke ? 4 : positiveInteger(flags, "rounds"),
      stepBlocks: smoke ? 5000 : 100_000,
      lookups: smoke ? 100 : 20_000,
      fullBytes: smoke ? MiB : 64 * MiB,
      soakBlocks: smoke ? 100_000 : 10_000_000,
      context,
    };
    const figures = new Figures();
    for (const [prefix, shape] of Object.entries(shapes)) {
      await stream(setting, prefix, { slots, pairs: setting.pairs, seed: 1, ...shape }, figures);
      await full(setting, prefix, { slots, pairs: Infinity, seed: 2, ...shape }, figures);
    }
    return { figures: figures.toRecord() };
  },
};

function load(blockTreeBytes: number): Promise<Hotpath> {
  return Hotpath.load(
    { endpoints: slots, blockTreeBytes, bodyBytesMax: 64, prefixTokensMax: 8192 },
    1,
  );
}

/** Full caches: what engines say, and lookups in between. */
async function stream(setting: Setting, prefix: string, shape: TrafficShape, figures: Figures): Promise<void> {
  const { pairs, rounds, stepBlocks, lookups, context: { progress } } = setting;
  // 48 bytes a pair, and at least what the smallest tree needs.
  const bytes = Math.max(4 * MiB, pairs * 48);
  const { blockTree: tree } = await load(bytes);
  const traffic = new Traffic(shape);
  for (let done = 0; done < pairs * 1.02;) {
    const batch = Batch.of(traffic, stepBlocks);
    batch.apply(tree);
    done += batch.operations;
    progress.update(`${prefix}fill`, Math.min(done, pairs), pairs);
  }
  for (let round = 0; round < rounds; round++) {
    progress.update(`${prefix}changes and lookups`, round, rounds);
    const batch = Batch.of(traffic, stepBlocks);
    const startMs = performance.now();
    batch.apply(tree);
    figures.add(`${prefix}block_ops_per_s`, batch.operations / (performance.now() - startMs) * 1000);
    if (round % 8 > 0) continue;
    const paths = Array.from({ length: lookups }, () => {
      const { slot, source } = traffic.sample();
      return { slot, path: tree.chain({ tokens: promptTokens(source), blockTokens, lora: "" }).slice(0, lookupBlocks) };
    });
    addLookups(figures, prefix, paths, (path) => tree.match(path).blocks);
  }
  const { blocks, pairs: held, evicted } = tree.stats();
  strictEqual(evicted, 0);
  strictEqual(held, traffic.pairs);
  strictEqual(blocks, traffic.blocks);
  traffic.caches.forEach((cache, slot) => {
    strictEqual(tree.slotStats(slot).blocks, cache.blocks);
    for (const source of cache.held.slice(cache.head)) {
      for (let block = 0; block < source.blocks; block += 7) {
        strictEqual(tree.knows(slot, hashOf(slot, source, block)), true, "what a cache holds is known");
      }
    }
    for (const source of cache.held.slice(0, cache.head)) {
      strictEqual(tree.knows(slot, hashOf(slot, source, 0)), false, "what it forgot is not");
    }
  });
  figures.add(`${prefix}blocks`, blocks);
  figures.add(`${prefix}pairs`, held);
  figures.add(`${prefix}region_mb`, bytes / 1e6);
}

interface Lookup {
  readonly slot: number;
  readonly path: BigUint64Array;
}

function addLookups(
  figures: Figures,
  prefix: string,
  paths: readonly Lookup[],
  match: (path: BigUint64Array) => Int32Array,
): void {
  const us = new Float64Array(paths.length);
  let wrong = 0;
  for (let i = 0; i < paths.length; i++) {
    const { slot, path } = paths[i];
    const startMs = performance.now();
    const blocks = match(path);
    us[i] = (performance.now() - startMs) * 1000;
    if (blocks[slot] !== path.length) wrong++;
  }
  strictEqual(wrong, 0, "every prompt is found in full");
  us.sort();
  figures.add(`${prefix}lookup_us_p50_128`, quantile(us, 0.5));
  figures.add(`${prefix}lookup_us_p99_128`, quantile(us, 0.99));
}

/** A region filled until it gives something up, then many times as much. */
async function full(setting: Setting, prefix: string, shape: TrafficShape, figures: Figures): Promise<void> {
  const { fullBytes, stepBlocks, soakBlocks, context: { progress } } = setting;
  const { blockTree: tree } = await load(fullBytes);
  const traffic = new Traffic(shape);
  let most = 0;
  while (tree.stats().evicted === 0) {
    Batch.of(traffic, stepBlocks / 20).apply(tree);
    most = Math.max(most, tree.stats().pairs);
  }
  figures.add(`${prefix}bytes_per_holder`, fullBytes / most);
  let soaked = 0, ms = 0, rssBefore = 0;
  while (soaked < soakBlocks) {
    progress.update(`${prefix}soak`, soaked, soakBlocks);
    const batch = Batch.of(traffic, stepBlocks);
    const startMs = performance.now();
    batch.apply(tree);
    ms += performance.now() - startMs;
    soaked += batch.operations;
    if (rssBefore === 0 && soaked >= soakBlocks / 10) rssBefore = Deno.memoryUsage().rss;
    const { bytesUsed, bytesMax } = tree.stats();
    strictEqual(bytesUsed <= bytesMax, true, "the cap holds");
    traffic.forgetAll();
  }
  figures.add(`${prefix}soak_blocks`, soaked);
  figures.add(`${prefix}soak_ops_per_s`, soaked / ms * 1000);
  figures.add(`${prefix}soak_rss_mb`, (Deno.memoryUsage().rss - rssBefore) / MiB);
}
