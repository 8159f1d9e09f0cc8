/** What a program costs: CPU under load, less what it uses while idle, and the time it adds. */
import type { Target } from "./http.ts";
import { inTurns, PacedStreams, pause } from "./load.ts";
import { startCpuWatch } from "./procfs.ts";
import type { Program } from "./programs.ts";
import { quantile } from "./stats.ts";

/** What a stretch of load cost. */
export interface CpuPerUnit {
  /** CPU µs for one unit of the load. */
  readonly us: number;
  readonly units: number;
  readonly wallS: number;
}

/** Reversed every other round, so that none always follows the same one. */
export function orderOf<T>(items: readonly T[], round: number): readonly T[] {
  return round % 2 === 0 ? items : items.toReversed();
}

/** CPU seconds a second of each program, by name, while nothing is asked of any. */
export async function idleCores(programs: readonly Program[], seconds: number): Promise<Map<string, number>> {
  const watches = programs.map(({ name, child, cpuClock }) => ({ name, watch: startCpuWatch(child.pid, cpuClock) }));
  await pause(seconds * 1000);
  return new Map(watches.map(({ name, watch }) => {
    const { cpuS, wallS } = watch();
    return [name, cpuS / wallS];
  }));
}

/** Runs `load`, which tells how many units it was, beside the program's CPU clock. */
export async function cpuPerUnit(
  { name, child, cpuClock }: Program,
  idle: ReadonlyMap<string, number>,
  load: () => Promise<number>,
): Promise<CpuPerUnit> {
  const watch = startCpuWatch(child.pid, cpuClock);
  const units = await load();
  const { cpuS, wallS } = watch();
  return { us: (cpuS - (idle.get(name) ?? 0) * wallS) * 1e6 / units, units, wallS };
}

/** Streams at once. */
export interface Streaming {
  readonly streams: number;
  readonly gapMs: number;
  readonly seconds: number;
  /** Until all streams run, and the code they need is compiled. */
  readonly rampMs: number;
  /** A measurement in which fewer of the chunks due came than this share had too little CPU to tell anything. */
  readonly chunkShareMin: number;
}

/** CPU of a chunk, the units being chunks; undefined when they did not come at their pace. */
export async function cpuPerChunk(
  program: Program,
  idle: ReadonlyMap<string, number>,
  { streams: count, gapMs, seconds, rampMs, chunkShareMin }: Streaming,
): Promise<CpuPerUnit | undefined> {
  const streams = new PacedStreams(program.target, count, Math.ceil((seconds * 1000 + 4 * rampMs) / gapMs));
  await pause(rampMs);
  const measured = await cpuPerUnit(program, idle, async () => {
    const before = streams.chunks;
    await pause(seconds * 1000);
    return streams.chunks - before;
  });
  await streams.stop();
  await pause(rampMs / 4);
  return measured.units < chunkShareMin * count * measured.wallS * 1000 / gapMs ? undefined : measured;
}

/** Quantiles in milliseconds. */
export interface Added {
  readonly p50: number;
  readonly p99: number;
  /** What was subtracted from the first. */
  readonly directP50: number;
}

/** Times to the first body byte by `routed`, less the same quantile of `direct`: one request at a time, taking turns. */
export async function addedFirstByte(
  direct: Target,
  routed: Target,
  count: number,
  next: () => Uint8Array,
): Promise<Added> {
  const [directMs, routedMs] = await inTurns([direct, routed], count, next);
  const added = (share: number) => quantile(routedMs, share) - quantile(directMs, share);
  return { p50: added(0.5), p99: added(0.99), directP50: quantile(directMs, 0.5) };
}
