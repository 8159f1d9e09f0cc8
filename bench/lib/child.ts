/** Programs a benchmark starts: each its own process, its CPU time read from the system. */

const root = new URL("../..", import.meta.url);

const linesKept = 20;

/** A running program. */
export class Child {
  readonly #process: Deno.ChildProcess;
  readonly #drained: Promise<unknown>;
  readonly #printed: readonly string[];
  readonly #name: string;
  #stopping = false;
  #ended = false;

  private constructor(process: Deno.ChildProcess, drained: Promise<unknown>, printed: readonly string[], name: string) {
    this.#process = process;
    this.#drained = drained;
    this.#printed = printed;
    this.#name = name;
    process.status.then(() => this.#ended = true);
  }

  /** What a program that ended without being asked to printed last; undefined for all others. */
  get lastWords(): string | undefined {
    return this.#ended && !this.#stopping ? `${this.#name} ended with\n${this.#printed.join("\n")}` : undefined;
  }

  /**
   * Starts a Deno program of this repository and waits for the line in which it says that it serves: the first that
   * `ready` gives a value for. Of what it prints, the last lines are kept.
   */
  static async start<T>(
    args: readonly string[],
    ready: (line: string) => T | undefined,
  ): Promise<{ child: Child; said: T }> {
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", ...args],
      cwd: root,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const printed: string[] = [];
    const said = Promise.withResolvers<T>();
    const listen = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
      let rest = "", waiting = true;
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
          printed.push(line);
          if (printed.length > linesKept) printed.shift();
          const value = waiting ? ready(line) : undefined;
          if (value === undefined) continue;
          waiting = false;
          said.resolve(value);
        }
      }
    };
    const drained = Promise.all([listen(process.stdout), listen(process.stderr)]);
    drained.then(() => said.reject(new Error(`Cannot start ${args.join(" ")}: it ended with\n${printed.join("\n")}`)));
    return { child: new Child(process, drained, printed, args[0]), said: await said.promise };
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Asks it to end, insists after `graceMs`, and waits until it has. */
  async stop(graceMs = 2000): Promise<void> {
    this.#stopping = !this.#ended;
    this.#signal("SIGTERM");
    const timer = setTimeout(() => this.#signal("SIGKILL"), graceMs);
    await this.#process.status;
    clearTimeout(timer);
    await this.#drained;
  }

  #signal(name: Deno.Signal): void {
    try {
      this.#process.kill(name);
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
}

/** Clock ticks a second in `/proc`: 100 on every Linux architecture Deno supports. */
const ticksPerS = 100;

/** CPU seconds, user and system, that all threads of a process have used; NaN where `/proc` does not exist. */
export function cpuSeconds(pid: number): number {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // The name in parentheses may hold spaces: fields are counted from behind it, where the state is field 3.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / ticksPerS;
  } catch {
    return NaN;
  }
}

/** CPU and wall seconds of a process over a stretch of time. */
export function startCpuWatch(pid: number): () => { cpuS: number; wallS: number } {
  const cpuS = cpuSeconds(pid), startMs = performance.now();
  return () => ({ cpuS: cpuSeconds(pid) - cpuS, wallS: (performance.now() - startMs) / 1000 });
}
