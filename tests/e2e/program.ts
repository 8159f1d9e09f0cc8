/** The program as operators run it: a process of its own, its lines, its signals, its exit code. */
import { fileURLToPath } from "node:url";
import { equal } from "node:assert/strict";
import { sleep, systemClock } from "../../src/core/mod.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Lines of one output, for whoever waits for one of them. */
export class Lines {
  readonly seen: string[] = [];
  #ended = false;
  readonly done: Promise<void>;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.done = this.#read(stream);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.seen.push(...lines);
    }
    if (rest !== "") this.seen.push(rest);
    this.#ended = true;
  }

  /** The first line at or after `from` that matches. */
  async find(pattern: RegExp, from = 0, deadlineMs = 15_000): Promise<string> {
    const endMs = systemClock.now() + deadlineMs;
    for (;;) {
      const line = this.seen.slice(from).find((line) => pattern.test(line));
      if (line !== undefined) return line;
      if (this.#ended || systemClock.now() > endMs) {
        throw new Error(`No line matches ${pattern} among:\n${this.seen.join("\n")}`);
      }
      await sleep(systemClock, 5);
    }
  }
}

/** Starts `warmpath` with the arguments; `env` is added to an environment without the program's own variables. */
export function spawnProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--cached-only", "--frozen", "-A", "src/main.ts", ...args],
    cwd: root,
    env: { NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** A program whose output is read as it comes. */
export class Program {
  readonly out: Lines;
  readonly err: Lines;
  readonly startedMs = systemClock.now();
  readonly #child: Deno.ChildProcess;
  #ended = false;

  constructor(args: readonly string[], env?: Readonly<Record<string, string>>) {
    this.#child = spawnProgram(args, env);
    this.out = new Lines(this.#child.stdout);
    this.err = new Lines(this.#child.stderr);
    this.#child.status.then(() => this.#ended = true);
  }

  /** Addresses of the clients' and the operators' port, once they are open. */
  async serving(): Promise<{ url: string; adminUrl: string }> {
    const { url, admin } = JSON.parse(await this.err.find(/"message":"Serving"/));
    return { url, adminUrl: admin };
  }

  signal(signal: "SIGTERM" | "SIGHUP" | "SIGKILL"): void {
    if (!this.#ended) this.#child.kill(signal);
  }

  /** The exit code, once the process has ended and its output is read. */
  async exit(): Promise<number> {
    const [{ code }] = await Promise.all([this.#child.status, this.out.done, this.err.done]);
    return code;
  }
}

/** Runs the program for as long as `use` does; kills it when that fails. */
export async function withProgram(
  args: readonly string[],
  use: (program: Program) => Promise<void>,
  env?: Readonly<Record<string, string>>,
): Promise<void> {
  const program = new Program(args, env);
  try {
    await use(program);
  } finally {
    program.signal("SIGKILL");
    await program.exit();
  }
}

/** Runs the program to its end. */
export async function runProgram(args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const program = new Program(args);
  const code = await program.exit();
  return { code, out: program.out.seen.join("\n"), err: program.err.seen.join("\n") };
}

/** A folder for the files of one test. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "warmpath-e2e-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Puts a new version of a file in place in one step, as editors and mounted ConfigMaps do. */
export async function replaceFile(path: string, text: string): Promise<void> {
  await Deno.writeTextFile(`${path}.new`, text);
  await Deno.rename(`${path}.new`, path);
}

/** Ends the program with SIGTERM and checks that it leaves in good order. */
export async function endInOrder(program: Program): Promise<void> {
  program.signal("SIGTERM");
  equal(await program.exit(), 0, program.err.seen.join("\n"));
}
