/** Where a figure was measured, and at which commit. */

/** The machine of a run. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly os: string;
  readonly deno: string;
}

export function machine(): Machine {
  return {
    cpu: cpuName(),
    cores: navigator.hardwareConcurrency,
    memoryGiB: Math.round(Deno.systemMemoryInfo().total / 2 ** 30),
    os: `${Deno.build.os} ${Deno.osRelease()} ${Deno.build.arch}`,
    deno: Deno.version.deno,
  };
}

function cpuName(): string {
  try {
    return /^model name\s*:\s*(.+)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? "unknown";
  } catch {
    return "unknown";
  }
}

/** Short hash of the checked-out commit, with `+` when files of the tree differ from it; "unknown" outside a checkout. */
export function commit(): string {
  const git = (...args: string[]) => {
    const { success, stdout } = new Deno.Command("git", { args, cwd: import.meta.dirname, stderr: "null" })
      .outputSync();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  };
  try {
    const hash = git("rev-parse", "--short", "HEAD");
    if (hash === undefined) return "unknown";
    return git("status", "--porcelain", "--untracked-files=no", "..") ? `${hash}+` : hash;
  } catch {
    return "unknown";
  }
}
