/** Chat requests at a steady rate, whatever becomes of them, and a count of those that were lost. */
const headers = { "content-type": "application/json" };

/** A router as its clients see it. */
export interface Target {
  readonly url: string;
  /** It was told to end, or is not ready yet: nobody can answer. */
  down: boolean;
}

export class SteadyLoad {
  /** Requests answered with 200. */
  answered = 0;
  /** Requests whose connection closed without an answer as the router ended right after they were sent. */
  cut = 0;
  /** Requests that failed although their router was up. */
  lost = 0;
  /** Why the first of them was. */
  firstLoss = "";
  readonly #targets = new Set<Target>();
  readonly #open = new Set<Promise<void>>();
  readonly #timer: ReturnType<typeof setInterval>;
  #sent = 0;

  constructor(perS: number) {
    const startMs = performance.now();
    let due = 0;
    this.#timer = setInterval(() => {
      for (const now = (performance.now() - startMs) * perS / 1000; due < now; due++) this.#next();
    }, 5);
  }

  add(target: Target): void {
    this.#targets.add(target);
  }

  remove(target: Target): void {
    this.#targets.delete(target);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#open);
  }

  /** To the targets in turn. */
  #next(): void {
    const targets = [...this.#targets];
    if (targets.length === 0) return;
    const sent = this.#send(targets[this.#sent++ % targets.length]).finally(() => this.#open.delete(sent));
    this.#open.add(sent);
  }

  async #send(target: Target): Promise<void> {
    const { down } = target;
    try {
      const content = `Conversation ${this.#sent % 50}. ` + "Tell more of the river. ".repeat(20);
      const body = JSON.stringify({ model: "sim/model-8b", max_tokens: 2, messages: [{ role: "user", content }] });
      const response = await fetch(`${target.url}/v1/chat/completions`, { method: "POST", headers, body });
      const text = await response.text();
      if (response.ok) this.answered++;
      // It was told to end before it had read the request.
      else if (!down && !(target.down && text.includes("shutting_down"))) this.#lose(`${response.status} ${text}`);
    } catch (error) {
      if (!down && target.down) this.cut++;
      else if (!down) this.#lose(`${error}: ${(error as Error).cause}`);
    }
  }

  #lose(reason: string): void {
    this.lost++;
    this.firstLoss ||= reason;
  }
}
