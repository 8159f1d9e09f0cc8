/**
 * `connections`: what do 10,000 open streams cost the router in memory, and in CPU while no chunk comes?
 *
 *     deno task bench connections [--streams 10000] [--seconds 10] [--rounds 3] [--json]
 *
 * Over loopback: two server processes send the first chunk of every stream and then wait (simulated, no model); two client
 * processes hold half of the streams each; the router is `serve --endpoints` with both servers, all defaults. When all
 * streams are open and the CPU was watched, the servers send a second chunk and the end to each, and every stream must
 * bring it. Each round is a new start of everything.
 *
 * A stream takes the router two open files. Where the limit of open files is lower than that needs, as many streams as fit
 * are opened, at least nine in ten; memory is then scaled from `streams` to the number in the name, as are the cores.
 *
 * Figures:
 *   rss_mb_10k_streams       memory of the router with all streams open (VmRSS)
 *   rss_mb_idle              the same before the first
 *   kb_per_stream            the difference by stream
 *   cpu_cores_10k_streams    CPU seconds a second while the streams are idle: timers, scraping the two servers as busy ones
 *   cpu_us_per_opening       CPU to open a stream and pass its first chunk
 *   delivered_share          of the streams, those that brought their second chunk and their end: a run with fewer fails
 *   deliver_s                until the last of them had
 *   streams                  open at once
 */
import { type Bench, type BenchContext, type Flags, positive, positiveInteger, type Report } from "./lib/bench.ts";
import { pause } from "./lib/load.ts";
import { cpuSeconds, memoryMb, openFilesMax, startCpuWatch } from "./lib/procfs.ts";
import { member, Programs } from "./lib/programs.ts";
import { Figures } from "./lib/stats.ts";

interface Setting {
  readonly streams: number;
  /** What the names of figures say, for the memory and the cores. */
  readonly streamsNamed: number;
  readonly seconds: number;
  readonly rounds: number;
}

/** What `connections/streams.ts` tells. */
interface Held {
  readonly open: number;
  readonly whole: number;
  readonly failed: number;
  readonly why: string;
}

/** Server processes, and client processes. */
const processes = 2;

/** Files the router has open besides two a stream: libraries, listeners, connections kept for scraping. */
const otherFiles = 200;

const patienceMs = 90_000;

export const connections: Bench = {
  name: "connections",
  summary: "What do 10,000 open streams cost?",
  flags: [
    { flag: "--streams <n>", about: "open at once", fallback: "10000" },
    { flag: "--seconds <n>", about: "for which the idle streams are watched", fallback: "10" },
    { flag: "--rounds <n>", about: "starts of everything", fallback: "3" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting = context.smoke ? smokeSetting : settingOf(flags, context);
    const figures = new Figures();
    for (let round = 0; round < setting.rounds; round++) {
      context.progress.update("rounds", round, setting.rounds);
      await using programs = new Programs(context.progress);
      await measure(programs, setting, figures);
    }
    return { setting, figures: figures.toRecord() };
  },
};

const smokeSetting: Setting = { streams: 40, streamsNamed: 40, seconds: 0.5, rounds: 1 };

function settingOf(flags: Flags, { progress }: BenchContext): Setting {
  const streamsNamed = positiveInteger(flags, "streams");
  const fit = Math.floor((openFilesMax() - otherFiles) / 2);
  const streams = Math.min(streamsNamed, fit);
  if (streams < streamsNamed) progress.note(`${streams} streams, as no more fit the limit of open files`);
  if (streams < 0.9 * streamsNamed) throw new Error(`Cannot open ${streamsNamed} streams as only ${fit} fit`);
  return { streams, streamsNamed, seconds: positive(flags, "seconds"), rounds: positiveInteger(flags, "rounds") };
}

async function measure(programs: Programs, setting: Setting, figures: Figures): Promise<void> {
  const { streams, streamsNamed, seconds } = setting;
  const upstreams = (await Promise.all(Array.from({ length: processes }, () => programs.upstreams("hold", 1)))).flat();
  const { target, child: { pid } } = await programs.router(upstreams);
  await pause(seconds * 100);
  const idleMb = memoryMb(pid, "VmRSS"), cpuBeforeS = cpuSeconds(pid);
  const clients = await Promise.all(Array.from({ length: processes }, (_, i) => {
    const count = Math.floor(streams / processes) + (i < streams % processes ? 1 : 0);
    return programs.start(["bench/connections/streams.ts", target.url, String(count)], member<number>("port"));
  }));
  const held = () => heldBy(clients.map(({ said }) => said));
  await until(async () => (await held()).open === streams, held);
  figures.add("cpu_us_per_opening", (cpuSeconds(pid) - cpuBeforeS) * 1e6 / streams);
  // What the openings left to do, such as collecting garbage, is no cost of idle streams.
  await pause(seconds * 200);
  const watch = startCpuWatch(pid);
  await pause(seconds * 1000);
  const { cpuS, wallS } = watch();
  const openMb = memoryMb(pid, "VmRSS");
  const releasedMs = performance.now();
  for (const upstream of upstreams) await (await fetch(`${upstream}/release`, { method: "POST" })).body?.cancel();
  await until(async () => (await held()).whole === streams, held);
  const scale = streamsNamed / streams;
  figures.add(`rss_mb_${nameOf(streamsNamed)}_streams`, idleMb + (openMb - idleMb) * scale);
  figures.add("rss_mb_idle", idleMb);
  figures.add("kb_per_stream", (openMb - idleMb) * 1e3 / streams);
  figures.add(`cpu_cores_${nameOf(streamsNamed)}_streams`, cpuS / wallS * scale);
  figures.add("delivered_share", (await held()).whole / streams);
  figures.add("deliver_s", (performance.now() - releasedMs) / 1000);
  figures.add("streams", streams);
}

function nameOf(streams: number): string {
  return streams % 1000 === 0 ? `${streams / 1000}k` : String(streams);
}

async function heldBy(ports: readonly number[]): Promise<Held> {
  const states: Held[] = await Promise.all(
    ports.map(async (port) => await (await fetch(`http://127.0.0.1:${port}/`)).json()),
  );
  const sum = (of: (state: Held) => number) => states.reduce((total, state) => total + of(state), 0);
  return {
    open: sum(({ open }) => open),
    whole: sum(({ whole }) => whole),
    failed: sum(({ failed }) => failed),
    why: states.map(({ why }) => why).find((why) => why !== "") ?? "",
  };
}

/** Waits for `condition`; throws when a stream has failed, or after too long. */
async function until(condition: () => Promise<boolean>, held: () => Promise<Held>): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (!await condition()) {
    const { open, whole, failed, why } = await held();
    if (failed > 0) throw new Error(`Cannot measure as ${failed} streams failed: ${why}`);
    if (performance.now() > endMs) throw new Error(`Cannot measure as only ${open} opened and ${whole} ended`);
    await pause(100);
  }
}
