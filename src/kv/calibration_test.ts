import { deepStrictEqual, equal } from "node:assert/strict";
import { Calibration, predictionOf } from "./calibration.ts";

function setup() {
  const distrusted: string[] = [];
  const calibration = new Calibration((slot, reason) => distrusted.push(`${slot}: ${reason}`));
  const told = (tokens: number) => ({ toldTokens: tokens, tokens, blockTokens: 16 });
  return { calibration, distrusted, told };
}

Deno.test("predictionOf() tells what a feed told from what routing history adds", () => {
  const match = {
    blocks: Int32Array.of(0, 7),
    tiers: Int32Array.of(0, 0, 0, 0, 3, 1, 0, 1),
    total: 9,
    blockTokens: 16,
  };
  deepStrictEqual(predictionOf(match, 1), { toldTokens: 80, tokens: 112, blockTokens: 16 });
  deepStrictEqual(predictionOf({ ...match, tiers: undefined }, 1), { toldTokens: 0, tokens: 112, blockTokens: 16 });
});

Deno.test("eight of the last sixteen requests off in one direction bring distrust, once", () => {
  const { calibration, distrusted, told } = setup();
  for (let i = 0; i < 8; i++) calibration.compare(3, told(1600), 1600, true);
  for (let i = 0; i < 7; i++) calibration.compare(3, told(1600), 1400, true);
  deepStrictEqual(distrusted, []);
  calibration.compare(3, told(1600), 1400, true);
  deepStrictEqual(distrusted, ["3: 8 of the last 16 requests found fewer tokens in cache than predicted"]);
  calibration.compare(3, told(1600), 1400, true);
  equal(distrusted.length, 1);
});

Deno.test("more in cache than predicted brings distrust as well; directions are not mixed", () => {
  const { calibration, distrusted, told } = setup();
  for (let i = 0; i < 14; i++) calibration.compare(0, told(160), i % 2 === 0 ? 0 : 640, true);
  deepStrictEqual(distrusted, []);
  for (let i = 0; i < 2; i++) calibration.compare(0, told(0), 640, true);
  deepStrictEqual(distrusted, ["0: 8 of the last 15 requests found more tokens in cache than predicted"]);
});

Deno.test("two blocks, or a tenth, are within tolerance, and so is what routing history foresaw", () => {
  const { calibration, distrusted } = setup();
  for (let i = 0; i < 20; i++) {
    calibration.compare(0, { toldTokens: 64, tokens: 64, blockTokens: 16 }, i % 2 === 0 ? 32 : 96, true);
    calibration.compare(0, { toldTokens: 1000, tokens: 1000, blockTokens: 16 }, i % 2 === 0 ? 900 : 1100, true);
    calibration.compare(0, { toldTokens: 160, tokens: 1600, blockTokens: 16 }, i % 2 === 0 ? 160 : 1600, true);
  }
  deepStrictEqual(distrusted, []);
  equal(calibration.figures(0)!.disagreementRatio, 0);
});

Deno.test("requests that say nothing of the feed are summed and not held against it", () => {
  const { calibration, distrusted, told } = setup();
  for (let i = 0; i < 20; i++) {
    calibration.compare(0, { toldTokens: 0, tokens: 320, blockTokens: 16 }, 0, true);
    calibration.compare(0, told(320), 0, false);
  }
  deepStrictEqual(distrusted, []);
  const figures = calibration.figures(0)!;
  deepStrictEqual([figures.requests, figures.predictedTokens, figures.actualTokens, figures.under, figures.over], [
    40,
    12_800,
    0,
    20,
    0,
  ]);
  equal(figures.disagreementRatio, NaN);
  calibration.clear(0);
  equal(calibration.figures(0), undefined);
});
