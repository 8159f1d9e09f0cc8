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

/** Asks the engines of one model for token ids. */
export class EngineClient {
  readonly #fetcher: Fetcher;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #missingUntilMs: Record<EngineMethod, number> = { render: -Infinity, tokenize: -Infinity };
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

  /** The bytes of an answer of status 200, or why there is none. */
  async ask(
    method: EngineMethod,
    url: string,
    request: EngineRequest,
    signal?: AbortSignal,
  ): Promise<Uint8Array | UnavailableReason> {
    if (this.#inFlight >= inFlightMax) return "busy";
    const abort = new AbortController();
    const leave = () => abort.abort();
    const timer = this.#clock.after(this.#timeoutMs, leave, { background: true });
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
      if (response.status === 200) return await readBounded(response) ?? "engine";
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
