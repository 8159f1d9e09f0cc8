import {
  type EndpointTable,
  type Explanation,
  type HeldBlocksTrace,
  kvTiers,
  type PredictionTrace,
  type PrefixMatch,
  type RequestView,
  type ScoreTrace,
} from "../core/mod.ts";
import type { LatencyView } from "./types.ts";

interface Candidate {
  readonly endpoint: string;
  readonly held?: HeldBlocksTrace;
  prediction: PredictionTrace | null;
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

  constructor(table: EndpointTable, match: PrefixMatch, candidates: Uint16Array, count: number) {
    for (let i = 0; i < count; i++) {
      const slot = candidates[i];
      this.#candidates.set(slot, {
        endpoint: table.meta(slot).id,
        ...heldAt(match, slot),
        prediction: null,
        scores: [],
      });
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

  /** What each candidate is predicted to take. */
  predicted(latency: LatencyView, request: RequestView): void {
    for (const [slot, candidate] of this.#candidates) {
      if (latency.known[slot] === 1) candidate.prediction = predictionAt(latency, request, slot);
    }
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

function heldAt({ blocks, tiers }: PrefixMatch, slot: number): { held?: HeldBlocksTrace } {
  if (tiers === undefined) return {};
  const [gpu, cpu, disk, shared] = tiers.subarray(slot * kvTiers.length, (slot + 1) * kvTiers.length);
  return { held: { gpu, cpu, disk, shared, routed: blocks[slot] - gpu - cpu - disk - shared } };
}

function predictionAt(latency: LatencyView, { slo, stream }: RequestView, slot: number): PredictionTrace {
  const target = (medianMs: number, highMs: number, priorMs: number, headroomMs: number | undefined) => ({
    medianMs: micros(medianMs),
    highMs: micros(highMs),
    priorMs: micros(priorMs),
    residual: micros(Math.log(medianMs / priorMs)),
    ...(headroomMs !== undefined && { headroomMs: micros(headroomMs) }),
  });
  const { ttftMs, ttftHighMs, ttftPriorMs, tpotMs, tpotHighMs, tpotPriorMs } = latency;
  const ttftLeft = slo.ttftMs === undefined ? undefined : latency.ttftHeadroomMs[slot];
  const tpotLeft = slo.tpotMs === undefined || !stream ? undefined : latency.tpotHeadroomMs[slot];
  return {
    ttft: target(ttftMs[slot], ttftHighMs[slot], ttftPriorMs[slot], ttftLeft),
    tpot: target(tpotMs[slot], tpotHighMs[slot], tpotPriorMs[slot], tpotLeft),
    meets: micros(latency.meets[slot]),
    e2eMs: micros(latency.e2eMs[slot]),
    harmMs: micros(latency.harmMs[slot]),
    harmMisses: micros(latency.harmMisses[slot]),
    likelyMisses: micros(latency.likelyMisses[slot]),
  };
}

/** Three decimals: more of a prediction says nothing. */
function micros(value: number): number {
  return Math.round(value * 1000) / 1000;
}
