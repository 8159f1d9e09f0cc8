/**
 * `stream`: what does the router cost a streamed chunk and a short request, beside a relay that looks at nothing?
 *
 *     deno task bench stream [--streams 200] [--gap 20] [--seconds 5] [--rounds 5] [--json]
 *
 * Four processes on one machine, over loopback: this one makes the load; a paced upstream sends chunks of about 200 bytes
 * `--gap` ms apart in each stream (simulated, no model, no text); then the program under measurement, one at a time:
 *   router     `serve --endpoints UPSTREAM`, all defaults: scan, decision, metrics, access log, scraping the upstream
 *   relay      `Deno.serve` and `fetch` with the bodies handed through: the same runtime, nothing looked at
 *   tcp_relay  bytes copied between two sockets
 * All run throughout; the rounds alternate. CPU is user + system time of all threads of the one process from
 * `/proc/PID/stat`, less what it used while idle, divided by the chunks or requests the client received meanwhile.
 *
 * Figures:
 *   router_us_per_chunk, relay_us_per_chunk, tcp_relay_us_per_chunk   CPU µs a chunk, `--streams` streams at once
 *   ratio_chunk_cpu                    router over relay, of the same round
 *   router_us_per_request, relay_us_per_request   CPU µs a short request that is not streamed, 16 connections busy
 *   router_idle_cores                  CPU of the idle router with one endpoint
 *   added_ttfb_ms_p50, added_ttfb_ms_p99   first body byte of a stream by the router, less the same quantile when asked of the
 *                                      upstream directly; one request at a time, taking turns
 *   chunks_per_s                       chunks the client received through the router, of `--streams` × 1000 / `--gap`; a
 *                                      measurement with fewer than 97 % of them is left out
 */
import { type Bench, type BenchContext, type Flags, positive, positiveInteger, type Report } from "./lib/bench.ts";
import type { Target } from "./lib/http.ts";
import { closedLoop, pause } from "./lib/load.ts";
import {
  addedFirstByte,
  cpuPerChunk,
  type CpuPerUnit,
  cpuPerUnit,
  idleCores,
  orderOf,
  type Streaming,
} from "./lib/measure.ts";
import { type Program, Programs } from "./lib/programs.ts";
import { shortBody } from "./lib/prompts.ts";
import { Figures } from "./lib/stats.ts";

interface Setting extends Streaming {
  readonly rounds: number;
  /** Requests each way in a round of the first-byte measurement. */
  readonly firstBytes: number;
}

const connections = 16;
const short = shortBody({ maxTokens: 60, stream: false });
const oneChunk = shortBody({ maxTokens: 1, stream: true });

export const stream: Bench = {
  name: "stream",
  summary: "What does the router cost a streamed chunk and a short request, beside a bare relay?",
  flags: [
    { flag: "--streams <n>", about: "streams at once", fallback: "200" },
    { flag: "--gap <ms>", about: "between two chunks of a stream", fallback: "20" },
    { flag: "--seconds <n>", about: "length of one measurement", fallback: "5" },
    { flag: "--rounds <n>", about: "measurements of each program", fallback: "5" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting: Setting = context.smoke
      ? { streams: 5, gapMs: 10, seconds: 0.5, rounds: 1, chunkShareMin: 0, rampMs: 100, firstBytes: 10 }
      : {
        streams: positiveInteger(flags, "streams"),
        gapMs: positive(flags, "gap"),
        seconds: positive(flags, "seconds"),
        rounds: positiveInteger(flags, "rounds"),
        chunkShareMin: 0.97,
        rampMs: 1000,
        firstBytes: 300,
      };
    await using programs = new Programs(context.progress);
    const [upstream] = await programs.upstreams(setting.gapMs, 1);
    const subjects = [
      await programs.router([upstream]),
      await programs.relay(upstream),
      await programs.tcpRelay(upstream),
    ];
    return { setting, figures: await measureAll({ url: upstream }, subjects, setting, context) };
  },
};

async function measureAll(
  upstream: Target,
  subjects: readonly Program[],
  setting: Setting,
  { progress }: BenchContext,
): Promise<Record<string, number>> {
  const { seconds, rampMs, rounds, firstBytes } = setting;
  const figures = new Figures();
  const total = rounds * 3 + 1;
  // Compiles the code paths of every program before anything counts.
  for (const { target } of subjects) await closedLoop(target, connections, seconds / 2, () => short);
  await pause(rampMs);
  const idle = await idleCores(subjects, seconds);
  figures.add("router_idle_cores", idle.get("router")!);
  for (let round = 0; round < rounds; round++) {
    const order = orderOf(subjects, round);
    progress.update("chunks", 1 + round * 3, total);
    const chunks = new Map<string, CpuPerUnit | undefined>();
    for (const subject of order) chunks.set(subject.name, await cpuPerChunk(subject, idle, setting));
    for (const [name, measured] of chunks) figures.add(`${name}_us_per_chunk`, measured?.us ?? NaN);
    const router = chunks.get("router"), relay = chunks.get("relay");
    if (router) figures.add("chunks_per_s", router.units / router.wallS);
    if (router && relay) figures.add("ratio_chunk_cpu", router.us / relay.us);
    progress.update("requests", 2 + round * 3, total);
    for (const subject of order) {
      if (subject.name === "tcp_relay") continue;
      const load = () => closedLoop(subject.target, connections, seconds, () => short);
      figures.add(`${subject.name}_us_per_request`, (await cpuPerUnit(subject, idle, load)).us);
    }
    progress.update("first bytes", 3 + round * 3, total);
    const added = await addedFirstByte(upstream, subjects[0].target, firstBytes, () => oneChunk);
    figures.add("added_ttfb_ms_p50", added.p50);
    figures.add("added_ttfb_ms_p99", added.p99);
  }
  return figures.toRecord();
}
