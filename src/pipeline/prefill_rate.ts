/**
 * How fast the pool computes prompts, as seen from here: uncached prompt tokens ahead of and in a request, over the time
 * to its first byte. An exponential mean over requests; used only to say when an unconfirmed claim has become unlikely.
 */
export class PrefillRate {
  // About the last 30 requests count.
  readonly #weight = 1 / 16;
  #tokensPerMs = 0;

  /** A first byte came `ms` after the decision, with `tokens` uncached prompt tokens ahead and its own. */
  observe(tokens: number, ms: number): void {
    // A prompt that was cached whole says nothing of the rate.
    if (tokens < 256 || ms <= 0) return;
    const rate = tokens / ms;
    this.#tokensPerMs = this.#tokensPerMs === 0 ? rate : this.#tokensPerMs + this.#weight * (rate - this.#tokensPerMs);
  }

  /** Milliseconds that many tokens will take; undefined while nothing was observed. */
  predictMs(tokens: number): number | undefined {
    return this.#tokensPerMs === 0 ? undefined : tokens / this.#tokensPerMs;
  }
}
