import { type Framing, Http1Error } from "../../protocol/mod.ts";
import type { Input } from "./input.ts";
import type { ClientBody } from "./request.ts";

/** The body of one HTTP/1.1 request. */
export class Http1Body implements ClientBody {
  readonly length: number | undefined;
  readonly #input: Input;
  readonly #framing: Framing;
  readonly #proceed: (() => Promise<void>) | undefined;
  readonly #onEnd: () => void;
  #left: number;
  #begun = false;
  #broken = false;

  /** `proceed` says 100 Continue to a client that waits for it; `onEnd` is called when the last byte was read. */
  constructor(input: Input, framing: Framing, proceed: (() => Promise<void>) | undefined, onEnd: () => void) {
    this.#input = input;
    this.#framing = framing;
    this.#proceed = proceed;
    this.#onEnd = onEnd;
    this.#left = framing.kind === "length" ? framing.left : framing.kind === "none" ? 0 : Infinity;
    this.length = framing.kind === "chunked" ? undefined : this.#left;
  }

  /** Every byte was read. */
  get done(): boolean {
    return this.#left === 0;
  }

  /** The client waits for 100 Continue, which was not said: what it sends next may be the body or another request. */
  get awaited(): boolean {
    return !this.#begun && this.#proceed !== undefined;
  }

  /** Reading it to its end is no use: the connection ends with it. */
  get broken(): boolean {
    return this.#broken;
  }

  async readInto(target: Uint8Array): Promise<number> {
    if (this.#left === 0) return 0;
    if (!this.#begun) {
      this.#begun = true;
      if (this.#proceed && this.#input.buffered === 0) await this.#proceed();
    }
    try {
      return await (this.#framing.kind === "chunked" ? this.#readChunks(target) : this.#readLength(target));
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }

  async #readLength(target: Uint8Array): Promise<number> {
    const n = await this.#input.readInto(target.length > this.#left ? target.subarray(0, this.#left) : target);
    if (n === 0) throw new Http1Error("The connection ended inside the request body");
    this.#left -= n;
    if (this.#left === 0) this.#onEnd();
    return n;
  }

  async #readChunks(target: Uint8Array): Promise<number> {
    const { body } = this.#framing as Framing & { kind: "chunked" };
    for (;;) {
      if (this.#input.buffered === 0 && !(await this.#input.fill())) {
        throw new Http1Error("The connection ended inside the request body");
      }
      const bytes = this.#input.peek();
      const size = body.decode(bytes.length > target.length ? bytes.subarray(0, target.length) : bytes, target);
      this.#input.take(body.used);
      if (body.done) {
        this.#left = 0;
        this.#onEnd();
        return size;
      }
      if (size > 0) return size;
    }
  }
}
