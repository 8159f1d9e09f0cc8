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
import { closedLoop, inTurns, PacedStreams, pause } from "./lib/load.ts";
import { startCpuWatch } from "./lib/procfs.ts";
import { type Program, Programs } from "./lib/programs.ts";
import { shortBody } from "./lib/prompts.ts";
import { Figures, quantile } from "./lib/stats.ts";

interface Setting {
  readonly streams: number;
  readonly gapMs: number;
  readonly seconds: number;
  readonly rounds: number;
  /** A measurement in which fewer of the chunks due came than this share had too little CPU to tell anything. */
  readonly chunkShareMin: number;
  /** Until all streams run. */
  readonly rampMs: number;
  /** Requests each way in a round of the first-byte measurement. */
  readonly firstBytes: number;
}

/** A program under measurement. */
interface Subject extends Program {
  /** CPU seconds a second while nothing is asked of it. */
  idleCores: number;
}

const connections = 16;
const short = shortBody({ maxTokens: 60, stream: false });

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
    const programs = new Programs();
    try {
      const [upstream] = await programs.upstreams(setting.gapMs, 1);
      const started = [
        await programs.router([upstream]),
        await programs.relay(upstream),
        await programs.tcpRelay(upstream),
      ];
      const subjects = started.map((program): Subject => ({ ...program, idleCores: 0 }));
      return { setting, figures: await measureAll(upstream, subjects, setting, context) };
    } finally {
      await programs.stop(context.progress);
    }
  },
};

async function measureAll(
  upstream: string,
  subjects: readonly Subject[],
  setting: Setting,
  { progress }: BenchContext,
): Promise<Record<string, number>> {
  const figures = new Figures();
  const total = setting.rounds * 3 + 1;
  // Compiles the code paths of every program before anything counts.
  for (const { target } of subjects) await closedLoop(target, connections, setting.seconds / 2, () => short);
  await measureIdle(subjects, setting);
  figures.add("router_idle_cores", subjects[0].idleCores);
  for (let round = 0; round < setting.rounds; round++) {
    // Reversed every other round, so that no program always follows the same one.
    const order = round % 2 === 0 ? subjects : subjects.toReversed();
    progress.update("chunks", 1 + round * 3, total);
    const perChunk = new Map<string, number>();
    for (const subject of order) perChunk.set(subject.name, await measureChunks(subject, setting, figures));
    figures.add("ratio_chunk_cpu", perChunk.get("router")! / perChunk.get("relay")!);
    progress.update("requests", 2 + round * 3, total);
    for (const subject of order) if (subject.name !== "tcp_relay") await measureRequests(subject, setting, figures);
    progress.update("first bytes", 3 + round * 3, total);
    await measureFirstBytes({ url: upstream }, subjects[0].target, setting, figures);
  }
  return figures.toRecord();
}

async function measureIdle(subjects: readonly Subject[], { seconds, rampMs }: Setting): Promise<void> {
  await pause(rampMs);
  const watches = subjects.map(({ child }) => startCpuWatch(child.pid));
  await pause(seconds * 1000);
  for (const [i, watch] of watches.entries()) {
    const { cpuS, wallS } = watch();
    subjects[i].idleCores = cpuS / wallS;
  }
}

/** CPU µs a chunk of one program, less its idle share; NaN when the chunks did not come at their pace. */
async function measureChunks(subject: Subject, setting: Setting, figures: Figures): Promise<number> {
  const { streams: count, gapMs, seconds, rampMs } = setting;
  const chunksEach = Math.ceil((seconds * 1000 + 4 * rampMs) / gapMs);
  const streams = new PacedStreams(subject.target, count, chunksEach);
  await pause(rampMs);
  const watch = startCpuWatch(subject.child.pid);
  const before = streams.chunks;
  await pause(seconds * 1000);
  const { cpuS, wallS } = watch();
  const chunks = streams.chunks - before;
  await streams.stop();
  if (chunks < setting.chunkShareMin * count * wallS * 1000 / gapMs) return NaN;
  const usPerChunk = (cpuS - subject.idleCores * wallS) * 1e6 / chunks;
  figures.add(`${subject.name}_us_per_chunk`, usPerChunk);
  if (subject.name === "router") figures.add("chunks_per_s", chunks / wallS);
  await pause(rampMs / 4);
  return usPerChunk;
}

async function measureRequests(subject: Subject, { seconds }: Setting, figures: Figures): Promise<void> {
  const watch = startCpuWatch(subject.child.pid);
  const requests = await closedLoop(subject.target, connections, seconds, () => short);
  const { cpuS, wallS } = watch();
  figures.add(`${subject.name}_us_per_request`, (cpuS - subject.idleCores * wallS) * 1e6 / requests);
}

async function measureFirstBytes(upstream: Target, router: Target, setting: Setting, figures: Figures): Promise<void> {
  const body = shortBody({ maxTokens: 1, stream: true });
  const [directMs, routedMs] = await inTurns([upstream, router], setting.firstBytes, () => body);
  for (const [name, share] of [["p50", 0.5], ["p99", 0.99]] as const) {
    figures.add(`added_ttfb_ms_${name}`, quantile(routedMs, share) - quantile(directMs, share));
  }
}
