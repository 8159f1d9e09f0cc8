/**
 * `longprompt`: what does a request cost whose prompt is 100,000 tokens, or a million, and whose answer is 1,000 chunks?
 *
 *     deno task bench longprompt [--tokens 100000] [--chunks 1000] [--gap 4] [--rounds 3] [--json]
 *
 * Four processes on one machine, over loopback: this one makes the load; four servers in one process send chunks of about 200
 * bytes `--gap` ms apart (simulated, no model); then the program under measurement, one at a time:
 *   router     `serve --endpoints` with the four, all defaults: scan, prefix hashes, decision, metrics, access log, scraping
 *   relay      `Deno.serve` and `fetch` to one of them with the bodies handed through: the same runtime, nothing looked at
 * A prompt is text of four bytes a token; 95 % of it, the system message, is the same for every fourth prompt, the rest
 * (seeded) is no other's. Requests run in batches, 32 at once, from idle to idle: CPU is user + system time of all threads of
 * the one process over the batch, less what it used while idle, divided by the requests; the router reads the load of busy
 * servers more often than of idle ones, and that is part of the figure. Every chunk is counted; one that is missing ends
 * the run.
 *
 * Figures, for `--tokens`, and with `_1m` behind the name for a million tokens (4 MB bodies):
 *   cpu_us_per_request       CPU µs of the router a request with its chunks
 *   requests_per_core_s      a second of one core, divided by it
 *   prompt_us_per_request    CPU µs of the router a request answered by one chunk: what the prompt costs
 *   relay_us_per_request, relay_prompt_us_per_request   the same of the relay
 *   ratio_request_cpu        router over relay, with the chunks, of the same round
 *   p50_ms, p99_ms           first body byte by the router, one request at a time, less the same quantile when asked of an
 *                            upstream directly, taking turns
 *   direct_p50_ms            what was subtracted: it grows with the prompt, as the server parses it
 *   rss_high_mb              most memory the router has held so far (VmHWM); that of the million tokens is taken last
 */
import { type Bench, type BenchContext, type Flags, positive, positiveInteger, type Report } from "./lib/bench.ts";
import { chunkBytes } from "./lib/chunk.ts";
import type { Target } from "./lib/http.ts";
import { batch } from "./lib/load.ts";
import { addedFirstByte, cpuPerUnit, idleCores, orderOf } from "./lib/measure.ts";
import { memoryMb } from "./lib/procfs.ts";
import { type Program, Programs } from "./lib/programs.ts";
import { Prompts } from "./lib/prompts.ts";
import { Figures } from "./lib/stats.ts";

/** How much is asked at one length of prompt. */
interface Part {
  /** Behind the names of its figures. */
  readonly suffix: string;
  readonly tokens: number;
  readonly chunks: number;
  /** In a batch. */
  readonly requests: number;
  readonly inFlight: number;
  /** One at a time, each way. */
  readonly firstBytes: number;
  readonly rounds: number;
}

interface Setting {
  readonly gapMs: number;
  readonly parts: readonly Part[];
  readonly idleSeconds: number;
}

/** In the simulated engines' cache at once; every fourth prompt shares. */
const groups = 4;
const sharedShare = 0.95;

export const longprompt: Bench = {
  name: "longprompt",
  summary: "What does a request with a very long prompt and many chunks cost?",
  flags: [
    { flag: "--tokens <n>", about: "in a prompt, four bytes each", fallback: "100000" },
    { flag: "--chunks <n>", about: "in an answer", fallback: "1000" },
    { flag: "--gap <ms>", about: "between two chunks of a stream", fallback: "4" },
    { flag: "--rounds <n>", about: "measurements of each program", fallback: "3" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting = context.smoke ? smokeSetting : settingOf(flags);
    await using programs = new Programs(context.progress);
    const upstreams = await programs.upstreams(setting.gapMs, groups);
    const subjects = [await programs.router(upstreams), await programs.relay(upstreams[0])];
    return { setting, figures: await measureAll({ url: upstreams[0] }, subjects, setting, context) };
  },
};

const smokeSetting: Setting = {
  gapMs: 2,
  parts: [
    { suffix: "", tokens: 2000, chunks: 5, requests: 8, inFlight: 4, firstBytes: 4, rounds: 1 },
    { suffix: "_1m", tokens: 8000, chunks: 5, requests: 4, inFlight: 2, firstBytes: 2, rounds: 1 },
  ],
  idleSeconds: 0.2,
};

function settingOf(flags: Flags): Setting {
  const chunks = positiveInteger(flags, "chunks"), rounds = positiveInteger(flags, "rounds");
  return {
    gapMs: positive(flags, "gap"),
    parts: [
      {
        suffix: "",
        tokens: positiveInteger(flags, "tokens"),
        chunks,
        requests: 64,
        inFlight: 32,
        firstBytes: 100,
        rounds,
      },
      { suffix: "_1m", tokens: 1_000_000, chunks, requests: 32, inFlight: 32, firstBytes: 20, rounds },
    ],
    idleSeconds: 3,
  };
}

async function measureAll(
  upstream: Target,
  subjects: readonly Program[],
  { parts, idleSeconds }: Setting,
  { progress }: BenchContext,
): Promise<Record<string, number>> {
  const figures = new Figures();
  const total = parts.reduce((sum, { rounds }) => sum + rounds, 0);
  let done = 0;
  // Compiles the code paths of every program before anything counts.
  const warmUp = new Prompts({ tokens: parts[0].tokens, sharedShare, groups, seed: 1 });
  for (const { target } of subjects) await askAll(target, warmUp, { ...parts[0], chunks: 50 });
  const idle = await idleCores(subjects, idleSeconds);
  for (const part of parts) {
    const prompts = new Prompts({ tokens: part.tokens, sharedShare, groups, seed: 2 });
    for (let round = 0; round < part.rounds; round++) {
      progress.update(`${part.tokens} tokens`, done++, total);
      const order = orderOf(subjects, round);
      await measureCpu(order, prompts, part, idle, figures);
      const next = () => prompts.next({ maxTokens: 1, stream: true });
      const added = await addedFirstByte(upstream, subjects[0].target, part.firstBytes, next);
      figures.add(`p50_ms${part.suffix}`, added.p50);
      figures.add(`p99_ms${part.suffix}`, added.p99);
      figures.add(`direct_p50_ms${part.suffix}`, added.directP50);
    }
    figures.add(`rss_high_mb${part.suffix}`, memoryMb(subjects[0].child.pid, "VmHWM"));
  }
  return figures.toRecord();
}

async function measureCpu(
  order: readonly Program[],
  prompts: Prompts,
  part: Part,
  idle: ReadonlyMap<string, number>,
  figures: Figures,
): Promise<void> {
  const us = new Map<string, number>();
  for (const subject of order) {
    const prefix = subject.name === "router" ? "" : `${subject.name}_`;
    const whole = await cpuPerUnit(subject, idle, () => askAll(subject.target, prompts, part));
    // More of them, as each is short beside the CPU clock's ticks.
    const short = { ...part, chunks: 1, requests: 4 * part.requests };
    const prompt = await cpuPerUnit(subject, idle, () => askAll(subject.target, prompts, short));
    us.set(subject.name, whole.us);
    figures.add(`${prefix}${prefix ? "" : "cpu_"}us_per_request${part.suffix}`, whole.us);
    figures.add(`${prefix}prompt_us_per_request${part.suffix}`, prompt.us);
  }
  figures.add(`requests_per_core_s${part.suffix}`, 1e6 / us.get("router")!);
  figures.add(`ratio_request_cpu${part.suffix}`, us.get("router")! / us.get("relay")!);
}

/** One batch; how many requests it was. */
async function askAll(target: Target, prompts: Prompts, part: Part): Promise<number> {
  const { requests, inFlight, chunks } = part;
  const next = () => prompts.next({ maxTokens: chunks, stream: true });
  const answers = await batch(target, { count: requests, inFlight, rampMs: 500 }, next);
  for (const { bodyBytes } of answers) {
    const came = Math.floor(bodyBytes / chunkBytes);
    if (came !== chunks) throw new Error(`Cannot measure as a stream had ${came} chunks: expected ${chunks}`);
  }
  return answers.length;
}
