import { type Clock, concatBytes } from "../core/mod.ts";
import type { EngineMethod, EngineRequest } from "./engine_protocol.ts";
import type { UnavailableReason } from "./types.ts";

/** Sends a request; as the global `fetch`. */
export type Fetcher = (url: string, init: RequestInit) => Promise<Response>;

/** Bytes of an answer that are read: 128k ids take about 1 MB, processed images up to some tens. */
const answerBytesMax = 64 * 2 ** 20;

/** Requests for ids in flight to the engines of one model; more are refused, as each also occupies an engine. */
const inFlightMax = 16;

/** An engine that has no such interface is not asked again for so long. */
const missingMs = 300_000;

/** A server that did not answer in time is left alone for so long; then one request tries it. */
const slowMs = 10_000;

/** Slow servers that are remembered. */
const slowMax = 1024;

/** Asks the engines of one model for token ids. */
export class EngineClient {
  readonly #fetcher: Fetcher;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #missingUntilMs: Record<EngineMethod, number> = { render: -Infinity, tokenize: -Infinity };
  /** By URL. */
  readonly #slowUntilMs = new Map<string, number>();
  #inFlight = 0;

  constructor(options: { readonly fetcher: Fetcher; readonly clock: Clock; readonly timeoutMs: number }) {
    this.#fetcher = options.fetcher;
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
  }

  /** Whether the interface has not been found missing lately. */
  offers(method: EngineMethod): boolean {
    return this.#clock.now() >= this.#missingUntilMs[method];
  }

  /** Whether the server has lately not answered in time: a request would wait as long again. */
  isSlow(url: string): boolean {
    return this.#clock.now() < (this.#slowUntilMs.get(url) ?? -Infinity);
  }

  /** The bytes of an answer of status 200, or why there is none. */
  async ask(
    method: EngineMethod,
    url: string,
    request: EngineRequest,
    signal?: AbortSignal,
  ): Promise<Uint8Array | UnavailableReason> {
    if (this.#inFlight >= inFlightMax) return "busy";
    // Others need not wait with the one that tries.
    if (this.#slowUntilMs.has(url)) this.#foundSlow(url);
    const abort = new AbortController();
    const leave = () => abort.abort();
    const late = () => {
      this.#foundSlow(url);
      leave();
    };
    const timer = this.#clock.after(this.#timeoutMs, late, { background: true });
    signal?.addEventListener("abort", leave, { once: true });
    if (signal?.aborted) leave();
    this.#inFlight++;
    try {
      const response = await this.#fetcher(url.replace(/\/+$/, "") + request.path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: request.body,
        signal: abort.signal,
      });
      const bytes = response.status === 200 ? await readBounded(response) ?? "engine" : undefined;
      if (!abort.signal.aborted) this.#slowUntilMs.delete(url);
      if (bytes) return bytes;
      await response.body?.cancel();
      if ([404, 405, 501].includes(response.status)) this.#missingUntilMs[method] = this.#clock.now() + missingMs;
      return "engine";
    } catch {
      return signal?.aborted ? "cancelled" : "engine";
    } finally {
      this.#inFlight--;
      timer.cancel();
      signal?.removeEventListener("abort", leave);
    }
  }

  #foundSlow(url: string): void {
    if (this.#slowUntilMs.size >= slowMax) this.#slowUntilMs.clear();
    this.#slowUntilMs.set(url, this.#clock.now() + slowMs);
  }
}

/** The whole body; undefined when it is longer than the bound. */
async function readBounded(response: Response): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    // Leaving the loop cancels the stream.
    if (size > answerBytesMax) return undefined;
    chunks.push(chunk);
  }
  return concatBytes(chunks);
}
