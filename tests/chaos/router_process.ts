/** The program as a process of its own, watched from outside. */
import { equal, fail } from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * A young generation that stays small and an old one that is collected at every fifth of growth: garbage waiting for its
 * collection would look like memory that is kept.
 */
const v8Flags = "--v8-flags=--max-semi-space-size=2,--heap-growing-percent=20";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What the operators' port says of one endpoint, as far as it is read here. */
export interface EndpointReport {
  readonly id: string;
  readonly state: string;
  readonly models: readonly unknown[];
  readonly inFlight: { readonly requests: number; readonly prefillTokens: number; readonly decodeTokens: number };
}

/** `serve` with a configuration of the test's own. */
export class RouterProcess {
  readonly url: string;
  readonly adminUrl: string;
  readonly accessLines: readonly Readonly<Record<string, unknown>>[];
  readonly logLines: readonly Readonly<Record<string, unknown>>[];
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<unknown>;
  readonly #file: string;

  /** Resolves once the program says that it serves. */
  static async start(config: unknown): Promise<RouterProcess> {
    const file = await Deno.makeTempFile({ suffix: ".json" });
    await Deno.writeTextFile(file, JSON.stringify(config));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", v8Flags, join(root, "src/main.ts"), "serve", "--config", file],
      cwd: root,
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const accessLines: Record<string, unknown>[] = [], logLines: Record<string, unknown>[] = [];
    const serving = Promise.withResolvers<Record<string, unknown>>();
    const read = Promise.all([
      eachLine(child.stdout, (line) => void accessLines.push(JSON.parse(line))),
      eachLine(child.stderr, (line) => {
        const entry = line.startsWith("{") ? JSON.parse(line) : { level: "error", message: line };
        logLines.push(entry);
        if (entry.message === "Serving") serving.resolve(entry);
      }),
    ]);
    read.then(() => serving.reject(new Error(`The router ended: ${JSON.stringify(logLines)}`)));
    const { url, admin } = await serving.promise;
    return new RouterProcess(child, read, file, { url: String(url), adminUrl: String(admin), accessLines, logLines });
  }

  private constructor(
    child: Deno.ChildProcess,
    read: Promise<unknown>,
    file: string,
    { url, adminUrl, accessLines, logLines }: Pick<RouterProcess, "url" | "adminUrl" | "accessLines" | "logLines">,
  ) {
    this.#child = child;
    this.#read = read;
    this.#file = file;
    this.url = url;
    this.adminUrl = adminUrl;
    this.accessLines = accessLines;
    this.logLines = logLines;
  }

  async endpoints(): Promise<EndpointReport[]> {
    return await (await fetch(`${this.adminUrl}/debug/endpoints`)).json();
  }

  async ready(): Promise<boolean> {
    const response = await fetch(`${this.adminUrl}/readyz`);
    await response.body?.cancel();
    return response.ok;
  }

  /** Value of the one series of a metric whose labels contain `labels`; the sum where there are several. */
  async metric(name: string, labels = ""): Promise<number> {
    const page = await (await fetch(`${this.adminUrl}/metrics`)).text();
    const lines = page.split("\n").filter((line) => line.startsWith(`${name}{`) && line.includes(labels));
    if (lines.length === 0) fail(`No series of ${name}`);
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  /** Ends the program as an operator would; it must leave with 0. */
  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const { code } = await this.#child.status;
    await this.#read;
    equal(code, 0, JSON.stringify(this.logLines.slice(-5)));
  }

  /** Ends the program if it still runs, whatever it does. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.#read;
    await Deno.remove(this.#file);
  }
}

async function eachLine(stream: ReadableStream<Uint8Array<ArrayBuffer>>, take: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) if (line !== "") take(line);
  }
}
