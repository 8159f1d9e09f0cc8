/** The trainer and the writer against XGBoost: what it learns from the same rows, and what it makes of our files. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { type GrownForest, type TrainingData, TreeTrainer } from "../../../src/hotpath/mod.ts";
import { trainingOptions } from "../../../src/latency/mod.ts";
import { predictMargins } from "../../../src/latency/xgboost/predict_twin.ts";
import { type Case, cases, columnsOf, dataOf, optionsOf, read } from "./cases.ts";
import { models, rowsToPredict } from "./models.ts";

interface Figures {
  readonly name: string;
  readonly rmse?: readonly [number];
  readonly pinball?: readonly number[];
  readonly coverage?: readonly number[];
}

const parse = (name: string) => JSON.parse(new TextDecoder().decode(read(name)));
const figures: Figures[] = parse("figures.json").cases;

/** Mean over the rows, by their weights. */
function meanOf({ rows, weights }: TrainingData, value: (row: number) => number): number {
  let sum = 0, all = 0;
  for (let row = 0; row < rows; row++) {
    const weight = weights ? weights[row] : 1;
    sum += weight * value(row);
    all += weight;
  }
  return sum / all;
}

/** Margins by output, then by row. */
function marginsOf(
  { base, trees }: GrownForest,
  { rows, columns, margins }: Pick<TrainingData, "rows" | "columns" | "margins">,
): Float32Array[] {
  const sums = Array.from(base, () => new Float32Array(rows));
  for (let row = 0; row < rows; row++) {
    const begin = margins ? base.map(() => margins[row]) : base;
    const out = predictMargins({ trees, baseMargin: begin }, columns.map((column) => column[row]));
    for (const [group, sum] of sums.entries()) sum[row] = out[group];
  }
  return sums;
}

async function learnt(kase: Case): Promise<Float32Array[]> {
  const options = trainingOptions(optionsOf(kase), columnsOf(kase));
  const trainer = await TreeTrainer.create(dataOf(kase, "training"), options);
  while (trainer.step());
  return marginsOf(trainer.finish(), dataOf(kase, "test"));
}

for (const [i, kase] of cases.entries()) {
  Deno.test(`TreeTrainer predicts unseen rows as well as XGBoost: ${kase.name}`, async () => {
    const test = dataOf(kase, "test"), margins = await learnt(kase);
    const { name, rmse, pinball, coverage } = figures[i];
    equal(name, kase.name);
    if (rmse) {
      const own = Math.sqrt(meanOf(test, (row) => (margins[0][row] - test.labels[row]) ** 2));
      ok(own <= 1.03 * rmse[0], `RMSE ${own}, XGBoost ${rmse[0]}`);
      return;
    }
    for (const [output, quantile] of kase.quantiles!.entries()) {
      const rest = (row: number) => test.labels[row] - margins[output][row];
      const loss = meanOf(test, (row) => Math.max(quantile * rest(row), (quantile - 1) * rest(row)));
      const covered = meanOf(test, (row) => rest(row) <= 0 ? 1 : 0);
      ok(loss <= 1.03 * pinball![output], `pinball loss at ${quantile}: ${loss}, XGBoost ${pinball![output]}`);
      ok(Math.abs(covered - coverage![output]) <= 0.02, `coverage ${covered}, XGBoost ${coverage![output]}`);
    }
  });
}

const written = await models();

Deno.test("a forest learnt from the same rows is written as the same bytes", () => {
  for (const { name, bytes } of written) deepStrictEqual(bytes, read(`models/${name}`), name);
});

Deno.test("XGBoost predicts with our files what we do, to the bit", () => {
  const known: Record<string, { versions: string[]; bits: number[] }> = parse("margins.json");
  deepStrictEqual(Object.keys(known).sort(), written.map(({ name }) => name).sort());
  for (const { name, ensemble } of written) {
    const margins = marginsOf({ base: ensemble.baseMargin, trees: ensemble.trees }, rowsToPredict());
    const bits = margins.flatMap((values) => [...new Uint32Array(values.buffer)]);
    deepStrictEqual(bits, known[name].bits, name);
  }
});
