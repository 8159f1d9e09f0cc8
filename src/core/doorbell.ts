/**
 * Wakes an isolate that has to look into rings others write to. Several may ring; one listens. Nobody rings in vain: what
 * was written before a `ring` is seen by a look that begins after it.
 */
export class Doorbell {
  /** Rings so far, and whether the listener sleeps. */
  readonly #words: Int32Array;

  static readonly bytes = 8;

  constructor(buffer: ArrayBufferLike = new SharedArrayBuffer(Doorbell.bytes), byteOffset = 0) {
    this.#words = new Int32Array(buffer, byteOffset, 2);
  }

  ring(): void {
    Atomics.add(this.#words, 0, 1);
    if (Atomics.load(this.#words, 1) !== 0) Atomics.notify(this.#words, 0);
  }

  /**
   * Calls `look` now and after every ring, until it returns false. After each look it waits for `pause`, during which rings
   * wake nobody: a wake costs more than what it is for. The sleep does not keep the event loop going.
   */
  async listen(look: () => boolean, pause: () => Promise<void>): Promise<void> {
    const words = this.#words;
    for (;;) {
      const seen = Atomics.load(words, 0);
      if (!look()) return;
      await pause();
      Atomics.store(words, 1, 1);
      const waiting = Atomics.waitAsync(words, 0, seen);
      if (waiting.async) await waiting.value;
      Atomics.store(words, 1, 0);
    }
  }
}
