/** Upper bounds of histograms, ascending, without infinity; seconds where not said otherwise. Bounds llm-d has are kept. */

/** `first`, then each value doubled up to `last`. */
export function doubling(first: number, last: number): number[] {
  const values = [];
  for (let value = first; value <= last; value *= 2) values.push(value);
  return values;
}

/** 1, 8, 16 … `last`. llm-d writes 32768 as 32778, and so must who shares its dashboards. */
export function tokenBuckets(last: number): number[] {
  return [1, ...doubling(8, last)].map((bound) => bound === 32_768 ? 32_778 : bound);
}

// deno-fmt-ignore
export const latencyBuckets = [
  .005, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120, 180, 240, 300, 360,
  480, 600, 900, 1200, 1800, 2700, 3600,
];
// deno-fmt-ignore
export const ttftBuckets = [
  .005, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120,
];
// deno-fmt-ignore
export const tpotBuckets = [
  .0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4, .5, .6, .8, 1, 2,
];
export const itlBuckets = [.001, .005, .01, .02, .04, .06, .08, .1, .15, .2, .3, .5, .75, 1, 2];
export const ntpotBuckets = [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10];
export const schedulerBuckets = [.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1];
export const processingBuckets = [.0005, .001, .002, .005, .01, .015, .025, .04, .06, .1, .25, .5, 1, 2.5, 5, 10];
export const ratioBuckets = [0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1];
export const scrapeBuckets = [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1];
export const queueBuckets = [.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60];
export const dispatchBuckets = schedulerBuckets;
export const revocationBuckets = [.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10];
// deno-fmt-ignore
export const predictedTpotBuckets = [
  .0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4, .5, .6, .8, 1, 1.5, 2, 3, 4.5, 6, 12, 18, 24,
  30, 36, 48, 60, 90, 120, 180, 270, 360,
];
export const predictionBuckets = [.0001, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5];
/** Ours: ten endpoints take a few microseconds. */
export const finePredictionBuckets = [.000005, .00001, .00002, .00005, .0001, .0002, .0005, .001, .002, .005, .01];
export const trainingBuckets = [.05, .1, .2, .5, 1, 2, 5, 10, 20, 60];
