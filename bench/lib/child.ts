/** Programs a benchmark starts: each its own process. */
import { processTree } from "./procfs.ts";

const root = new URL("../..", import.meta.url);

const linesKept = 20;

/** How a program is called. */
export interface Command {
  /** What its last words are shown under. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** The repository's root unless told otherwise. */
  readonly cwd?: string | URL;
}

/** Ports that nobody listens on at this moment, for programs that must be told theirs. */
export function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () => Deno.listen({ hostname: "127.0.0.1", port: 0 }));
  return listeners.map((listener) => {
    listener.close();
    return listener.addr.port;
  });
}

/** A running program. */
export class Child {
  readonly #process: Deno.ChildProcess;
  readonly #drained: Promise<unknown>;
  /** The last lines of what it printed. */
  readonly #printed: string[] = [];
  readonly #name: string;
  #stopping = false;
  #ended = false;

  private constructor({ name, program, args, env, cwd = root }: Command, onLine: (line: string) => void) {
    this.#name = name;
    this.#process = new Deno.Command(program, {
      args: [...args],
      env: { ...env },
      cwd,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const listen = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
      let rest = "";
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\n");
        rest = lines.pop()!;
        for (const line of lines) {
          this.#printed.push(line);
          if (this.#printed.length > linesKept) this.#printed.shift();
          onLine(line);
        }
      }
    };
    this.#drained = Promise.all([listen(this.#process.stdout), listen(this.#process.stderr)]);
    this.#process.status.then(() => this.#ended = true);
  }

  /** Starts a program, and does not wait for it. */
  static launch(command: Command): Child {
    return new Child(command, () => {});
  }

  /**
   * Starts a Deno program of this repository and waits for the line in which it says that it serves: the first that
   * `ready` gives a value for.
   */
  static async start<T>(
    args: readonly string[],
    ready: (line: string) => T | undefined,
  ): Promise<{ child: Child; said: T }> {
    const said = Promise.withResolvers<T>();
    let waiting = true;
    const command = { name: args[0], program: Deno.execPath(), args: ["run", "-A", "--no-check", ...args] };
    const child = new Child(command, (line) => {
      const value = waiting ? ready(line) : undefined;
      if (value === undefined) return;
      waiting = false;
      said.resolve(value);
    });
    child.#drained.then(() =>
      said.reject(new Error(`Cannot start ${args.join(" ")}: it ended with\n${child.#printed.join("\n")}`))
    );
    return { child, said: await said.promise };
  }

  /** What a program that ended without being asked to printed last; undefined for all others. */
  get lastWords(): string | undefined {
    return this.#ended && !this.#stopping ? `${this.#name} ended with\n${this.#printed.join("\n")}` : undefined;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Asks it to end, insists after `graceMs`, with the processes it started, and waits until it has. */
  async stop(graceMs = 2000): Promise<void> {
    this.#stopping = !this.#ended;
    this.#signal("SIGTERM");
    const timer = setTimeout(() => {
      for (const pid of processTree(this.pid).slice(1)) Deno.kill(pid, "SIGKILL");
      this.#signal("SIGKILL");
    }, graceMs);
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
