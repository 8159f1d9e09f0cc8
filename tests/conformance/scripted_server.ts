/** Model servers in memory: byte streams that answer, fail, stall and lie by a seeded script, on any clock. */
import { type Clock, Prng } from "../../src/core/mod.ts";
import type { ByteStream } from "../../src/upstream/mod.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One thing a server does after it has read a request. */
type Step =
  | { readonly kind: "bytes"; readonly bytes: Uint8Array }
  | { readonly kind: "wait"; readonly ms: number }
  /** `stall` says nothing until the client gives up. */
  | { readonly kind: "eof" | "reset" | "stall" };

/** What answers are made of; the test makes the same text again to know what its client must read. */
export interface AnswerText {
  readonly serial: number;
  readonly model: string;
  readonly stream: boolean;
  readonly usage: boolean;
}

/** A whole JSON answer, or an event stream of 1 to 6 events with its usage event where asked for. */
export function answerText({ serial, model, stream, usage }: AnswerText): string {
  const name = JSON.stringify(model);
  const tokens = 1 + serial % 6;
  if (!stream) {
    const text = JSON.stringify(`word ${serial} `.repeat(tokens));
    return `{"id":"c-${serial}","object":"chat.completion","model":${name},"choices":[{"index":0,"text":${text}}],` +
      `"usage":{"prompt_tokens":7,"completion_tokens":${tokens},"total_tokens":${7 + tokens}}}`;
  }
  let events = "";
  for (let i = 0; i < tokens; i++) {
    events += `data: {"id":"c-${serial}","model":${name},"choices":[{"index":0,"delta":{"content":"t${i}"}}]}\n\n`;
  }
  if (usage) {
    events += `data: {"id":"c-${serial}","model":${name},"choices":[],"usage":{"prompt_tokens":7,` +
      `"completion_tokens":${tokens},"total_tokens":${7 + tokens}}}\n\n`;
  }
  return `${events}data: [DONE]\n\n`;
}

/** How one exchange goes. */
const behaviours = [
  ["whole", 34],
  ["pieces", 20],
  ["slow", 6],
  ["until-close", 4],
  ["interim", 2],
  ["no-content", 1],
  ["retryable-status", 6],
  ["status", 4],
  ["eof-before-head", 3],
  ["reset-before-head", 3],
  ["reset-in-head", 2],
  ["garbage-head", 2],
  ["head-then-reset", 4],
  ["cut-body", 4],
  ["bad-chunk", 2],
  ["stall-before-head", 1],
  ["stall-in-body", 1],
] as const;
export type Behaviour = typeof behaviours[number][0];
const behaviourWeights = behaviours.reduce((sum, [, weight]) => sum + weight, 0);

/** What the servers did, counted by behaviour; `refused` and `unreachable` are connections that never came to be. */
export type BehaviourCounts = Map<Behaviour | "refused" | "unreachable", number>;

export interface ScriptedServersOptions {
  readonly clock: Clock;
  readonly seed: number;
}

/** All servers of a pool: they share a script, a clock and the count of open connections. */
export class ScriptedServers {
  readonly counts: BehaviourCounts = new Map();
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #open = new Set<ScriptedStream>();
  #serial = 0;

  constructor({ clock, seed }: ScriptedServersOptions) {
    this.#clock = clock;
    this.#prng = new Prng(seed);
  }

  /** Connections neither side has closed. */
  get open(): number {
    return this.#open.size;
  }

  /** For `UpstreamClient`'s `dial`. */
  readonly dial = (_target: unknown, signal: AbortSignal): Promise<ByteStream> => {
    const draw = this.#prng.below(100);
    if (draw < 4) {
      this.#count("refused");
      return Promise.reject(new Deno.errors.ConnectionRefused("refused by script"));
    }
    if (draw < 5) {
      this.#count("unreachable");
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }
    const stream = new ScriptedStream(this.#clock, this.#prng.fork(), {
      answer: (request) => this.#answer(request),
      closed: () => this.#open.delete(stream),
    });
    this.#open.add(stream);
    return Promise.resolve(stream);
  };

  #count(behaviour: Behaviour | "refused" | "unreachable"): void {
    this.counts.set(behaviour, (this.counts.get(behaviour) ?? 0) + 1);
  }

  #answer(request: string): Step[] {
    let draw = this.#prng.below(behaviourWeights);
    const [behaviour] = behaviours.find(([, weight]) => (draw -= weight) < 0)!;
    this.#count(behaviour);
    return new AnswerScript(this.#prng, this.#serial++, request).steps(behaviour);
  }
}

/** The steps of one answer. */
class AnswerScript {
  readonly #prng: Prng;
  readonly #serial: number;
  readonly #sse: boolean;
  readonly #body: string;

  constructor(prng: Prng, serial: number, request: string) {
    this.#prng = prng;
    this.#serial = serial;
    this.#sse = /"stream":\s*true/.test(request);
    const model = /"model":\s*"([^"]*)"/.exec(request)?.[1] ?? "";
    this.#body = answerText({ serial, model, stream: this.#sse, usage: /"include_usage":\s*true/.test(request) });
  }

  steps(behaviour: Behaviour): Step[] {
    const end = (kind: "eof" | "reset" | "stall"): Step[] => [{ kind }];
    switch (behaviour) {
      case "whole":
        return [...this.#pause(4), ...this.#bytes(this.#head() + this.#framed())];
      case "pieces":
        return [...this.#pause(4), ...this.#pieces(this.#head() + this.#framed(), 3)];
      case "slow":
        return [...this.#pause(60), ...this.#pieces(this.#head() + this.#framed(), 40)];
      case "until-close":
        return [...this.#pieces(this.#head("") + this.#body, 2), ...end("eof")];
      case "interim":
        return this.#pieces("HTTP/1.1 100 Continue\r\n\r\n" + this.#head() + this.#framed(), 2);
      case "no-content":
        return this.#bytes(`HTTP/1.1 204 No Content\r\nx-serial: ${this.#serial}\r\n\r\n`);
      case "retryable-status":
        return this.#bytes(this.#failure([502, 503, 504][this.#serial % 3]));
      case "status":
        return this.#bytes(this.#failure([400, 404, 429, 500][this.#serial % 4]));
      case "eof-before-head":
        return [...this.#pause(3), ...end("eof")];
      case "reset-before-head":
        return [...this.#pause(3), ...end("reset")];
      case "reset-in-head":
        return [...this.#bytes(this.#head().slice(0, 30)), ...end("reset")];
      case "garbage-head":
        return this.#bytes(["SSH-2.0-OpenSSH_9.7\r\n\r\n", "HTTP/1.1 200 OK\r\nbad header\r\n\r\n"][this.#serial & 1]);
      case "head-then-reset":
        return [...this.#bytes(this.#head()), ...this.#pause(3), ...end("reset")];
      case "cut-body":
        return [...this.#pieces(this.#head() + this.#framed().slice(0, -12), 2), ...end("eof")];
      case "bad-chunk":
        return this.#pieces(this.#head("transfer-encoding: chunked\r\n") + `5\r\ndata:\r\nnot a size\r\n`, 2);
      case "stall-before-head":
        return end("stall");
      case "stall-in-body":
        return [...this.#bytes(this.#head() + this.#framed().slice(0, -12)), ...end("stall")];
    }
  }

  get #chunked(): boolean {
    return this.#sse || this.#serial % 3 === 0;
  }

  #head(
    framing = this.#chunked ? "transfer-encoding: chunked\r\n" : `content-length: ${this.#body.length}\r\n`,
  ): string {
    const type = this.#sse ? "text/event-stream; charset=utf-8" : "application/json";
    return `HTTP/1.1 200 OK\r\ncontent-type: ${type}\r\nx-serial: ${this.#serial}\r\n${framing}\r\n`;
  }

  #framed(): string {
    if (!this.#chunked) return this.#body;
    const middle = this.#prng.below(this.#body.length - 1) + 1;
    const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`;
    return chunk(this.#body.slice(0, middle)) + chunk(this.#body.slice(middle)) + "0\r\n\r\n";
  }

  #failure(status: number): string {
    const body = `{"error":{"message":"scripted ${status}","type":"scripted","param":null,"code":${status}}}`;
    const connection = this.#serial % 2 === 0 ? "close" : "keep-alive";
    return `HTTP/1.1 ${status} Scripted\r\ncontent-type: application/json\r\nconnection: ${connection}\r\n` +
      `content-length: ${body.length}\r\n\r\n${body}`;
  }

  #bytes(text: string): Step[] {
    return [{ kind: "bytes", bytes: encoder.encode(text) }];
  }

  #pause(meanMs: number): Step[] {
    return [{ kind: "wait", ms: this.#prng.below(meanMs * 2) }];
  }

  #pieces(text: string, meanMs: number): Step[] {
    const steps: Step[] = [];
    for (let at = 0; at < text.length;) {
      const to = at + 1 + this.#prng.below(Math.max(64, text.length));
      steps.push(...this.#bytes(text.slice(at, to)), ...this.#pause(meanMs));
      at = to;
    }
    return steps;
  }
}

/** One connection: reads a request, then goes through the steps of its answer. */
class ScriptedStream implements ByteStream {
  readonly #clock: Clock;
  readonly #prng: Prng;
  readonly #server: { answer(request: string): Step[]; closed(): void };
  #request: Uint8Array[] = [];
  #bodyLeft = -1;
  #steps: Step[] = [];
  #at = 0;
  #closed = false;
  /** Of a read that waits for bytes to come. */
  #wake: (() => void) | undefined;
  #fail: ((error: Error) => void) | undefined;

  constructor(clock: Clock, prng: Prng, server: { answer(request: string): Step[]; closed(): void }) {
    this.#clock = clock;
    this.#prng = prng;
    this.#server = server;
  }

  write(bytes: Uint8Array): Promise<number> {
    if (this.#closed) return Promise.reject(new Deno.errors.BrokenPipe("closed"));
    // Every eighth write takes part of the bytes, as a full socket buffer does.
    const n = this.#prng.below(8) === 0 ? Math.ceil(bytes.length / 2) : bytes.length;
    this.#take(bytes.slice(0, n));
    return Promise.resolve(n);
  }

  async read(into: Uint8Array): Promise<number | null> {
    for (;;) {
      if (this.#closed) throw new Deno.errors.BadResource("closed");
      const step = this.#steps[0];
      if (step === undefined) await this.#wait();
      else if (step.kind === "bytes") return this.#give(step.bytes, into);
      else if (step.kind === "wait") {
        this.#steps.shift();
        if (step.ms > 0) await this.#wait(step.ms);
      } else if (step.kind === "eof") return null;
      else if (step.kind === "reset") throw new Deno.errors.ConnectionReset("reset by script");
      else await this.#wait();
    }
  }

  close(): void {
    if (this.#closed) throw new Deno.errors.BadResource("closed twice");
    this.#closed = true;
    this.#server.closed();
    this.#fail?.(new Deno.errors.Interrupted("closed while reading"));
  }

  #take(bytes: Uint8Array): void {
    this.#request.push(bytes);
    if (this.#bodyLeft < 0) {
      const head = this.#text();
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = Number(/^content-length: (\d+)$/m.exec(head.slice(0, end))?.[1] ?? 0);
      this.#bodyLeft = length - (this.#request.reduce((sum, part) => sum + part.length, 0) - end - 4);
    } else this.#bodyLeft -= bytes.length;
    if (this.#bodyLeft > 0) return;
    this.#steps.push(...this.#server.answer(this.#text()));
    this.#request = [];
    this.#bodyLeft = -1;
    this.#wake?.();
  }

  /** Begin of the request: what is looked for stands at the start of the bodies. */
  #text(): string {
    let text = "";
    for (const part of this.#request) {
      text += decoder.decode(part.subarray(0, 2048));
      if (text.length >= 2048) break;
    }
    return text;
  }

  #give(bytes: Uint8Array, into: Uint8Array): number {
    const n = Math.min(bytes.length - this.#at, into.length);
    into.set(bytes.subarray(this.#at, this.#at + n));
    this.#at += n;
    if (this.#at === bytes.length) {
      this.#at = 0;
      this.#steps.shift();
      // An idle connection may be closed by the server at any time.
      if (this.#steps.length === 0 && this.#prng.below(16) === 0) this.#steps.push({ kind: "eof" });
    }
    return n;
  }

  #wait(ms?: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      this.#fail = reject;
      if (ms !== undefined) this.#clock.after(ms, resolve);
    });
  }
}
