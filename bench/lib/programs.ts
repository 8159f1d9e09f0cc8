/** The processes of a benchmark: simulated servers, the router and relays, all ended together. */
import { Child, type Command } from "./child.ts";
import type { Target } from "./http.ts";
import { untilAnswers } from "./load.ts";
import type { Progress } from "./progress.ts";

/** A running program that answers chat completions. */
export interface Program {
  readonly name: string;
  readonly target: Target;
  readonly child: Child;
  /** CPU seconds by process id; of the one process unless told otherwise. */
  readonly cpuClock?: (pid: number) => number;
}

const portUrl = (port: number) => `http://127.0.0.1:${port}`;

/** What a line of JSON with the member `name` holds there. */
export function member<T>(name: string): (line: string) => T | undefined {
  return (line) => line.startsWith(`{"${name}"`) ? JSON.parse(line)[name] as T : undefined;
}

/** Ended with the scope they are made in. */
export class Programs implements AsyncDisposable {
  readonly #children: Child[] = [];
  readonly #progress: Progress;

  constructor(progress: Progress) {
    this.#progress = progress;
  }

  /** Starts a Deno program of this repository; see `Child.start`. */
  async start<T>(args: readonly string[], ready: (line: string) => T | undefined): Promise<{ child: Child; said: T }> {
    const { child, said } = await Child.start(args, ready);
    this.#children.push(child);
    return { child, said };
  }

  /** Starts any program. */
  launch(command: Command): Child {
    const child = Child.launch(command);
    this.#children.push(child);
    return child;
  }

  /** URLs of simulated servers, all in one process. */
  async upstreams(gap: number | "hold", servers: number): Promise<string[]> {
    const { said } = await this.start(
      ["bench/lib/upstream.ts", String(gap), String(servers)],
      member<number[]>("ports"),
    );
    return said.map(portUrl);
  }

  /** `serve` with all defaults but what `flags` say, ready to answer. */
  async router(upstreams: readonly string[], ...flags: string[]): Promise<Program> {
    const args = [
      "src/main.ts",
      "serve",
      "--endpoints",
      upstreams.join(),
      "--port",
      "0",
      "--admin-port",
      "0",
      ...flags,
    ];
    const servingUrl = (line: string) => line.includes('"Serving"') ? JSON.parse(line).url as string : undefined;
    const { child, said: url } = await this.start(args, servingUrl);
    await untilAnswers({ url });
    return { name: "router", target: { url }, child };
  }

  /** The bare relay to one server. */
  relay(upstream: string): Promise<Program> {
    return this.#relay("relay", "bench/lib/http_relay.ts", upstream);
  }

  tcpRelay(upstream: string): Promise<Program> {
    return this.#relay("tcp_relay", "bench/stream/tcp_relay.ts", upstream);
  }

  async #relay(name: string, file: string, upstream: string): Promise<Program> {
    const { child, said } = await this.start([file, upstream], member<number>("port"));
    return { name, target: { url: portUrl(said) }, child };
  }

  /** Ends all; says what those that had ended by themselves printed last. */
  async stop(): Promise<void> {
    for (const { lastWords } of this.#children) if (lastWords !== undefined) this.#progress.note(lastWords);
    await Promise.all(this.#children.splice(0).map((child) => child.stop()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
