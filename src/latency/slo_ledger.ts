import type { LatencyState } from "./state.ts";

/** One request with a TPOT target, as long as it is at its endpoint. */
export interface SloEntry {
  readonly tpotMs: number;
  /** Clock milliseconds of its first token; NaN before it came. */
  firstAtMs: number;
}

const lookedAtMax = 64;
const none: readonly SloEntry[] = [];

/** The TPOT targets of one isolate's requests, by the endpoint they run at; what others must know of them is shared. */
export class SloLedger {
  readonly #entries: (SloEntry[] | undefined)[] = [];
  readonly #cells: ReturnType<LatencyState["sloCells"]>;

  constructor(state: LatencyState, isolate: number) {
    this.#cells = state.sloCells(isolate);
  }

  /** This isolate's requests at `slot`; valid until the next change. */
  at(slot: number): readonly SloEntry[] {
    return this.#entries[slot] ?? none;
  }

  /**
   * Calls `look` with this isolate's requests at `slot`; of more than 64 with some, each of which stands for `count` of them:
   * every decision looks at all endpoints, and each request there costs it 0.1 µs.
   */
  each(slot: number, look: (entry: SloEntry, count: number) => void): void {
    const entries = this.at(slot);
    const step = Math.ceil(entries.length / lookedAtMax);
    for (let i = 0; i < entries.length; i += step) look(entries[i], Math.min(step, entries.length - i));
  }

  enter(slot: number, tpotMs: number): SloEntry {
    const entry = { tpotMs, firstAtMs: NaN };
    (this.#entries[slot] ??= []).push(entry);
    this.#write(slot);
    return entry;
  }

  leave(slot: number, entry: SloEntry): void {
    const entries = this.#entries[slot];
    const at = entries?.indexOf(entry) ?? -1;
    if (!entries || at < 0) return;
    entries[at] = entries[entries.length - 1];
    entries.pop();
    this.#write(slot);
  }

  #write(slot: number): void {
    const entries = this.#entries[slot]!;
    let strictest = Infinity;
    for (const { tpotMs } of entries) if (tpotMs < strictest) strictest = tpotMs;
    this.#cells.strictestMs[slot] = entries.length === 0 ? 0 : strictest;
    this.#cells.count[slot] = entries.length;
  }
}
