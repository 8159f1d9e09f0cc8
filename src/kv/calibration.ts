/** Compares what was predicted to be cached with what engines report, and says where the two keep disagreeing. */
import type { PrefixMatch } from "../core/mod.ts";

/** Prompt tokens that one endpoint was believed to have in cache, when a request was sent there. */
export interface CachePrediction {
  /** By what its feed told. */
  readonly toldTokens: number;
  /** With routing history on top. */
  readonly tokens: number;
  readonly blockTokens: number;
}

/** What a match says of a slot. */
export function predictionOf(match: PrefixMatch, slot: number): CachePrediction {
  let told = 0;
  for (let tier = 0; tier < 4; tier++) told += match.tiers?.[slot * 4 + tier] ?? 0;
  const { blockTokens } = match;
  return { toldTokens: told * blockTokens, tokens: match.blocks[slot] * blockTokens, blockTokens };
}

export interface CacheFigures {
  /** Requests compared. */
  readonly requests: number;
  /** Tokens, summed over them. */
  readonly predictedTokens: number;
  readonly actualTokens: number;
  /** Requests that were off by more than the tolerance: fewer tokens in cache than predicted, and more. */
  readonly under: number;
  readonly over: number;
  /** Of the last requests that say something of the feed, the share that was off; NaN before the first. */
  readonly disagreementRatio: number;
}

export interface CalibrationOptions {
  /** Requests looked back on. @default {16} */
  readonly window: number;
  /** Of those, how many must be off in one direction. @default {8} */
  readonly disagreements: number;
  /** Off by no more than so many blocks, or than this share of the prediction, is right. @default {2} */
  readonly toleranceBlocks: number;
  /** @default {0.1} */
  readonly toleranceRatio: number;
}

export const calibrationDefaults: CalibrationOptions = {
  window: 16,
  disagreements: 8,
  toleranceBlocks: 2,
  toleranceRatio: 0.1,
};

class SlotFigures {
  requests = 0;
  predictedTokens = 0;
  actualTokens = 0;
  under = 0;
  over = 0;
  /** -1 under, 1 over, 0 right; oldest first. */
  window: number[] = [];
}

export class Calibration {
  readonly #options: CalibrationOptions;
  readonly #distrust: (slot: number, reason: string) => void;
  readonly #slots = new Map<number, SlotFigures>();

  constructor(distrust: (slot: number, reason: string) => void, options: Partial<CalibrationOptions> = {}) {
    this.#distrust = distrust;
    this.#options = { ...calibrationDefaults, ...options };
  }

  /**
   * A request ended at `slot` and its engine reported `actualTokens` of the prompt as cached. `live`: the feed was LIVE at
   * the decision, and the prompt's tokens were known exactly; others are summed and not held against the feed, nor are
   * those whose prediction came from routing history alone.
   */
  compare(slot: number, predicted: CachePrediction, actualTokens: number, live: boolean): void {
    let figures = this.#slots.get(slot);
    if (!figures) this.#slots.set(slot, figures = new SlotFigures());
    figures.requests++;
    figures.predictedTokens += predicted.tokens;
    figures.actualTokens += actualTokens;
    const off = this.#off(predicted, actualTokens);
    if (off < 0) figures.under++;
    if (off > 0) figures.over++;
    if (!live || (predicted.toldTokens === 0 && predicted.tokens > 0)) return;
    figures.window.push(off);
    if (figures.window.length > this.#options.window) figures.window.shift();
    this.#judge(slot, figures);
  }

  figures(slot: number): CacheFigures | undefined {
    const figures = this.#slots.get(slot);
    if (!figures) return undefined;
    const { window, ...sums } = figures;
    return { ...sums, disagreementRatio: window.filter((off) => off !== 0).length / window.length };
  }

  /** The slot's endpoint is gone, or another. */
  clear(slot: number): void {
    this.#slots.delete(slot);
  }

  /** What routing history added may have come true or not: only what lies outside of both is off. */
  #off({ toldTokens, tokens, blockTokens }: CachePrediction, actualTokens: number): number {
    const { toleranceBlocks, toleranceRatio } = this.#options;
    const tolerance = (predicted: number) => Math.max(toleranceBlocks * blockTokens, toleranceRatio * predicted);
    if (actualTokens < toldTokens - tolerance(toldTokens)) return -1;
    return actualTokens > tokens + tolerance(tokens) ? 1 : 0;
  }

  #judge(slot: number, figures: SlotFigures): void {
    for (const [direction, what] of [[-1, "fewer"], [1, "more"]] as const) {
      const count = figures.window.filter((off) => off === direction).length;
      if (count < this.#options.disagreements) continue;
      const of = figures.window.length;
      figures.window = [];
      return this.#distrust(slot, `${count} of the last ${of} requests found ${what} tokens in cache than predicted`);
    }
  }
}
