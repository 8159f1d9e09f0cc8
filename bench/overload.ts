/**
 * `overload`: what becomes of a pool that is asked for five times what it can do?
 *
 *     deno task bench overload [--seconds 60] [--times 5] [--json]
 *
 * Three processes on one machine, over loopback: this one sends chat completions (streams of 16 tokens, prompts of their
 * own) by chance at a rate, whatever becomes of those before; two simulated engines of 16 places, 11 ms a token when full;
 * the router with `flow.ttl: 3s`, and a fifth of each engine's places kept for the higher priority that one request in ten
 * has, all else default: it learns the places from the engines' metrics. One refused request in ten follows its
 * `Retry-After`, if that ends within the run.
 *
 * Figures:
 *   capacity_rps           answered a second by the engines alone, asked for half as much again as they can do
 *   goodput_ratio          answered a second through the router in the overload, over that
 *   high_p99_ms, high_half_p99_ms   TTFT of the higher priority in the overload, and at half of the capacity
 *   refused_p50_ms, refused_p99_ms  from sending to a 429 that was given on arrival
 *   refused_late           share of the refusals that came after a wait
 *   retry_kept             share of those that followed `Retry-After` and were answered
 *   retry_after_p50_s      what they were told
 *   rss_before_mb, rss_most_mb      of the router
 *   recovered_p99_ms       TTFT at half of the capacity, from 3 s after the overload on
 *   failed                 answers that are neither 200 nor 429
 */
import { Prng } from "../src/core/mod.ts";
import { type Bench, type BenchContext, type Flags, positive, type Report } from "./lib/bench.ts";
import { closedLoop, pause } from "./lib/load.ts";
import { memoryMb } from "./lib/procfs.ts";
import { member, Programs } from "./lib/programs.ts";
import { quantile, round } from "./lib/stats.ts";

const outputTokens = 16;
const highShare = 0.1;
const followShare = 0.1;
const ttlMs = 3_000;

interface Asked {
  readonly status: number;
  readonly high: boolean;
  /** To the first bytes of the answer. */
  readonly ms: number;
  readonly atMs: number;
  readonly retryAfterS?: number;
  /** It was refused before and told to come now. */
  readonly again: boolean;
}

export const overload: Bench = {
  name: "overload",
  summary: "What becomes of a pool that is asked for five times what it can do?",
  flags: [
    { flag: "--seconds <s>", about: "length of the overload", fallback: "60" },
    { flag: "--times <n>", about: "load, in capacities", fallback: "5" },
  ],
  async run(flags: Flags, { smoke, progress }: BenchContext): Promise<Report> {
    const seconds = smoke ? 4 : positive(flags, "seconds"), times = positive(flags, "times");
    await using programs = new Programs(progress);
    const { said: ports } = await programs.start(["bench/overload/engines.ts", "2", "16"], member<number[]>("ports"));
    const engines = ports.map((port) => `http://127.0.0.1:${port}`);
    const config = await Deno.makeTempFile({ suffix: ".yaml" });
    await Deno.writeTextFile(config, configText);
    try {
      const router = await programs.router(engines, "--config", config);
      const load = new Load([router.target.url], new Prng(1));
      const direct = new Load(engines, new Prng(2));
      const { pid } = router.child;
      progress.update("capacity", 0, 4);
      const calibrateS = smoke ? 2 : 10;
      // Learns the engines' places, too.
      const about = await closedLoop(router.target, 40, calibrateS / 2, () => load.body()) / (calibrateS / 2);
      const capacity = answeredPerS(await direct.open(about * 1.5, calibrateS, false), calibrateS / 2, calibrateS);
      progress.update("half load", 1, 4);
      const half = await load.open(capacity / 2, calibrateS, false);
      const rssBefore = memoryMb(pid, "VmRSS");
      progress.update("overload", 2, 4);
      let rssMost = rssBefore;
      const watch = setInterval(() => rssMost = Math.max(rssMost, memoryMb(pid, "VmRSS")), 500);
      const over = await load.open(capacity * times, seconds, true);
      clearInterval(watch);
      await pause(ttlMs);
      progress.update("recovery", 3, 4);
      const after = await load.open(capacity / 2, calibrateS, false);
      return {
        figures: { ...figuresOf(capacity, half, over, after, seconds), rss_before_mb: rssBefore, rss_most_mb: rssMost },
      };
    } finally {
      await Deno.remove(config);
    }
  },
};

const configText = `observe: {accessLog: false}
objectives: [{name: high, priority: 10}]
flow: {ttl: ${ttlMs}ms, ceiling: {policy: priority-holdback, minCeiling: 0.8}}
`;

function figuresOf(
  capacity: number,
  half: readonly Asked[],
  over: readonly Asked[],
  after: readonly Asked[],
  seconds: number,
): Record<string, number> {
  const times = (asked: readonly Asked[]) => Float64Array.from(asked.map(({ ms }) => ms)).sort();
  const good = (asked: readonly Asked[]) => asked.filter(({ status }) => status === 200);
  const high = (asked: readonly Asked[]) => times(good(asked).filter((one) => one.high));
  const refused = over.filter(({ status }) => status === 429);
  const early = times(refused.filter(({ ms }) => ms < ttlMs / 2));
  const again = over.filter((one) => one.again);
  const figures = {
    capacity_rps: capacity,
    goodput_ratio: answeredPerS(over, 0, seconds) / capacity,
    high_p50_ms: quantile(high(over), 0.5),
    high_p95_ms: quantile(high(over), 0.95),
    high_p99_ms: quantile(high(over), 0.99),
    high_half_p99_ms: quantile(high(half), 0.99),
    refused_p50_ms: quantile(early, 0.5),
    refused_p99_ms: quantile(early, 0.99),
    refused_late: 1 - early.length / refused.length,
    retry_kept: good(again).length / again.length,
    retries: again.length,
    retry_after_p50_s: quantile(Float64Array.from(refused.map(({ retryAfterS }) => retryAfterS ?? 0)).sort(), 0.5),
    recovered_p99_ms: quantile(times(good(after)), 0.99),
    half_p99_ms: quantile(times(good(half)), 0.99),
    failed: [...half, ...over, ...after].filter(({ status }) => status !== 200 && status !== 429).length,
  };
  const measured = Object.entries(figures).filter(([, value]) => Number.isFinite(value));
  return Object.fromEntries(measured.map(([name, value]) => [name, round(value, 3)]));
}

/** Answers that began between two seconds of a run. */
function answeredPerS(asked: readonly Asked[], fromS: number, toS: number): number {
  const startMs = asked.reduce((least, { atMs }) => Math.min(least, atMs), Infinity);
  const inTime = asked.filter(({ status, atMs, ms }) => {
    const s = (atMs + ms - startMs) / 1000;
    return status === 200 && s >= fromS && s < toS;
  });
  return inTime.length / (toS - fromS);
}

/** Sends requests with prompts of their own. */
class Load {
  readonly #urls: readonly string[];
  readonly #rng: Prng;
  #sent = 0;

  constructor(urls: readonly string[], rng: Prng) {
    this.#urls = urls;
    this.#rng = rng;
  }

  body(): Uint8Array<ArrayBuffer> {
    const content = `Request ${this.#sent++} of a load that is more than there is room for.`;
    return new TextEncoder().encode(JSON.stringify({
      model: "bench",
      stream: true,
      max_tokens: outputTokens,
      messages: [{ role: "user", content }],
    }));
  }

  /** Requests for `seconds` by chance at a rate; resolves when the last has its answer. */
  async open(perS: number, seconds: number, follow: boolean): Promise<Asked[]> {
    const asked: Asked[] = [];
    const running = new Set<Promise<void>>();
    const startMs = performance.now(), endMs = startMs + seconds * 1000;
    const send = (body: Uint8Array<ArrayBuffer>, high: boolean, again: boolean) => {
      const run = this.#ask(body, high, again).then((one) => {
        asked.push(one);
        const dueMs = performance.now() + (one.retryAfterS ?? 0) * 1000;
        if (one.status !== 429 || again || !follow || dueMs > endMs || this.#rng.float() >= followShare) return;
        const wait = pause(dueMs - performance.now()).then(() => send(body, high, true));
        running.add(wait);
        wait.finally(() => running.delete(wait));
      });
      running.add(run);
      run.finally(() => running.delete(run));
    };
    for (let nextMs = startMs; nextMs < endMs;) {
      await pause(Math.max(0, nextMs - performance.now()));
      for (const nowMs = performance.now(); nextMs <= nowMs; nextMs += this.#rng.exponential(1000 / perS)) {
        send(this.body(), this.#rng.float() < highShare, false);
      }
    }
    while (running.size > 0) await Promise.all(running);
    return asked;
  }

  async #ask(body: Uint8Array<ArrayBuffer>, high: boolean, again: boolean): Promise<Asked> {
    const atMs = performance.now();
    const headers = { "content-type": "application/json", ...(high ? { "x-llm-d-inference-objective": "high" } : {}) };
    const url = this.#urls[this.#sent % this.#urls.length];
    const response = await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body });
    const reader = response.body!.getReader();
    await reader.read();
    const ms = performance.now() - atMs;
    while (!(await reader.read()).done);
    const after = response.headers.get("retry-after");
    return { status: response.status, high, ms, atMs, again, retryAfterS: after === null ? undefined : Number(after) };
  }
}
