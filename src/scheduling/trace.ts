import type { EndpointTable, Explanation, ScoreTrace } from "../core/mod.ts";

interface Candidate {
  readonly endpoint: string;
  droppedBy?: string;
  readonly scores: ScoreTrace[];
  total?: number;
  rank?: number;
}

/** Collects one decision for people to read. */
export class Trace {
  readonly #candidates = new Map<number, Candidate>();
  readonly #filters: { plugin: string; before: number; after: number }[] = [];
  #profile = "";
  #picker = "";
  #picked: string[] = [];

  constructor(table: EndpointTable, candidates: Uint16Array, count: number) {
    for (let i = 0; i < count; i++) {
      this.#candidates.set(candidates[i], { endpoint: table.meta(candidates[i]).id, scores: [] });
    }
  }

  begin(profile: string, picker: string): void {
    this.#profile = profile;
    this.#picker = picker;
  }

  /** `plugin` left `slots[0..after)` of what were `before` candidates. */
  filtered(plugin: string, before: number, slots: Uint16Array, after: number): void {
    this.#filters.push({ plugin, before, after });
    const kept = new Set(slots.subarray(0, after));
    for (const [slot, candidate] of this.#candidates) if (!kept.has(slot)) candidate.droppedBy ??= plugin;
  }

  scored(plugin: string, weight: number, slots: Uint16Array, n: number, scores: Float64Array): void {
    for (let i = 0; i < n; i++) this.#candidates.get(slots[i])!.scores.push({ plugin, weight, score: scores[i] });
  }

  totalled(slots: Uint16Array, n: number, totals: Float64Array): void {
    for (let i = 0; i < n; i++) this.#candidates.get(slots[i])!.total = totals[i];
  }

  picked(order: Uint16Array, length: number): void {
    for (let i = 0; i < length; i++) {
      const candidate = this.#candidates.get(order[i])!;
      candidate.rank = i;
      this.#picked.push(candidate.endpoint);
    }
  }

  finish(): Explanation {
    return {
      profile: this.#profile,
      filters: this.#filters,
      candidates: [...this.#candidates.values()],
      picker: this.#picker,
      picked: this.#picked,
    };
  }
}
