/** Clients that check every token they are given. */
import { Prng, sleep, systemClock } from "../../src/core/mod.ts";
import { eventData } from "../e2e/harness.ts";
import type { AnswerBook } from "./truth.ts";

/** How one request went, as its client saw it. */
export interface CheckedFate {
  readonly phase: string;
  readonly stream: boolean;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** 0 when the connection broke before a head came. */
  readonly status: number;
  readonly retryAfter: string | null;
  readonly complete: boolean;
  /** The answer's words so far are the right ones, each once. */
  readonly true: boolean;
  readonly said: number;
  readonly problem?: string;
}

const conversations = 12;
const lengths = [20, 35, 50] as const;

/** Poisson arrivals, at a rate that may change, until `stop`; every answer is compared with the book's. */
export class CheckedLoad {
  phase = "";
  requestsPerS: number;
  readonly fates: CheckedFate[] = [];
  readonly #url: string;
  readonly #model: string;
  readonly #book: AnswerBook;
  readonly #prng: Prng;
  /** No connection is used twice: one that an edge took with it would fail a later request. */
  readonly #client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  readonly #running = new Set<Promise<void>>();
  #stopped = false;
  readonly #arrivals: Promise<void>;

  constructor(url: string, model: string, book: AnswerBook, options: { requestsPerS: number; seed: number }) {
    this.#url = url;
    this.#model = model;
    this.#book = book;
    this.#prng = new Prng(options.seed);
    this.requestsPerS = options.requestsPerS;
    this.#arrivals = this.#arrive();
  }

  /** Asks for the answers of the conversations, so that the book is ready. */
  static async learn(book: AnswerBook): Promise<void> {
    for (let i = 0; i < conversations; i++) for (const length of lengths) await book.text(contentOf(i), length);
  }

  /** Sends no more; resolves when every request has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#arrivals;
    await Promise.all(this.#running);
    this.#client.close();
  }

  async #arrive(): Promise<void> {
    let due = systemClock.now();
    while (!this.#stopped) {
      due += this.#prng.exponential(1000 / this.requestsPerS);
      await sleep(systemClock, Math.max(0, due - systemClock.now()));
      const request = this.#send(this.#prng.fork()).finally(() => this.#running.delete(request));
      this.#running.add(request);
    }
  }

  async #send(prng: Prng): Promise<void> {
    const { phase } = this;
    const stream = prng.float() < 0.7;
    // Half of them nobody has asked before: those go where the least is to do.
    const content = contentOf(prng.below(conversations), prng.float() < 0.5 ? prng.u32() : undefined),
      length = lengths[prng.below(lengths.length)];
    const startedAtMs = systemClock.now();
    let status = 0, retryAfter: string | null = null, text = "", problem: string | undefined;
    try {
      const response = await fetch(`${this.#url}/v1/chat/completions`, {
        method: "POST",
        client: this.#client,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          model: this.#model,
          stream,
          max_tokens: length,
          messages: [{ role: "user", content }],
        }),
      });
      status = response.status;
      retryAfter = response.headers.get("retry-after");
      for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) text += piece;
    } catch (error) {
      problem = String(error);
    }
    const { said, ended } = stream ? spokenInStream(text) : spokenInBody(text);
    const truth = await this.#book.text(content, length);
    const complete = status === 200 && problem === undefined && ended;
    this.fates.push({
      phase,
      stream,
      startedAtMs,
      endedAtMs: systemClock.now(),
      status,
      retryAfter,
      complete,
      true: complete ? said === truth : truth.startsWith(said),
      said: said.length,
      problem: problem ?? (complete ? undefined : text.slice(-200)),
    });
  }
}

function contentOf(conversation: number, number?: number): string {
  return (number === undefined ? "" : `Request ${number} of `) + `conversation ${conversation}: ` +
    "tell me more of it. ".repeat(5 + conversation * 4);
}

function spokenInStream(text: string): { said: string; ended: boolean } {
  let said = "", ended = false;
  for (const data of eventData(text)) {
    if (data === "[DONE]") ended = true;
    else {
      try {
        said += JSON.parse(data).choices?.[0]?.delta?.content ?? "";
      } catch {
        // The last event of a stream that was cut off.
      }
    }
  }
  return { said, ended: ended && !text.includes('"error":') };
}

function spokenInBody(text: string): { said: string; ended: boolean } {
  try {
    const said = JSON.parse(text).choices[0].message.content;
    return { said, ended: true };
  } catch {
    return { said: "", ended: false };
  }
}
