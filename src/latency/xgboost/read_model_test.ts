import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { type Members, modelBytes, type ModelChanges, modelObject, treeObject } from "./model_fixture.ts";
import { ModelFileError, type ModelFileFault } from "./model_file_error.ts";
import { predictMargins } from "./predict_twin.ts";
import { readModel, type ReadOptions } from "./read_model.ts";

function refusesBytes(bytes: Uint8Array, kind: ModelFileFault, where: RegExp, options?: ReadOptions): void {
  throws(() => readModel(bytes, options), (error) => {
    ok(error instanceof ModelFileError, `${error}`);
    equal(error.kind, kind, error.message);
    ok(where.test(error.message), error.message);
    return true;
  });
}

const refuses = (changes: ModelChanges, kind: ModelFileFault, where: RegExp, options?: ReadOptions) =>
  refusesBytes(modelBytes(changes), kind, where, options);
const refusesTree = (tree: Members, kind: ModelFileFault, where: RegExp) =>
  refuses({ trees: [treeObject(), treeObject(tree)] }, kind, where);
const read = (changes: ModelChanges = {}, options?: ReadOptions) => readModel(modelBytes(changes), options);
const utf8 = (text: string) => new TextEncoder().encode(text);

Deno.test("readModel() gives trees, names and attributes as the file has them", () => {
  const model = read({
    learner: { attributes: { best_iteration: "41" }, feature_names: ["a", "b"], feature_types: ["int", "c"] },
  });
  const { trees: [tree], ...rest } = model;
  deepStrictEqual(rest, {
    objective: "reg:squarederror",
    quantiles: undefined,
    features: 2,
    featureNames: ["a", "b"],
    featureTypes: ["int", "c"],
    categoryNames: undefined,
    groups: 1,
    baseMargin: Float32Array.of(0.5),
    attributes: { best_iteration: "41" },
    version: [3, 2, 0],
  });
  deepStrictEqual(tree, {
    left: Int32Array.of(1, -1, -1),
    right: Int32Array.of(2, -1, -1),
    feature: Int32Array.of(0, 0, 0),
    threshold: Float32Array.of(0.5, 1, 2),
    defaultLeft: Uint8Array.of(1, 0, 0),
    categories: undefined,
    group: 0,
    weight: 1,
    gain: Float32Array.of(3, 0, 0),
    cover: Float32Array.of(2, 1, 1),
    baseWeight: Float32Array.of(0, 1, 2),
  });
  deepStrictEqual([...predictMargins(model, [0.5, 0])], [2.5], "a value that equals the threshold goes right");
});

Deno.test("readModel() reads base scores in every form they were written in", () => {
  const learner = { objective: { name: "reg:gamma" } };
  for (const base_score of ["2", "2E0", "[2E0]", "(2.0)", 2, [2]]) {
    deepStrictEqual([...read({ learner, param: { base_score } }).baseMargin], [Math.fround(Math.log(2))]);
  }
  const three = { num_target: "3" };
  deepStrictEqual([...read({ param: { ...three, base_score: "[1,2E0,3]" } }).baseMargin], [1, 2, 3]);
  deepStrictEqual([...read({ param: { ...three, base_score: "0.5" } }).baseMargin], [0.5, 0.5, 0.5]);
  const where = /learner_model_param\.base_score/;
  for (const base_score of ["", "x", "[1,2]", "NaN", "[1,]"]) {
    refuses({ param: { ...three, base_score } }, "malformed", where);
  }
  refuses({ learner, param: { base_score: "-1" } }, "malformed", where);
});

Deno.test("readModel() reads DART in its three layouts, missing weights as 1", () => {
  const trees = [treeObject(), treeObject()], weight_drop = [0.25];
  const { learner: { gradient_booster: gbtree } } = modelObject({ trees }) as { learner: Members };
  const layouts: ModelChanges[] = [
    { learner: { gradient_booster: { name: "dart", gbtree, weight_drop } } },
    { trees, booster: { weight_drop } },
    { trees, model: { weight_drop } },
  ];
  for (const changes of layouts) deepStrictEqual(read(changes).trees.map(({ weight }) => weight), [0.25, 1]);
  refuses({ trees, model: { weight_drop: [1, 1, 1] } }, "malformed", /weight_drop: expected at most 2/);
});

Deno.test("readModel() reads categories that go right and their names", () => {
  const tree = treeObject({
    split_type: [1, 0, 0],
    categories: [7, 2, 2],
    categories_nodes: [0],
    categories_segments: [0],
    categories_sizes: [3],
  });
  const text = { offsets: [0, 0, 3], values: [104, -61, -87] };
  const cats = { enc: [text, { type: 15, values: [4, 5] }], feature_segments: [0, 2, 4], sorted_idx: [0, 1, 0, 1] };
  const { trees, categoryNames } = read({ trees: [tree], model: { cats } });
  deepStrictEqual(trees[0].categories, new Map([[0, Int32Array.of(2, 7)]]));
  deepStrictEqual(categoryNames, new Map<number, (string | number)[]>([[0, ["", "hé"]], [1, [4, 5]]]));
  for (const offsets of [[0, 4], [2, 1], [-1, 0]]) {
    refuses({ model: { cats: { enc: [{ ...text, offsets }] } } }, "malformed", /cats\.enc\[0\]\.offsets: expected asc/);
  }
  refuses({ model: { cats: { enc: [text, text, text] } } }, "malformed", /cats: expected at most 2/);
});

Deno.test("readModel() refuses an objective it does not know, unless margins will do", () => {
  const learner = { objective: { name: "my:own" } };
  refuses({ learner }, "objective", /learner\.objective\.name: "my:own"/);
  deepStrictEqual([...read({ learner }, { unknownObjective: "identity" }).baseMargin], [0.5]);
});

Deno.test("readModel() says of files that are no model what they are", () => {
  refusesBytes(Uint8Array.of(0x80, 4, 0x95), "pickle", /pickle/);
  refusesBytes(utf8("binf\0\0\0\0"), "old-binary", /old binary/);
  refusesBytes(utf8("\0\0\0?\x05\0\0\0reg:squarederror\x06\0\0\0gbtree"), "old-binary", /old binary/);
  for (const text of ["", "tree\nversion=v3\n", "[]", "\x1f\x8b", "<html>"]) {
    refusesBytes(utf8(text), "not-a-model", /^byte 0/);
  }
  refusesBytes(utf8('{"Model":{},"Config":{}}'), "unsupported", /memory snapshot/);
  refusesBytes(utf8("{}"), "malformed", /^model: expected a member "learner"/);
  refuses({ booster: { name: "gblinear" } }, "unsupported", /"gblinear"/);
  refusesTree(
    { tree_param: { num_nodes: "3", size_leaf_vector: "2" } },
    "unsupported",
    /trees\[1\]: leaves of 2 values/,
  );
  const expectile = { objective: { name: "reg:expectileerror" } };
  refuses({ learner: expectile, param: { num_target: "2" } }, "unsupported", /expectiles/);
  equal(read({ learner: expectile }).objective, "reg:expectileerror");
});

Deno.test("readModel() refuses trees that are none", () => {
  const path = /gradient_booster\.model\.trees\[1\]/;
  const cases: [Members, RegExp][] = [
    [{ left_children: [0, -1, -1] }, /node 0 is reached twice/],
    [{ left_children: [2, -1, -1] }, /node 2 is reached twice/],
    [{ left_children: [1, 0, -1], right_children: [2, 2, -1] }, /reached twice/],
    [{ left_children: [3, -1, -1] }, /node 0 has child 3 of 3 nodes/],
    [{ left_children: [-2, -1, -1] }, /node 0 has child -2/],
    [{ right_children: [-1, -1, -1] }, /node 0 has child -1/],
    [{ right_children: [2, 2, -1] }, /node 1 has a right child and no left one/],
    [{ split_indices: [2, 0, 0] }, /node 0 asks for feature 2 of 2/],
    [{ split_indices: [-1, 0, 0] }, /node 0 asks for feature -1/],
  ];
  for (const [tree, where] of cases) {
    refusesTree(tree, "tree", where);
    refusesTree(tree, "tree", path);
  }
  for (const value of ["NaN", "Infinity", "-Infinity", "1e39"]) {
    const leaf = JSON.stringify(modelObject()).replace("[0.5,1,2]", `[0.5,${value},2]`);
    refusesBytes(utf8(leaf), "tree", /node 1 is a leaf of value/);
  }
  refusesBytes(
    utf8(JSON.stringify(modelObject()).replace("[0.5,1,2]", "[NaN,1,2]")),
    "tree",
    /node 0 has no threshold/,
  );
});

Deno.test("readModel() leaves deleted nodes alone", () => {
  const tree = treeObject({
    left_children: [1, -1, -1, 3, 9],
    right_children: [2, -1, -1, 3, 9],
    split_indices: [0, 0, 0, 2147483647, 2147483647],
  });
  for (const [key, value] of Object.entries(tree)) {
    if (Array.isArray(value) && value.length === 3) tree[key] = [...value, 0, 0];
  }
  const model = read({ trees: [{ ...tree, tree_param: { num_nodes: "5", num_deleted: "2" } }] });
  deepStrictEqual([...predictMargins(model, [0, 0])], [1.5]);
});

Deno.test("readModel() refuses arrays that do not fit one another", () => {
  const where = /trees\[1\]\.\w+: expected 3 numbers: there are 2/;
  for (const [key, value] of Object.entries(treeObject())) {
    if (!Array.isArray(value) || value.length !== 3 || key === "parents") continue;
    refusesTree({ [key]: value.slice(1) }, "malformed", where);
    refusesTree({ [key]: "x" }, "malformed", /trees\[1\]\.\w+: expected an array of numbers/);
    if (key !== "split_type") refusesTree({ [key]: undefined }, "malformed", /trees\[1\]: expected a member/);
  }
  refusesTree({ left_children: [1.5, -1, -1] }, "malformed", /left_children: expected 32-bit whole/);
  refusesTree({ split_indices: [2 ** 31, 0, 0] }, "malformed", /split_indices: expected 32-bit whole/);
  refusesTree({ default_left: [2, 0, 0] }, "malformed", /default_left: expected 0 or 1/);
  refusesTree({ tree_param: { num_nodes: "0" } }, "malformed", /at least one node/);
  refuses({ model: { tree_info: [] } }, "malformed", /tree_info: expected 1 numbers/);
  refuses({ model: { tree_info: [1] } }, "malformed", /tree_info: expected outputs from 0 to 0/);
  refuses({ model: { gbtree_model_param: { num_trees: "2" } } }, "malformed", /model: expected 2 trees/);
  refuses({ model: { trees: [treeObject({ id: 1 })] } }, "malformed", /trees\[0\]: expected id 0/);
  refuses({ learner: { feature_names: ["a"] } }, "malformed", /feature_names: expected 2 texts/);
  refuses({ learner: { feature_types: ["int", "long"] } }, "malformed", /feature_types\[1\]: expected a type/);
  refuses({ learner: { attributes: { a: 1 } } }, "malformed", /attributes\.a: expected text/);
  refuses({ root: { version: [3] } }, "malformed", /version: expected 3 numbers/);
  refuses({ param: { num_feature: "two" } }, "malformed", /num_feature: expected a whole number/);
});

Deno.test("readModel() refuses categories that are not each node's own", () => {
  const categorical = { split_type: [1, 0, 0], categories: [1], categories_nodes: [0] };
  const parts = { categories_segments: [0], categories_sizes: [1] };
  const own = /trees\[1\]: expected a categorical node of its own/;
  refusesTree({ ...categorical, ...parts, categories_nodes: [1] }, "malformed", own);
  refusesTree({ ...categorical, categories_segments: [1], categories_sizes: [1] }, "malformed", own);
  refusesTree({ ...categorical, categories_segments: [-1], categories_sizes: [1] }, "malformed", own);
  refusesTree({ ...categorical, categories_segments: [0], categories_sizes: [-1] }, "malformed", own);
  const twice = { categories_nodes: [0, 0], categories_segments: [0, 0], categories_sizes: [1, 0] };
  refusesTree({ ...categorical, ...twice }, "malformed", own);
  const shared = { categories_nodes: [0, 1], categories_segments: [0, 0], categories_sizes: [1, 1] };
  refusesTree({ ...categorical, ...shared, split_type: [1, 1, 0] }, "malformed", own);
  refusesTree({ ...categorical, categories_segments: [], categories_sizes: [1] }, "malformed", /expected 1 numbers/);
  for (const code of [-1, 2 ** 24, 0.5]) {
    refusesTree({ ...categorical, ...parts, categories: [code] }, "malformed", /categories: expected codes/);
  }
  refusesTree({ split_type: [1, 0, 0] }, "tree", /node 0 asks for a category and names none/);
});

Deno.test("readModel() keeps to its limits before it takes memory for what a file declares", () => {
  refusesBytes(modelBytes(), "too-large", /at most 100 bytes/, { bytes: 100 });
  refuses({ trees: [treeObject(), treeObject()] }, "limit", /trees must be at most 1: current value is 2/, {
    trees: 1,
  });
  refuses({ trees: [treeObject(), treeObject()] }, "limit", /nodes of all trees together must be at most 2/, {
    nodes: 5,
  });
  refuses({}, "limit", /features must be at most 1/, { features: 1 });
  refuses({ param: { num_class: "65" } }, "limit", /classes must be at most 64/, { groups: undefined });
  refuses({ param: { num_class: "1000000000" } }, "limit", /classes must be at most 64/);
  refuses({ model: { gbtree_model_param: { num_trees: "1000000000" } } }, "limit", /trees must be at most 4096/);
  refusesTree({ tree_param: { num_nodes: "1000000000" } }, "limit", /at most 1048573/);
  refuses({ trees: [chain(65)] }, "limit", /levels below the root must be at most 64/);
  equal(read({ trees: [chain(64)] }).trees.length, 1);
  refusesBytes(modelBytes().subarray(0, 400), "truncated", /^byte 400/);
});

/** A tree that goes on at its right end. */
function chain(depth: number): Members {
  const nodes = 2 * depth + 1;
  const each = (make: (node: number) => number) => Array.from({ length: nodes }, (_, node) => make(node));
  const zeros = each(() => 0), isInner = (node: number) => node % 2 === 0 && node < nodes - 1;
  return treeObject({
    left_children: each((node) => isInner(node) ? node + 1 : -1),
    right_children: each((node) => isInner(node) ? node + 2 : -1),
    tree_param: { num_nodes: `${nodes}` },
    ...Object.fromEntries(
      ["base_weights", "default_left", "loss_changes", "split_conditions", "split_indices", "split_type", "sum_hessian"]
        .map((key) => [key, zeros]),
    ),
  });
}
