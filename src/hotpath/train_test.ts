import { deepStrictEqual, equal, notDeepStrictEqual, ok, rejects } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { TreeTrainer } from "./train.ts";
import { bestGain } from "./train_testing.ts";
import type { GrownForest, GrownTree, TrainingData, TrainingOptions } from "./train_types.ts";

const plain: TrainingOptions = {
  trees: 10,
  depth: 4,
  learningRate: 0.3,
  subsample: 1,
  columnsByTree: 1,
  minChildWeight: 1,
  gamma: 0,
  l1: 0,
  l2: 1,
  bins: 256,
  objective: "squared-error",
  seed: 1,
};
const p80: TrainingOptions = { ...plain, objective: "quantile", quantiles: [0.8] };

async function learn(data: TrainingData, options: TrainingOptions): Promise<GrownForest> {
  const trainer = await TreeTrainer.create(data, options);
  while (trainer.step());
  return trainer.finish();
}

/** Rows of four columns, the third a category of five, with a label that depends on all. */
function table(rows: number, seed: number, missing = 0): TrainingData {
  const chance = new Prng(seed);
  const make = (value: () => number) =>
    Float32Array.from({ length: rows }, () => chance.float() < missing ? NaN : value());
  const columns = [
    make(() => chance.float()),
    make(() => chance.below(10)),
    make(() => chance.below(5)),
    make(() => chance.normal(0, 3)),
  ];
  const labels = Float32Array.from({ length: rows }, (_, row) => {
    const [a, b, c, d] = columns.map((column) => Number.isNaN(column[row]) ? 1 : column[row]);
    // In steps of 1/64, so that sums of gradients are exact in any order.
    return Math.round(64 * (10 * a + b * (c === 3 ? 2 : 1) + Math.abs(d) + chance.float())) / 64;
  });
  return { rows, columns, labels };
}

const categorical = [false, false, true, false];

function leafOf(tree: GrownTree, row: readonly number[]): number {
  let node = 0;
  while (tree.left[node] >= 0) {
    const x = row[tree.feature[node]], codes = tree.categories?.get(node);
    const left = Number.isNaN(x) ? tree.defaultLeft[node] === 1 : codes ? !codes.includes(x) : x < tree.threshold[node];
    node = left ? tree.left[node] : tree.right[node];
  }
  return tree.threshold[node];
}

function predict({ base, trees }: GrownForest, row: readonly number[], output = 0): number {
  return trees.filter(({ group }) => group === output)
    .reduce((sum, tree) => Math.fround(sum + leafOf(tree, row)), base[output]);
}

const rowOf = ({ columns }: TrainingData, row: number) => columns.map((column) => column[row]);

Deno.test("TreeTrainer learns the first split with the largest gain of all there are", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 40 }),
      fc.integer({ min: 0, max: 1e6 }),
      fc.constantFrom(0, 0.3),
      fc.constantFrom(0, 0.5),
      async (rows, seed, missing, l1) => {
        const { columns: [a, , c], labels } = table(rows, seed, missing);
        const weights = Float32Array.from({ length: rows }, (_, row) => 1 + row % 3);
        const data = { rows, columns: [a, c.map((code) => code % 3)], labels, weights };
        const options = { ...plain, depth: 1, trees: 1, l1, minChildWeight: 2, categorical: [false, true] };
        const { base, trees: [tree] } = await learn(data, options);
        const expected = bestGain(data, options, base[0]);
        if (expected < 1e-6) return equal(tree.left.length, 1);
        ok(Math.abs(tree.gain[0] - expected) <= 1e-4 * expected, `gain ${tree.gain[0]}, best ${expected}`);
      },
    ),
    { seed: 1, numRuns: 150 },
  );
});

Deno.test("TreeTrainer goes on where margins begin as if the trees before had been its own", async () => {
  const data = table(400, 3, 0.1);
  for (const options of [{ ...plain, categorical }, { ...p80, categorical }]) {
    const whole = await learn(data, { ...options, trees: 7 });
    const first = { base: whole.base, trees: whole.trees.slice(0, 6) };
    const margins = Float32Array.from({ length: 400 }, (_, row) => predict(first, rowOf(data, row)));
    const { trees, base } = await learn({ ...data, margins }, { ...options, trees: 1 });
    deepStrictEqual(trees[0], whole.trees[6]);
    deepStrictEqual(base, new Float32Array(1));
  }
});

Deno.test("TreeTrainer says the same of more than sixteen columns wherever they stand", async () => {
  const { rows, columns, labels } = table(300, 4);
  const still = new Float32Array(rows);
  const wide = [...new Array(17).fill(still), ...columns, ...new Array(30).fill(still)];
  const here = await learn({ rows, columns, labels }, plain);
  const there = await learn({ rows, columns: wide, labels }, plain);
  for (const [i, tree] of here.trees.entries()) {
    const feature = tree.feature.map((column, node) => tree.left[node] < 0 ? 0 : column + 17);
    deepStrictEqual(there.trees[i], { ...tree, feature });
  }
});

Deno.test("TreeTrainer keeps predictions monotone in the columns that must be, for means and quantiles", async () => {
  const monotone = [1, -1, 0, 1];
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 1e6 }), fc.constantFrom(plain, p80), async (seed, base) => {
      const data = table(200, seed, 0.05), chance = new Prng(seed);
      const forest = await learn(data, { ...base, depth: 5, categorical, monotone });
      for (let i = 0; i < 10; i++) {
        const row = rowOf(data, chance.below(200));
        for (const [column, sign] of monotone.entries()) {
          const values = data.columns[column].filter((x) => !Number.isNaN(x)).sort();
          const predicted = Array.from(values, (x) => sign * predict(forest, row.with(column, x)));
          const turn = predicted.findIndex((y, at) => y < predicted[at - 1]);
          equal(turn, -1, `column ${column} at ${values[turn]}`);
        }
      }
    }),
    { seed: 2, numRuns: 20 },
  );
  const { trees } = await learn(table(200, 1), { ...p80, depth: 5, categorical });
  ok(trees.some(({ feature, left }) => feature.some((column, node) => left[node] >= 0 && column === 1)));
});

Deno.test("TreeTrainer counts a row of weight 2 as two rows", async () => {
  const data = table(300, 5, 0.1);
  const weights = Float32Array.from({ length: 300 }, (_, row) => 1 + row % 2);
  const both = (values: Float32Array) => Float32Array.from([...values, ...values.filter((_, row) => row % 2 === 1)]);
  const twice = { rows: 450, columns: data.columns.map(both), labels: both(data.labels) };
  const ones = new Float32Array(450).fill(1);
  for (const options of [{ ...plain, categorical }, { ...p80, categorical }]) {
    const weighted = await learn({ ...data, weights }, options);
    const repeated = await learn({ ...twice, weights: ones }, options);
    deepStrictEqual(weighted, repeated);
  }
});

Deno.test("TreeTrainer learns the same forest from the same seed, and another from another", async () => {
  const data = table(300, 6), options = { ...plain, subsample: 0.5, columnsByTree: 0.6 };
  deepStrictEqual(await learn(data, options), await learn(data, options));
  notDeepStrictEqual(await learn(data, { ...options, seed: 2 }), await learn(data, options));
  for (const tree of (await learn(data, options)).trees) {
    const asked = new Set(tree.feature.filter((_, node) => tree.left[node] >= 0));
    ok(asked.size <= 2, "two of four columns a tree");
    ok(tree.cover[0] > 100 && tree.cover[0] < 200, "about half of the rows a tree");
  }
});

Deno.test("TreeTrainer learns each quantile as if it were alone, in turns", async () => {
  const data = table(300, 7), options = { ...p80, quantiles: [0.2, 0.5, 0.9] };
  const together = await learn(data, options);
  deepStrictEqual(together.trees.slice(0, 4).map(({ group }) => group), [0, 1, 2, 0]);
  for (const [output, quantile] of options.quantiles.entries()) {
    const alone = await learn(data, { ...p80, quantiles: [quantile] });
    equal(together.base[output], alone.base[0]);
    const own = together.trees.filter(({ group }) => group === output).map((tree) => ({ ...tree, group: 0 }));
    deepStrictEqual(own, [...alone.trees]);
    const covered = data.labels.filter((label, row) => label <= predict(together, rowOf(data, row), output)).length;
    ok(Math.abs(covered / 300 - quantile) < 0.06, `${covered} of 300 covered at ${quantile}`);
  }
});

Deno.test("TreeTrainer says of labels that are all alike just that", async () => {
  const data = { ...table(50, 8), labels: new Float32Array(50).fill(7.5) };
  for (const options of [plain, p80]) {
    const forest = await learn(data, options);
    deepStrictEqual(forest.base, Float32Array.of(7.5));
    for (let row = 0; row < 50; row++) equal(predict(forest, rowOf(data, row)), 7.5);
  }
});

Deno.test("TreeTrainer learns from one row, and from columns that say nothing", async () => {
  for (const options of [plain, p80, { ...plain, subsample: 0.1, monotone: [1] }, { ...p80, subsample: 0.1 }]) {
    const one = { rows: 1, columns: [Float32Array.of(3)], labels: Float32Array.of(42) };
    equal(predict(await learn(one, options), [3]), 42);
    equal(predict(await learn(one, { ...options, objective: "quantile", quantiles: [0.5] }), [NaN]), 42);
  }
  const { rows, labels, columns: [useful] } = table(100, 9);
  const empty = new Float32Array(rows).fill(NaN), still = new Float32Array(rows).fill(1);
  for (const isCategory of [false, true]) {
    const columns = [empty, useful, still], kinds = [isCategory, false, isCategory];
    const { trees } = await learn({ rows, columns, labels }, { ...plain, categorical: kinds });
    ok(trees[0].left.length > 1);
    for (const { feature, left } of trees) ok(feature.every((column, node) => left[node] < 0 || column === 1));
  }
});

Deno.test("TreeTrainer keeps every limit a tree has", async () => {
  const data = table(500, 10, 0.1);
  for (const options of [{ ...plain, depth: 2 }, { ...plain, minChildWeight: 40 }, { ...plain, gamma: 500 }]) {
    for (const tree of (await learn(data, options)).trees) {
      ok(tree.left.length <= 2 ** (options.depth + 1) - 1);
      for (const [node, left] of tree.left.entries()) {
        if (node > 0) ok(tree.cover[node] >= options.minChildWeight);
        if (left < 0) continue;
        ok(tree.gain[node] >= options.gamma);
        equal(tree.right[node], left + 1);
        equal(tree.cover[left] + tree.cover[left + 1], tree.cover[node]);
      }
    }
  }
  const shrunk = await learn(data, { ...plain, trees: 1, l1: 1e9 });
  equal(shrunk.trees[0].left.length, 1);
  equal(predict(shrunk, rowOf(data, 0)), shrunk.base[0]);
});

Deno.test("TreeTrainer stops when rows it does not learn from gain nothing, and keeps the best round", async () => {
  const { rows, columns } = table(400, 11), chance = new Prng(11);
  // Noise alone: what is learnt is wrong elsewhere.
  const labels = Float32Array.from({ length: rows }, () => chance.normal(0, 1));
  for (const options of [plain, p80]) {
    const stopping = { ...options, depth: 6, trees: 200, validation: { rows: 100, patience: 5 } };
    const trainer = await TreeTrainer.create({ rows, columns, labels }, stopping);
    while (trainer.step());
    const { trees } = trainer.finish();
    ok(trainer.rounds < 50);
    equal(trees.length, trainer.rounds - 5);
    const training = { rows: 300, columns: columns.map((c) => c.slice(0, 300)), labels: labels.slice(0, 300) };
    deepStrictEqual(trees[0].cover[0], 300);
    equal(trainer.finish().base[0], (await learn(training, { ...options, trees: 1 })).base[0]);
  }
});

Deno.test("TreeTrainer works in a memory whose size rows, columns and depth give, however long it learns", async () => {
  const data = table(5000, 12);
  const trainer = await TreeTrainer.create(data, { ...plain, trees: 60 });
  const bytes = trainer.bytes;
  // 40 bytes a row; five levels of four columns; 31 nodes; the page before the first array, half a one after the last.
  ok(bytes <= 5000 * 40 + 5 * 4 * 4160 + 31 * 144 + 2 * 65_536 + 8192, `${bytes} bytes`);
  while (trainer.step());
  equal(trainer.bytes, bytes);
  equal(trainer.rounds, 60);
  equal(trainer.step(), false);
  equal(trainer.rounds, 60);
});

Deno.test("TreeTrainer.create() says what it cannot learn from", async () => {
  const data = table(20, 13);
  const refused = (options: Partial<TrainingOptions>, text: RegExp, changed: Partial<TrainingData> = {}) =>
    rejects(TreeTrainer.create({ ...data, ...changed }, { ...plain, ...options }), {
      name: "RangeError",
      message: text,
    });
  await refused({ depth: 13 }, /depth must be a whole number from 1 to 12: current value is 13/);
  await refused({ learningRate: 0 }, /learningRate must be above 0/);
  await refused({ subsample: NaN }, /subsample must be above 0/);
  await refused({ minChildWeight: 0 }, /minChildWeight must be at least 1e-6/);
  await refused({ bins: 257 }, /bins must be a whole number from 2 to 256/);
  await refused({ objective: "quantile" }, /quantiles must be 1 to 16 numbers between 0 and 1/);
  await refused({ objective: "quantile", quantiles: [1] }, /quantiles must be/);
  await refused({ monotone: [1] }, /length of monotone must be 4, one a column: current value is 1/);
  await refused({ monotone: [0, 0, 1, 0], categorical }, /monotone must be 0 where a column is categorical/);
  await refused({ categorical: [true, false, false, false] }, /Cannot learn from row 0 as a category/);
  await refused({ validation: { rows: 20, patience: 1 } }, /validation.rows must be a whole number from 1 to 19/);
  await refused({}, /rows must be a whole number from 1/, { rows: 0 });
  await refused({}, /length of column 1 must be the number of rows, 20: current value is 3/, {
    columns: data.columns.with(1, new Float32Array(3)),
  });
  await refused({}, /row 4 as its label must be finite: current value is NaN/, { labels: data.labels.with(4, NaN) });
  await refused({}, /row 0 as its weight must be finite and not negative/, { weights: new Float32Array(20).fill(-1) });
  await refused({}, /columns must be from 1 to 1024: current value is 0/, { columns: [] });
});
