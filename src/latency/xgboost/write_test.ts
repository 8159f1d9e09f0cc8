import { deepStrictEqual, equal, match, throws } from "node:assert/strict";
import fc from "fast-check";
import type { Ensemble, Tree } from "./ensemble.ts";
import { writeModelJson, writeModelUbjson } from "./write.ts";
import { digitsOf } from "./write_values.ts";

/** Nodes out of order, one that nothing leads to, a category, a weight. */
const tree: Tree = {
  left: Int32Array.of(4, -1, -1, -1, 3, -1),
  right: Int32Array.of(2, -1, -1, -1, 5, -1),
  feature: Int32Array.of(0, 7, 0, 0, 1, 0),
  threshold: Float32Array.of(1.5, 99, 3, 0.1, 2 ** -149, -2),
  defaultLeft: Uint8Array.of(1, 0, 0, 0, 0, 0),
  categories: new Map([[4, Int32Array.of(1, 2)]]),
  group: 0,
  weight: 0.5,
  gain: Float32Array.of(10, 0, 0, 0, 5, 0),
  cover: Float32Array.of(20, 0, 8, 7, 12, 5),
  baseWeight: Float32Array.of(0.25, 0, 1, 2, 3, 4),
};

const ensemble: Ensemble = {
  objective: "reg:squarederror",
  features: 2,
  featureNames: ["load", "rôle"],
  featureTypes: ["float", "c"],
  groups: 1,
  baseMargin: Float32Array.of(0.1),
  trees: [tree],
  attributes: { rows: "12" },
  version: [3, 2, 0],
};

interface Document {
  readonly learner: {
    readonly attributes: unknown;
    readonly feature_names: unknown;
    readonly feature_types: unknown;
    readonly gradient_booster: {
      readonly model:
        & { readonly trees: Record<string, unknown>[]; readonly tree_info: number[] }
        & Record<string, unknown>;
    };
    readonly learner_model_param: Record<string, string>;
    readonly objective: unknown;
  };
}

function written(changes: Partial<Ensemble> = {}): Document["learner"] {
  return (JSON.parse(new TextDecoder().decode(writeModelJson({ ...ensemble, ...changes }))) as Document).learner;
}

/** Reads the UBJSON that is written, and no other. */
function decode(bytes: Uint8Array<ArrayBuffer>): unknown {
  const view = new DataView(bytes.buffer);
  let at = 0;
  const mark = () => String.fromCharCode(bytes[at++]);
  const int64 = () => {
    at += 8;
    return Number(view.getBigInt64(at - 8));
  };
  const text = (type = mark()) => {
    equal(type, "L");
    const length = int64();
    at += length;
    return new TextDecoder().decode(bytes.subarray(at - length, at));
  };
  const numbers: Record<string, [number, (at: number) => number]> = {
    d: [4, (at) => view.getFloat32(at)],
    l: [4, (at) => view.getInt32(at)],
    U: [1, (at) => view.getUint8(at)],
    L: [8, (at) => Number(view.getBigInt64(at))],
  };
  const list = () => {
    let type = mark();
    const [size, read] = type === "$" ? numbers[mark()] : [0, undefined];
    if (type === "$") type = mark();
    equal(type + mark(), "#L");
    const count = int64();
    return Array.from({ length: count }, () => {
      if (!read) return value();
      at += size;
      return read(at - size);
    });
  };
  const value = (): unknown => {
    const type = mark();
    if (type === "S") return text();
    if (type === "L") return int64();
    if (type === "[") return list();
    equal(type, "{");
    const members: Record<string, unknown> = {};
    for (let next = mark(); next !== "}"; next = mark()) {
      const key = text(next);
      members[key] = value();
    }
    return members;
  };
  const all = value();
  equal(at, bytes.length);
  return all;
}

Deno.test("writeModelJson() puts nodes level by level, children side by side, and leaves out what no path reaches", () => {
  const { trees } = written().gradient_booster.model;
  deepStrictEqual(trees, [{
    base_weights: [0.25, 3, 1, 2, 4],
    categories: [1, 2],
    categories_nodes: [1],
    categories_segments: [0],
    categories_sizes: [2],
    default_left: [1, 0, 0, 0, 0],
    id: 0,
    left_children: [1, 3, -1, -1, -1],
    loss_changes: [10, 5, 0, 0, 0],
    parents: [2147483647, 0, 0, 1, 1],
    right_children: [2, 4, -1, -1, -1],
    split_conditions: [1.5, 1e-45, 1.5, 0.05, -1],
    split_indices: [0, 1, 0, 0, 0],
    split_type: [0, 1, 0, 0, 0],
    sum_hessian: [20, 12, 8, 7, 5],
    tree_param: { num_deleted: "0", num_feature: "2", num_nodes: "5", size_leaf_vector: "1" },
  }]);
});

Deno.test("writeModelJson() names columns, objective and base score as XGBoost does", () => {
  const { gradient_booster: { model }, ...learner } = written();
  deepStrictEqual(learner, {
    attributes: { rows: "12" },
    feature_names: ["load", "rôle"],
    feature_types: ["float", "c"],
    learner_model_param: {
      base_score: "1E-1",
      boost_from_average: "1",
      num_class: "0",
      num_feature: "2",
      num_target: "1",
    },
    objective: { name: "reg:squarederror", reg_loss_param: { scale_pos_weight: "1E0" } },
  });
  deepStrictEqual([model.gbtree_model_param, model.iteration_indptr, model.tree_info], [
    { num_parallel_tree: "1", num_trees: "1" },
    [0, 1],
    [0],
  ]);
  deepStrictEqual(written({ objective: "reg:quantileerror", quantiles: [0.5, 0.9] }).objective, {
    name: "reg:quantileerror",
    quantile_loss_param: { quantile_alpha: "[5E-1,9E-1]" },
  });
});

Deno.test("writeModelJson() lets a tree of one leaf stand for what the base score cannot say in every version", () => {
  const trees = [0, 1, 0, 1].map((group) => ({ ...tree, group }));
  const { learner_model_param, gradient_booster: { model } } = written({
    objective: "reg:quantileerror",
    quantiles: [0.5, 0.9],
    groups: 2,
    baseMargin: Float32Array.of(1.25, 7),
    trees,
  });
  equal(learner_model_param.base_score, "0E0");
  equal(learner_model_param.num_target, "2");
  deepStrictEqual(model.trees.slice(0, 2).map(({ split_conditions }) => split_conditions), [[1.25], [7]]);
  deepStrictEqual(model.trees.map(({ id }) => id), [0, 1, 2, 3, 4, 5]);
  deepStrictEqual([model.tree_info, model.iteration_indptr], [[0, 1, 0, 1, 0, 1], [0, 2, 4, 6]]);
  const gamma = written({ objective: "reg:gamma" });
  equal(gamma.learner_model_param.base_score, "1E0");
  deepStrictEqual(gamma.gradient_booster.model.trees[0].split_conditions, [0.1]);
});

Deno.test("writeModelUbjson() holds what writeModelJson() does", () => {
  const attributes = { long: "ä".repeat(70_000) };
  for (const changes of [{}, { attributes }, { trees: [], baseMargin: Float32Array.of(0) }]) {
    const json = JSON.parse(new TextDecoder().decode(writeModelJson({ ...ensemble, ...changes })));
    const binary = decode(writeModelUbjson({ ...ensemble, ...changes }));
    const floats = (value: unknown) =>
      typeof value === "number" && !Number.isInteger(value) ? Math.fround(value) : value;
    deepStrictEqual(binary, JSON.parse(JSON.stringify(json), (_, value) => floats(value)));
  }
});

Deno.test("digitsOf() gives the fewest digits that are the float again, with an exponent", () => {
  const known: [number, string][] = [
    [12.5, "1.25E1"],
    [0, "0E0"],
    [-0, "-0E0"],
    [0.1, "1E-1"],
    [2 ** -149, "1E-45"],
    [3.4028234663852886e38, "3.4028235E38"],
    [-1 / 3, "-3.3333334E-1"],
    [16_777_216, "1.6777216E7"],
    [NaN, "NaN"],
    [-Infinity, "-Infinity"],
  ];
  for (const [value, digits] of known) equal(digitsOf(value), digits);
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const digits = digitsOf(value);
      match(digits, /^-?\d(\.\d*[1-9])?E-?\d+$/);
      equal(Math.fround(Number(digits)), value);
    }),
    { seed: 1, numRuns: 2000 },
  );
});

Deno.test("writeModelJson() refuses an objective that XGBoost does not know", () => {
  throws(() => writeModelJson({ ...ensemble, objective: "own:loss" }), {
    name: "RangeError",
    message: 'Cannot write a model file as its objective must be known: current value is "own:loss"',
  });
});
