/** The client's side: many paced streams at once, short requests in a closed loop, and times to the first byte. */
import { chunkText } from "./chunk.ts";

const chunkBytes = new TextEncoder().encode(chunkText).length;
const path = "/v1/chat/completions";
const headers = { "content-type": "application/json" };
const messages = [{ role: "user", content: "Write a story about a river. ".repeat(12) }];

/** Streams that run until `stop`; `chunks` counts what has arrived over all of them. */
export class PacedStreams {
  readonly #abort = new AbortController();
  readonly #streams: Promise<void>[];
  #bytes = 0;
  /** What went wrong with the first stream that did not run until `stop`. */
  #failure: unknown;

  constructor(baseUrl: string, count: number, chunksEach: number) {
    this.#streams = Array.from({ length: count }, () => this.#run(baseUrl, chunksEach));
  }

  get chunks(): number {
    return this.#bytes / chunkBytes;
  }

  /** Cuts the streams; throws when one of them had ended before. */
  async stop(): Promise<void> {
    const failure = this.#failure;
    this.#abort.abort();
    await Promise.all(this.#streams);
    if (failure !== undefined) throw new Error("Cannot count chunks as a stream ended early", { cause: failure });
  }

  async #run(baseUrl: string, chunks: number): Promise<void> {
    try {
      await this.#read(baseUrl, chunks);
      this.#failure ??= new Error("The stream was complete");
    } catch (error) {
      if (!this.#abort.signal.aborted) this.#failure ??= error;
    }
  }

  async #read(baseUrl: string, max_tokens: number): Promise<void> {
    const body = JSON.stringify({ model: "bench", stream: true, max_tokens, messages });
    const response = await fetch(baseUrl + path, { method: "POST", headers, body, signal: this.#abort.signal });
    if (!response.ok) throw new Error(`Cannot stream: ${response.status} ${await response.text()}`);
    for await (const bytes of response.body!) this.#bytes += bytes.length;
  }
}

/** Sends short requests over `connections` for `seconds`; returns how many were answered. */
export async function shortRequests(baseUrl: string, connections: number, seconds: number): Promise<number> {
  const body = JSON.stringify({ model: "bench", max_tokens: 60, messages });
  const endMs = performance.now() + seconds * 1000;
  let answered = 0;
  const loop = async () => {
    while (performance.now() < endMs) {
      const response = await fetch(baseUrl + path, { method: "POST", headers, body });
      const text = await response.text();
      if (!response.ok) throw new Error(`Cannot measure requests: ${response.status} ${text}`);
      answered++;
    }
  };
  await Promise.all(Array.from({ length: connections }, loop));
  return answered;
}

/** Milliseconds from sending a streamed request to its first body byte. */
export async function firstByteMs(baseUrl: string): Promise<number> {
  const body = JSON.stringify({ model: "bench", stream: true, max_tokens: 1, messages });
  const startMs = performance.now();
  const response = await fetch(baseUrl + path, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`Cannot measure the first byte: ${response.status} ${await response.text()}`);
  const reader = response.body!.getReader();
  await reader.read();
  const ms = performance.now() - startMs;
  while (!(await reader.read()).done);
  return ms;
}
