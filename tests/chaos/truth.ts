/** What an answer must say: simulators of one seed answer a prompt alike, so that a client can check every token. */
import { equal } from "node:assert/strict";
import { startSimServer } from "../../src/sim/mod.ts";

/** The whole answer of each request, by its content: asked of a simulator that nothing happens to. */
export class AnswerBook implements AsyncDisposable {
  readonly #server;
  readonly #model: string;
  readonly #known = new Map<string, Promise<string>>();

  constructor(model: string, seed: number) {
    this.#model = model;
    this.#server = startSimServer({ port: 0, model, seed, speed: 1e6 });
  }

  text(content: string, maxTokens: number): Promise<string> {
    const key = `${maxTokens} ${content}`;
    const known = this.#known.get(key);
    if (known) return known;
    const asked = this.#ask(content, maxTokens);
    this.#known.set(key, asked);
    return asked;
  }

  async #ask(content: string, maxTokens: number): Promise<string> {
    const response = await fetch(`${this.#server.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: this.#model, max_tokens: maxTokens, messages: [{ role: "user", content }] }),
    });
    const answer = await response.json();
    equal(response.status, 200, JSON.stringify(answer));
    return answer.choices[0].message.content;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop();
  }
}
