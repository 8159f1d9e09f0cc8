/** Calls between isolates over a message port: each side offers methods and calls the other's. */
import { reasonOf } from "../core/mod.ts";

/** A port or a worker, as either side sees it. */
export interface RpcPort {
  postMessage(message: unknown): void;
  on(event: "message", listener: (message: unknown) => void): unknown;
}

type Methods = Readonly<Record<string, (...args: never[]) => unknown>>;

interface Call {
  readonly call: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

type Message =
  | Call
  | { readonly answer: number; readonly value: unknown }
  | { readonly answer: number; readonly failure: string };

interface Waiting {
  resolve(value: unknown): void;
  reject(reason: Error): void;
}

export class IsolateRpc {
  readonly #port: RpcPort;
  readonly #methods: Methods;
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #gone: Error | undefined;

  constructor(port: RpcPort, methods: Methods) {
    this.#port = port;
    this.#methods = methods;
    port.on("message", (message) => void this.#take(message as Message));
  }

  /** Calls a method of the other side. Rejects with its error's message, or when the other side is gone. */
  call(method: string, ...args: unknown[]): Promise<unknown> {
    if (this.#gone) return Promise.reject(this.#gone);
    const call = ++this.#calls;
    const waiting = Promise.withResolvers<unknown>();
    this.#waiting.set(call, waiting);
    this.#port.postMessage({ call, method, args } satisfies Message);
    return waiting.promise;
  }

  /** The other side is gone: what was asked of it fails, and whatever is asked from now on. */
  abandon(reason: string): void {
    this.#gone = new Error(reason);
    for (const { reject } of this.#waiting.values()) reject(this.#gone);
    this.#waiting.clear();
  }

  async #take(message: Message): Promise<void> {
    // What it sent before its end and is read after it holds nothing that anybody would give back.
    if (this.#gone) return;
    if ("method" in message) return await this.#serve(message);
    const waiting = this.#waiting.get(message.answer);
    this.#waiting.delete(message.answer);
    if ("failure" in message) waiting?.reject(new Error(message.failure));
    else waiting?.resolve(message.value);
  }

  async #serve({ call, method, args }: Call): Promise<void> {
    try {
      const value = await this.#methods[method](...args as never[]);
      this.#port.postMessage({ answer: call, value } satisfies Message);
    } catch (error) {
      this.#port.postMessage({ answer: call, failure: reasonOf(error) } satisfies Message);
    }
  }
}
