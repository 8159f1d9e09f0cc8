/** How full an endpoint may be for each priority. */
import type { CeilingConfig, FlowConfig } from "../config/mod.ts";

/**
 * Ceilings over known priorities; another priority has that of the nearest one below it, or of the lowest. They fall with
 * priority: where one band is stopped, those below are.
 */
export class Ceilings {
  /** Whether `admits` may say yes. */
  readonly reflective: boolean;
  /** Highest first. */
  readonly #priorities: readonly number[];
  readonly #ceilings: readonly number[];
  #tick = 0;

  /** `priorities`: every one that is configured, in any order. */
  constructor(config: CeilingConfig, priorities: Iterable<number>) {
    this.#priorities = [...new Set(priorities)].sort((a, b) => b - a);
    this.reflective = config.policy === "soft-reflective";
    this.#ceilings = this.#priorities.map((priority, i) => ceilingAt(config, this.#priorities, priority, i));
  }

  /** The share of its capacity an endpoint may be at for this priority without a look at anything else. */
  of(priority: number): number {
    return this.#ceilings[this.#index(priority)] ?? 1;
  }

  /** The highest of all. */
  get highest(): number {
    return this.#ceilings[0] ?? 1;
  }

  /**
   * Whether a request of this priority may go to an endpoint at `saturation` although that is above `of`: with
   * `soft-reflective`, on one of some calls, fewer the fuller the endpoint is. Called once for each such look.
   */
  admits(priority: number, saturation: number): boolean {
    if (!this.reflective || saturation >= 1 || this.#index(priority) === 0) return false;
    const period = Math.max(1, Math.round(saturation / (1 - saturation + 1e-9)));
    return ++this.#tick % period === 0;
  }

  #index(priority: number): number {
    const priorities = this.#priorities;
    for (let at = 0; at < priorities.length; at++) if (priorities[at] <= priority) return at;
    return priorities.length - 1;
  }
}

/** Over every priority that is known beforehand: ceilings by rank count them. */
export function ceilingsOf({ ceiling, bands }: FlowConfig, ofObjectives: Iterable<number>): Ceilings {
  return new Ceilings(ceiling, [0, ...bands.map(({ priority }) => priority), ...ofObjectives]);
}

function ceilingAt(config: CeilingConfig, priorities: readonly number[], priority: number, rank: number): number {
  const count = priorities.length;
  switch (config.policy) {
    case "static":
      return config.threshold;
    case "priority-holdback": {
      const { minCeiling: min, maxCeiling: max, domain } = config;
      const lowest = priorities[count - 1], span = priorities[0] - lowest;
      if (count === 1 || span === 0) return max;
      if (domain === "rank") return max - rank * (max - min) / (count - 1);
      return min + (priority - lowest) / span * (max - min);
    }
    // llm-d: open while s < 1 − rank × s / (count − 1), solved for s.
    case "soft-reflective":
      return count === 1 ? 1 : 1 / (1 + rank / (count - 1));
  }
}
