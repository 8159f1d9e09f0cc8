/**
 * `tokens`: what do the exact token ids of a prompt cost?
 *
 *     deno task bench tokens [--rounds 7] [--tokens 100000] [--json]
 *
 * A chat request of about 100,000 tokens (Qwen3's vocabulary and chat template) whose messages are this repository's own
 * documents and sources line by line in a random order, 4 kB a message. Measured from the request's bytes to its ids:
 * JSON, chat template, tokenization. *Cold*: the tokenizer is new, its caches of texts and words are empty; the code is
 * compiled. *95pct cached*: the first 95 % were the previous request, of a tokenizer that has been working for a while.
 *
 * Figures without `worker_` and `load_` are of one isolate, called directly, in CPU time of its thread (where the system
 * gives none: in time of day). Those are of `Tokens` as the router uses it, in time of day from the call to the answer,
 * with the body copied to a worker and the ids back.
 *
 * `_block_` figures are the work of the calling isolate in one turn of its event loop, in CPU time of its thread: its
 * code and its garbage collection, not preemption: the time in which the machine ran something else. Absent where the
 * system does not give a thread's CPU time.
 *
 * Figures:
 *   tokens_per_s_cold       ids a second of the cold request
 *   ms_100k_cold, ms_100k_95pct_cached   milliseconds of such a request, scaled to 100,000 tokens
 *   cached_cost_ratio       the second over the first
 *   cached_share            share of the ids that came from the cache: shows that it was hit
 *   short_ms_p50, short_ms_p99   a request of 1,000 tokens, new each time, answered at once
 *   library_tokens_per_s    the same text through @huggingface/tokenizers alone, without JSON and template
 *   load_ms                 reading the vocabulary in a worker
 *   worker_ms_100k_cold, worker_ms_100k_95pct_cached
 *   max_block_ms            longest turn of a round: the two long requests, and shorter ones of every size up to the
 *                           longest that is answered at once
 *   load_block_ms           longest turn while the first vocabulary is read and the code that uses it is compiled: once
 *                           in the life of a process
 */
import { Tokenizer } from "@huggingface/tokenizers";
import { readdirSync, readFileSync } from "node:fs";
import { Prng, sleep, systemClock } from "../src/core/mod.ts";
import { JobRunner, loadTokenizer } from "../src/tokens/jobs.ts";
import { isUnavailable, type PromptTokens, Tokens, type Unavailable } from "../src/tokens/mod.ts";
import type { TokenizerData } from "../src/tokens/tokenizer_files.ts";
import { modelDirectory } from "../src/tokens/vocabulary_fixture.ts";
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { Figures, quantile } from "./lib/stats.ts";
import { threadClock, TurnWatch } from "./lib/thread_clock.ts";

const model = "qwen3";
const messageChars = 4096;
/** Characters a token of these texts; the exact count is measured. */
const charsPerToken = 3.6;
const cacheBytes = 64 * 2 ** 20;
/** Tokens of the shorter requests of a round, in the calling isolate or in a worker as their cost has it. */
const shorter = [125, 250, 500, 1000, 2000, 3000, 4000, 6000, 8000, 16_000];
/** Short requests after which the bound of what is answered at once has found its place. */
const settlingRequests = 500;

const threadMs = threadClock();
/** Milliseconds of work. */
const workMs = threadMs ?? (() => performance.now());

export const tokens: Bench = {
  name: "tokens",
  summary: "What do the exact token ids of a prompt cost?",
  flags: [
    { flag: "--rounds <n>", about: "rounds, each with texts of its own", fallback: "7" },
    { flag: "--tokens <n>", about: "tokens of the long request", fallback: "100000" },
  ],
  run: async (flags: Flags, { smoke, progress }: BenchContext): Promise<Report> => {
    const rounds = smoke ? 1 : positiveInteger(flags, "rounds");
    const size = smoke ? 5000 : positiveInteger(flags, "tokens");
    const figures = new Figures();
    const corpus = readCorpus();
    const lines = corpus.split("\n").filter((line) => line.trim() !== "");
    const bodies = (round: number) => requestBodies(lines, size, round);
    // First, so that loading meets code that is not compiled, as in a router that has started.
    const settling = smoke ? 10 : settlingRequests;
    await measureWorkers({ bodies, lines, settling, rounds, progress }, figures);
    const data = loadTokenizer({ directory: modelDirectory(model) });
    const steady = runnerOf(data);
    // Rounds below 0 let the code be compiled.
    for (let round = smoke ? 0 : -3; round < rounds; round++) {
      progress.update("one isolate", round + 3, rounds + 3);
      measureRunner(data, steady, bodies(round), round < 0 ? new Figures() : figures);
      if (round >= 0) measureShort(steady, lines, round, smoke ? 20 : 500, figures);
    }
    measureLibrary(corpus, size, rounds, figures);
    return { figures: { tokens: size, ...figures.toRecord() } };
  },
};

/** This repository's documents and sources, one after the other. */
function readCorpus(): string {
  const root = new URL("../", import.meta.url);
  const files = ["ARCHITECTURE.md", "README.md", "bench/RESULTS.md", "CHANGELOG.md"];
  for (const folder of ["src", "tests", "bench"]) {
    for (const name of readdirSync(new URL(folder, root), { recursive: true }) as string[]) {
      if (name.endsWith(".ts") && !name.includes("gen/")) files.push(`${folder}/${name}`);
    }
  }
  return files.sort().map((file) => readFileSync(new URL(file, root), "utf8")).join("\n");
}

interface Bodies {
  /** The first 95 % of the messages. */
  readonly earlier: Uint8Array;
  readonly whole: Uint8Array;
}

/**
 * Requests of about `size` tokens. Lines come in another order for each seed: no stretch of 2 kB, which the cache works
 * with, is in two of them.
 */
function requestBodies(lines: readonly string[], size: number, seed: number): Bodies {
  const prng = new Prng(seed);
  const chars = Math.round(size * charsPerToken);
  let text = "";
  while (text.length < chars) text += `${lines[prng.below(lines.length)]}\n`;
  const messages: { role: string; content: string }[] = [];
  for (let at = 0; at < text.length; at += messageChars) {
    messages.push({
      role: messages.length % 2 === 0 ? "user" : "assistant",
      content: text.slice(at, at + messageChars),
    });
  }
  const bytes = (count: number) =>
    new TextEncoder().encode(
      JSON.stringify({ model, stream: true, temperature: 0.7, messages: messages.slice(0, count) }),
    );
  return { earlier: bytes(Math.floor(messages.length * 0.95)), whole: bytes(messages.length) };
}

function exact(answer: PromptTokens | Unavailable): PromptTokens {
  if (isUnavailable(answer)) throw new Error(`Cannot measure as the ids are not known: ${answer.reason}`);
  return answer;
}

function runnerOf(data: TokenizerData): Run {
  const runner = new JobRunner(cacheBytes);
  runner.adopt(model, data, {});
  return (body) => exact(runner.run({ kind: "prompt", model, api: "chat", body }) as PromptTokens);
}

type Run = (body: Uint8Array) => PromptTokens;

function measureRunner(data: TokenizerData, steady: Run, { earlier, whole }: Bodies, figures: Figures): void {
  const fresh = runnerOf(data);
  let startMs = workMs();
  const cold = fresh(whole);
  const coldMs = workMs() - startMs;
  steady(earlier);
  startMs = workMs();
  const warm = steady(whole);
  const warmMs = workMs() - startMs;
  const scale = 100_000 / cold.tokens.length;
  figures.add("tokens_per_s_cold", cold.tokens.length / (coldMs / 1000));
  figures.add("ms_100k_cold", coldMs * scale);
  figures.add("ms_100k_95pct_cached", warmMs * scale);
  figures.add("cached_cost_ratio", warmMs / coldMs);
  figures.add("cached_share", warm.cachedTokens / warm.tokens.length);
}

function measureShort(run: Run, lines: readonly string[], round: number, count: number, figures: Figures): void {
  const times = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const { whole } = requestBodies(lines, 1000, 1_000_000 + round * count + i);
    const startMs = workMs();
    run(whole);
    times[i] = workMs() - startMs;
  }
  times.sort();
  figures.add("short_ms_p50", quantile(times, 0.5));
  figures.add("short_ms_p99", quantile(times, 0.99));
}

function measureLibrary(corpus: string, size: number, rounds: number, figures: Figures): void {
  const read = (name: string) => JSON.parse(readFileSync(`${modelDirectory(model)}${name}`, "utf8"));
  const library = new Tokenizer(read("tokenizer.json"), read("tokenizer_config.json"));
  for (let round = 0; round < rounds; round++) {
    const text = corpus.slice(round * 10_000).slice(0, Math.round(size * charsPerToken));
    const startMs = workMs();
    const { ids } = library.encode(text, { add_special_tokens: false });
    figures.add("library_tokens_per_s", ids.length / ((workMs() - startMs) / 1000));
  }
}

interface WorkersPlan {
  readonly bodies: (round: number) => Bodies;
  readonly lines: readonly string[];
  readonly settling: number;
  readonly rounds: number;
  readonly progress: BenchContext["progress"];
}

async function measureWorkers(plan: WorkersPlan, figures: Figures): Promise<void> {
  const { bodies, lines, settling, rounds, progress } = plan;
  const door = new Tokens({
    source: "auto",
    models: [{ model, source: "directory", directory: modelDirectory(model) }],
    cacheBytes,
    workers: 1,
    checkEvery: 0,
    timeoutMs: 5000,
  }, { clock: systemClock, fetcher: fetch, endpointUrl: () => undefined });
  try {
    const startMs = performance.now();
    figures.add("load_block_ms", await longestTurn(() => door.warm(model)));
    figures.add("load_ms", performance.now() - startMs);
    for (let i = 0; i < settling; i++) {
      await timed(door, requestBodies(lines, 300, 3_000_000 + i).whole);
    }
    for (let round = -3; round < rounds; round++) {
      progress.update("workers", round + 3, rounds + 3);
      await measureWorker(door, bodies(round + 100), lines, round, round < 0 ? new Figures() : figures);
    }
  } finally {
    door.close();
  }
}

async function measureWorker(
  door: Tokens,
  { earlier, whole }: Bodies,
  lines: readonly string[],
  round: number,
  figures: Figures,
): Promise<void> {
  const short = shorter.map((size) => requestBodies(lines, size, 2_000_000 + round * size).whole);
  let longestMs = 0;
  const watched = async (body: Uint8Array) => {
    let ms = 0;
    longestMs = Math.max(longestMs, await longestTurn(async () => ms = await timed(door, body)));
    // A turn of its own for what the answer leaves behind.
    await sleep(systemClock, 1);
    return ms;
  };
  for (const body of short) await watched(body);
  figures.add("worker_ms_100k_cold", await watched(earlier));
  figures.add("worker_ms_100k_95pct_cached", await watched(whole));
  figures.add("max_block_ms", longestMs);
}

/** The longest turn of the event loop until `work` is done, in milliseconds of CPU; NaN where that cannot be known. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  const watch = threadMs && new TurnWatch(threadMs);
  try {
    await work();
  } finally {
    watch?.stop();
  }
  return watch?.longestMs ?? NaN;
}

/** Milliseconds until the answer, scaled to 100,000 tokens. */
async function timed(door: Tokens, body: Uint8Array): Promise<number> {
  const startMs = performance.now();
  const { tokens: ids } = exact(await door.prompt({ model, api: "chat", body }));
  return (performance.now() - startMs) * 100_000 / ids.length;
}
