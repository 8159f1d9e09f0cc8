import type { LatencyState } from "./state.ts";

/** The TPOT targets of one isolate's requests, by the endpoint they run at; what others must know of them is shared. */
export class SloLedger {
  readonly #targets: (number[] | undefined)[] = [];
  readonly #cells: ReturnType<LatencyState["sloCells"]>;

  constructor(state: LatencyState, isolate: number) {
    this.#cells = state.sloCells(isolate);
  }

  enter(slot: number, tpotMs: number): void {
    (this.#targets[slot] ??= []).push(tpotMs);
    this.#write(slot);
  }

  leave(slot: number, tpotMs: number): void {
    const targets = this.#targets[slot];
    const at = targets?.indexOf(tpotMs) ?? -1;
    if (!targets || at < 0) return;
    targets[at] = targets[targets.length - 1];
    targets.pop();
    this.#write(slot);
  }

  #write(slot: number): void {
    const targets = this.#targets[slot]!;
    let strictest = Infinity;
    for (const ms of targets) if (ms < strictest) strictest = ms;
    this.#cells.strictestMs[slot] = targets.length === 0 ? 0 : strictest;
    this.#cells.count[slot] = targets.length;
  }
}
