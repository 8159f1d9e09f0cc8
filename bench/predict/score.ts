/** Times of scoring a pool by two forests, and the proof that the scores are what the trees say. */
import { deepStrictEqual } from "node:assert/strict";
import { Prng } from "../../src/core/mod.ts";
import { type ForestTarget, type ForestTrees, Hotpath, packForest } from "../../src/hotpath/mod.ts";
import type { BenchContext } from "../lib/bench.ts";
import { orderOf } from "../lib/measure.ts";
import { type Figures } from "../lib/stats.ts";
import { randomColumns, randomForest } from "./forests.ts";

export interface ScoreSetting {
  readonly trees: number;
  readonly depth: number;
  readonly rounds: number;
  /** Rows scored in a round for each pool size. */
  readonly rowsARound: number;
}

const endpointsMax = 1000;
const pools = [10, 100, endpointsMax];
/** Of each target, as the router fills them: eight are common to both. */
const columnsOf = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [0, 1, 2, 3, 4, 5, 6, 7, 13]] as const;
const columnCount = 14;
const samples = 16;
/** More than the caches below the last hold. */
const otherBytes = 16 * 2 ** 20;

export async function measureScores(
  setting: ScoreSetting,
  figures: Figures,
  { progress }: BenchContext,
): Promise<void> {
  const { trees, depth, rounds, rowsARound } = setting;
  const prng = new Prng(1);
  const sizes = { endpoints: endpointsMax, blockTreeBytes: 0, bodyBytesMax: 64, prefixTokensMax: 64 };
  const { forests } = await Hotpath.load({ ...sizes, forestBytes: 1 << 23 }, 1);
  const models = columnsOf.map((columnOf) => randomForest({ trees, depth, features: columnOf.length }, prng));
  models.forEach((model, target) => {
    const packed = packForest(model, columnsOf[target]);
    figures.add(`forest_kb_${target}`, packed.length / 1024);
    forests.publish(target as ForestTarget, packed);
  });
  const tables = Array.from({ length: samples }, () => randomColumns(columnCount, endpointsMax, prng));
  const scoreNext = (i: number, rows: number) => {
    tables[i % samples].forEach((column, at) => forests.columns[at].set(column.subarray(0, rows)));
    forests.score(rows);
  };
  const other = new Uint8Array(otherBytes);
  for (let round = 0; round < rounds; round++) {
    for (const rows of orderOf(pools, round)) {
      progress.update(`${rows} endpoints`, round, rounds);
      const calls = Math.ceil(rowsARound / rows);
      const ms = millisecondsOf(calls, (i) => scoreNext(i, rows)) / calls;
      figures.add(`ms_${rows}`, ms);
      if (rows !== 100) continue;
      figures.add("us_per_endpoint", ms * 1000 / rows);
      figures.add("ms_100_cold", coldMs(other, Math.ceil(calls / 10), (i) => scoreNext(i, rows)));
    }
  }
  scoreNext(0, endpointsMax);
  for (const target of [0, 1] as const) {
    for (let row = 0; row < endpointsMax; row += 97) {
      const values = columnsOf[target].map((column) => tables[0][column][row]);
      deepStrictEqual(forests.out(target, 0)[row], sumOf(models[target], values), "the kernel's sum is the trees'");
    }
  }
}

function millisecondsOf(calls: number, run: (i: number) => void): number {
  const startMs = performance.now();
  for (let i = 0; i < calls; i++) run(i);
  return performance.now() - startMs;
}

/** A call after other work has used the caches. */
function coldMs(other: Uint8Array, calls: number, run: (i: number) => void): number {
  let ms = 0;
  for (let i = 0; i < calls; i++) {
    other.fill(i);
    ms += millisecondsOf(1, () => run(i));
  }
  return ms / calls;
}

function sumOf({ trees }: ForestTrees, row: readonly number[]): number {
  return trees.reduce((sum, { left, right, feature, threshold }) => {
    let node = 0;
    while (left[node] >= 0) node = row[feature[node]] < threshold[node] ? left[node] : right[node];
    return Math.fround(sum + threshold[node]);
  }, 0);
}
