import type { RequestRecord } from "./record.ts";
import { errorCodes } from "./record.ts";
import type { Distribution, MetricStore, Scalar } from "./store.ts";

/** Every series of one label set of requests, found once and then recorded to without a look-up. */
export class RequestSeries {
  readonly #store: MetricStore;
  readonly #labels: readonly [string, string, string, string];
  readonly #total: Scalar;
  readonly #running: Scalar;
  readonly #duration: Distribution;
  readonly #requestBytes: Distribution;
  readonly #responseBytes: Distribution;
  readonly #inputTokens: Distribution;
  readonly #cachedTokens: Distribution;
  readonly #outputTokens: Distribution;
  readonly #ntpot: Distribution;
  readonly #ttft: Distribution;
  readonly #ttftStreaming: Distribution;
  readonly #tpot: Distribution;
  readonly #itl: Distribution;

  constructor(store: MetricStore, labels: readonly [string, string, string, string]) {
    this.#store = store;
    this.#labels = labels;
    this.#total = store.series("request_total", ...labels);
    this.#running = store.series("request_running", ...labels);
    this.#duration = store.series("request_duration_seconds", ...labels);
    this.#requestBytes = store.series("request_size_bytes", ...labels);
    this.#responseBytes = store.series("response_size_bytes", ...labels);
    this.#inputTokens = store.series("request_input_tokens", ...labels);
    this.#cachedTokens = store.series("request_cached_tokens", ...labels);
    this.#outputTokens = store.series("request_output_tokens", ...labels);
    this.#ntpot = store.series("request_ntpot_seconds", ...labels);
    this.#ttft = store.series("request_ttft_seconds", ...labels, "false");
    this.#ttftStreaming = store.series("request_ttft_seconds", ...labels, "true");
    this.#tpot = store.series("request_streaming_tpot_seconds", ...labels);
    this.#itl = store.series("request_streaming_itl_seconds", ...labels);
  }

  started(): void {
    this.#running.add(1);
  }

  /** Undoes `started`, once. */
  stopped(): void {
    this.#running.add(-1);
  }

  /** The time between two chunks of a stream. */
  itl(gapMs: number): void {
    this.#itl.observe(gapMs / 1000);
  }

  /** Counts every request; distributions are of completed ones, so that refusals do not make the service look fast. */
  ended(record: RequestRecord): void {
    this.#total.add(1);
    this.#requestBytes.observe(record.requestBytes);
    if (record.ttftMs !== undefined) {
      (record.stream ? this.#ttftStreaming : this.#ttft).observe(record.ttftMs / 1000);
    }
    const code = errorCodes[record.outcome];
    if (code !== undefined) this.#store.series("request_error_total", ...this.#labels, code).add(1);
    else this.#completed(record);
  }

  #completed(
    { durationMs, ttftMs, stream, responseBytes, promptTokens, cachedTokens, outputTokens }: RequestRecord,
  ): void {
    this.#duration.observe(durationMs / 1000);
    this.#responseBytes.observe(responseBytes);
    if (promptTokens !== undefined) this.#inputTokens.observe(promptTokens);
    if (cachedTokens !== undefined) this.#cachedTokens.observe(cachedTokens);
    if (outputTokens === undefined) return;
    this.#outputTokens.observe(outputTokens);
    if (outputTokens > 0) this.#ntpot.observe(durationMs / 1000 / outputTokens);
    if (stream && ttftMs !== undefined && outputTokens > 1) {
      this.#tpot.observe((durationMs - ttftMs) / 1000 / (outputTokens - 1));
    }
  }
}
