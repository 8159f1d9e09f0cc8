/** CPU of a program under load, less what it uses while idle. */
import { pause } from "./load.ts";
import { startCpuWatch } from "./procfs.ts";
import type { Program } from "./programs.ts";

/** What a stretch of load cost. */
export interface CpuPerUnit {
  /** CPU µs for one unit of the load. */
  readonly us: number;
  readonly units: number;
  readonly wallS: number;
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
