import type { TrainingData } from "./train_types.ts";

/** Watches the loss on the rows that are not learnt from: pinball loss of quantiles, else squared error. */
export class Validation {
  readonly #labels: Float32Array;
  readonly #weights: Float32Array | undefined;
  readonly #from: number;
  readonly #patience: number;
  #best = Infinity;
  bestRound = 0;

  /** The rows from `from` on. */
  constructor({ labels, weights }: TrainingData, from: number, patience: number) {
    this.#labels = labels.slice(from);
    this.#weights = weights?.slice(from);
    this.#from = from;
    this.#patience = patience;
  }

  /** Takes the margins of every output after `round`; true when the loss has not fallen for too long. */
  isOver(round: number, margins: readonly Float32Array[], quantiles: readonly number[] | undefined): boolean {
    let loss = 0;
    for (const [output, ofRows] of margins.entries()) loss += this.#loss(ofRows, quantiles?.[output]);
    if (loss < this.#best) {
      this.#best = loss;
      this.bestRound = round;
    }
    return round - this.bestRound >= this.#patience;
  }

  #loss(margins: Float32Array, quantile: number | undefined): number {
    let sum = 0;
    for (let i = 0; i < this.#labels.length; i++) {
      const rest = this.#labels[i] - margins[this.#from + i];
      const loss = quantile === undefined ? rest * rest : Math.max(quantile * rest, (quantile - 1) * rest);
      sum += loss * (this.#weights ? this.#weights[i] : 1);
    }
    return sum;
  }
}
