/** What people see on stderr while a benchmark runs. */

const barWidth = 30;

/** One bar for the whole run; on a terminal it is drawn in place, elsewhere a line is printed every tenth. */
export class Progress {
  readonly #terminal = Deno.stderr.isTerminal();
  readonly #encoder = new TextEncoder();
  #label = "";
  #lastTenth = -1;
  #lastDrawMs = -Infinity;

  /** `done` of `total` parts of what `label` names are through. */
  update(label: string, done: number, total: number): void {
    const share = total > 0 ? Math.min(1, done / total) : 1;
    if (label !== this.#label) {
      this.#label = label;
      this.#lastTenth = -1;
    }
    if (this.#terminal) this.#draw(label, share);
    else if (Math.floor(share * 10) > this.#lastTenth) {
      this.#lastTenth = Math.floor(share * 10);
      this.#write(`${label}: ${Math.round(share * 100)} %\n`);
    }
  }

  /** A line of text above the bar. */
  note(text: string): void {
    this.#write(this.#terminal ? `\r\x1b[K${text}\n` : `${text}\n`);
  }

  /** Takes the bar away. */
  clear(): void {
    if (this.#terminal) this.#write("\r\x1b[K");
  }

  #draw(label: string, share: number): void {
    const now = performance.now();
    if (share < 1 && now - this.#lastDrawMs < 100) return;
    this.#lastDrawMs = now;
    const full = Math.round(share * barWidth);
    this.#write(`\r\x1b[K[${"#".repeat(full)}${" ".repeat(barWidth - full)}] ${Math.round(share * 100)} % ${label}`);
  }

  #write(text: string): void {
    Deno.stderr.writeSync(this.#encoder.encode(text));
  }
}
