/** What the system knows of a process: CPU, memory, children; of the machine: idle time. NaN where `/proc` does not exist. */

/** Clock ticks a second in `/proc`: 100 on every Linux architecture Deno supports. */
const ticksPerS = 100;

/** Fields of a `stat` line from the state on, which is field 3: the name before it, in parentheses, may hold spaces. */
function statOf(pid: number): string[] {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** The value of `read`, or NaN where there is nothing to read. */
function orNaN(read: () => number): number {
  try {
    return read();
  } catch {
    return NaN;
  }
}

/** CPU seconds, user and system, that all threads of a process have used. */
export function cpuSeconds(pid: number): number {
  return orNaN(() => {
    const fields = statOf(pid);
    return (Number(fields[11]) + Number(fields[12])) / ticksPerS;
  });
}

/** A process and those that it and its children started, itself first. */
export function processTree(pid: number): number[] {
  const parents = new Map<number, number>();
  try {
    for (const { name } of Deno.readDirSync("/proc")) {
      const id = Number(name);
      const parent = id > 0 ? orNaN(() => Number(statOf(id)[1])) : NaN;
      if (parent > 0) parents.set(id, parent);
    }
  } catch {
    // Not Linux: the process alone.
  }
  const tree = [pid];
  for (const member of tree) for (const [id, parent] of parents) if (parent === member) tree.push(id);
  return tree;
}

/** CPU seconds of a process and of those it started that still run. */
export function cpuSecondsOfTree(pid: number): number {
  return processTree(pid).reduce((sum, member) => sum + cpuSeconds(member), 0);
}

/** CPU and wall seconds of a process over a stretch of time, by either of the clocks above. */
export function startCpuWatch(pid: number, clock = cpuSeconds): () => { cpuS: number; wallS: number } {
  const cpuS = clock(pid), startMs = performance.now();
  return () => ({ cpuS: clock(pid) - cpuS, wallS: (performance.now() - startMs) / 1000 });
}

/** Megabytes (10⁶ bytes) that a process holds now, or has held at most. */
export function memoryMb(pid: number, what: "VmRSS" | "VmHWM"): number {
  return orNaN(() => {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return Number(new RegExp(`^${what}:\\s*(\\d+) kB`, "m").exec(status)?.[1]) * 1024 / 1e6;
  });
}

/** Megabytes that a process and those it started hold now; what they share is counted for each. */
export function rssMbOfTree(pid: number): number {
  return processTree(pid).reduce((sum, member) => sum + memoryMb(member, "VmRSS"), 0);
}

/** Core seconds that nobody on this machine used so far. */
export function idleCoreSeconds(): number {
  return orNaN(() => Number(/^cpu +(?:\d+ ){3}(\d+)/m.exec(Deno.readTextFileSync("/proc/stat"))?.[1]) / ticksPerS);
}

/** Files that a process started from here may open; Infinity where it is not limited or not known. */
export function openFilesMax(): number {
  const limit = orNaN(() => Number(/^Max open files +(\d+)/m.exec(Deno.readTextFileSync("/proc/self/limits"))?.[1]));
  return Number.isNaN(limit) ? Infinity : limit;
}
