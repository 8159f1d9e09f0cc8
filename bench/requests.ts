/**
 * `requests`: what does a short request that is not streamed cost, and how much later does its answer come?
 *
 *     deno task bench requests [--connections 16] [--seconds 4] [--rounds 5] [--json]
 *
 * Four processes on one machine, over loopback: this one makes the load; a server answers every chat completion at once with
 * 60 tokens (simulated, no model); then the program under measurement, one at a time:
 *   router     `serve --endpoints UPSTREAM`, all defaults: scan, decision, metrics, access log, scraping the upstream
 *   relay      `Deno.serve` and `fetch` with the bodies handed through: the same runtime, nothing looked at
 * Prompts are the same 90 tokens. A round first keeps `--connections` busy (closed loop): CPU is user + system time of all
 * threads of the one process, less what it used while idle, divided by the requests answered. Then requests arrive by
 * chance (seeded, exponential gaps) at half the rate the router has just kept up: asked of the upstream directly, of the
 * router and of the relay. Times count from a request's arrival to the end of its answer; what is due within a millisecond
 * arrives together, as timers are no finer.
 *
 * Figures:
 *   cpu_us_per_request       CPU µs of the router a request, closed loop
 *   requests_per_core_s      a second of one core, divided by it
 *   relay_us_per_request     CPU µs of the relay
 *   ratio_request_cpu        router over relay, of the same round
 *   rps                      requests a second through the router, closed loop; load and upstream share the machine's cores
 *   open_rps                 arrivals a second in the open loop
 *   p50_ms, p99_ms           by the router, less the same quantile when asked of the upstream directly
 *   relay_p50_ms, relay_p99_ms     the same for the relay
 *   direct_p50_ms, direct_p99_ms   what was subtracted
 */
import { Prng } from "../src/core/mod.ts";
import { type Bench, type BenchContext, type Flags, positive, positiveInteger, type Report } from "./lib/bench.ts";
import type { Target } from "./lib/http.ts";
import { closedLoop, openLoop, pause } from "./lib/load.ts";
import { type CpuPerUnit, cpuPerUnit, idleCores, orderOf } from "./lib/measure.ts";
import { type Program, Programs } from "./lib/programs.ts";
import { shortBody } from "./lib/prompts.ts";
import { Figures, quantile } from "./lib/stats.ts";

interface Setting {
  readonly connections: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly seed: number;
}

/** In the open loop: more than ever wait at half load, so that arrivals do not wait for a connection. */
const openConnections = 64;

const body = shortBody({ maxTokens: 60, stream: false });

export const requests: Bench = {
  name: "requests",
  summary: "What does a short request cost, and how much later does its answer come?",
  flags: [
    { flag: "--connections <n>", about: "connections kept busy", fallback: "16" },
    { flag: "--seconds <n>", about: "length of one measurement", fallback: "4" },
    { flag: "--rounds <n>", about: "measurements of each program", fallback: "5" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting: Setting = context.smoke ? { connections: 4, seconds: 0.5, rounds: 1, seed: 1 } : {
      connections: positiveInteger(flags, "connections"),
      seconds: positive(flags, "seconds"),
      rounds: positiveInteger(flags, "rounds"),
      seed: 1,
    };
    await using programs = new Programs(context.progress);
    const [upstream] = await programs.upstreams(0, 1);
    const subjects = [await programs.router([upstream]), await programs.relay(upstream)];
    return { setting, figures: await measureAll({ url: upstream }, subjects, setting, context) };
  },
};

async function measureAll(
  upstream: Target,
  subjects: readonly Program[],
  setting: Setting,
  { progress }: BenchContext,
): Promise<Record<string, number>> {
  const { connections, seconds, rounds } = setting;
  const figures = new Figures();
  // Compiles the code paths of every program before anything counts.
  for (const { target } of subjects) await closedLoop(target, connections, seconds / 2, () => body);
  await pause(seconds * 250);
  const idle = await idleCores(subjects, seconds);
  for (let round = 0; round < rounds; round++) {
    progress.update("closed loop", 2 * round, 2 * rounds);
    const measured = new Map<string, CpuPerUnit>();
    for (const subject of orderOf(subjects, round)) {
      const load = () => closedLoop(subject.target, connections, seconds, () => body);
      measured.set(subject.name, await cpuPerUnit(subject, idle, load));
    }
    const router = measured.get("router")!, relay = measured.get("relay")!;
    figures.add("cpu_us_per_request", router.us);
    figures.add("requests_per_core_s", 1e6 / router.us);
    figures.add("relay_us_per_request", relay.us);
    figures.add("ratio_request_cpu", router.us / relay.us);
    figures.add("rps", router.units / router.wallS);
    progress.update("open loop", 2 * round + 1, 2 * rounds);
    await measureWaits(upstream, subjects, router.units / router.wallS / 2, round, setting, figures);
  }
  return figures.toRecord();
}

/** Answer times at a rate that leaves the router half idle; every target sees the same arrivals. */
async function measureWaits(
  upstream: Target,
  subjects: readonly Program[],
  perS: number,
  round: number,
  { seconds, seed }: Setting,
  figures: Figures,
): Promise<void> {
  const ask = (target: Target) =>
    openLoop(target, { perS, seconds, prng: new Prng(seed + round), connections: openConnections }, body);
  const directMs = await ask(upstream);
  figures.add("open_rps", perS);
  for (const [name, share] of [["p50_ms", 0.5], ["p99_ms", 0.99]] as const) {
    figures.add(`direct_${name}`, quantile(directMs, share));
  }
  for (const { name: subject, target } of subjects) {
    const routedMs = await ask(target);
    const prefix = subject === "router" ? "" : `${subject}_`;
    for (const [name, share] of [["p50_ms", 0.5], ["p99_ms", 0.99]] as const) {
      figures.add(`${prefix}${name}`, quantile(routedMs, share) - quantile(directMs, share));
    }
  }
}
