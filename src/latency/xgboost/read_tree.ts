import type { Numbers, Part } from "./document.ts";
import type { Tree } from "./ensemble.ts";
import { ModelFileError } from "./model_file_error.ts";

/** What a tree of a model must keep to. */
export interface TreeBounds {
  /** Columns of a row. */
  readonly features: number;
  /** Nodes this tree may have at most, and levels below its root. */
  readonly nodes: number;
  readonly depth: number;
}

/** Codes of categories are below this. */
const categoryEnd = 2 ** 24;

/**
 * One tree of `gradient_booster.model.trees`. Arrays are checked as a whole, nodes where the root leads to them: deleted
 * ones may hold anything. Throws ModelFileError.
 */
export function readTree(part: Part, group: number, weight: number, bounds: TreeBounds): Tree {
  const param = part.get("tree_param");
  const leafSize = param.find("size_leaf_vector")?.whole() ?? 0;
  if (leafSize > 1) {
    throw new ModelFileError(
      "unsupported",
      `${part.path}: leaves of ${leafSize} values (multi_output_tree) are not read`,
    );
  }
  const nodes = param.get("num_nodes").count(bounds.nodes, "nodes of all trees together");
  if (nodes === 0) part.fail("at least one node");
  const whole = (key: string) => Int32Array.from(wholeNumbers(part.get(key), nodes));
  const floats = (key: string) => Float32Array.from(part.get(key).numbersFor(nodes));
  const types = part.find("split_type"), categorical = types ? flags(types, nodes) : new Uint8Array(nodes);
  const tree: Tree = {
    left: whole("left_children"),
    right: whole("right_children"),
    feature: whole("split_indices"),
    threshold: floats("split_conditions"),
    defaultLeft: Uint8Array.from(flags(part.get("default_left"), nodes)),
    categories: categorical.includes(1) ? readCategories(part, categorical) : undefined,
    group,
    weight,
    gain: floats("loss_changes"),
    cover: floats("sum_hessian"),
    baseWeight: floats("base_weights"),
  };
  checkNodes(tree, categorical, part.path, bounds);
  return tree;
}

function wholeNumbers(part: Part, length: number): Numbers {
  const numbers = part.numbersFor(length);
  if (numbers instanceof Int32Array) return numbers;
  return numbers.every((value) => (value | 0) === value) ? numbers : part.fail("32-bit whole numbers");
}

function flags(part: Part, length: number): Numbers {
  const numbers = part.numbersFor(length);
  return numbers.every((value) => value === 0 || value === 1) ? numbers : part.fail("0 or 1 everywhere");
}

/** Codes that go right, by node. */
function readCategories(part: Part, categorical: Numbers): Map<number, Int32Array> {
  const owners = part.get("categories_nodes").numbers();
  const starts = part.get("categories_segments").numbersFor(owners.length);
  const sizes = part.get("categories_sizes").numbersFor(owners.length);
  const codes = part.get("categories"), all = codes.numbers();
  if (!all.every((code) => Number.isInteger(code) && code >= 0 && code < categoryEnd)) {
    codes.fail(`codes from 0 to ${categoryEnd - 1}`);
  }
  const categories = new Map<number, Int32Array>();
  let taken = 0;
  owners.forEach((node, i) => {
    const start = starts[i], end = start + sizes[i];
    const inside = Number.isInteger(start) && Number.isInteger(end) && start >= 0 && sizes[i] >= 0 && end <= all.length;
    // Each code belongs to one node, so that a few codes cannot stand for many.
    taken += sizes[i];
    if (!inside || taken > all.length || categories.has(node) || categorical[node] !== 1) {
      part.fail(`a categorical node of its own and a part of categories at categories_nodes[${i}]`);
    }
    categories.set(node, Int32Array.from(new Set(all.subarray(start, end))).sort());
  });
  return categories;
}

/** Walks from the root: children in range, each reached once, bounded levels; splits and leaves make sense. */
function checkNodes(tree: Tree, categorical: Numbers, path: string, { features, depth }: TreeBounds): void {
  const { left, right, threshold } = tree;
  const fail = (node: number, what: string): never => {
    throw new ModelFileError("tree", `${path}: node ${node} ${what}`);
  };
  const reached = new Uint8Array(left.length);
  let level = [0];
  reached[0] = 1;
  for (let levels = 0; level.length > 0; levels++) {
    if (levels > depth) {
      throw new ModelFileError("limit", `${path}: levels below the root must be at most ${depth}`);
    }
    const next: number[] = [];
    for (const node of level) {
      if (left[node] === -1) {
        if (right[node] !== -1) fail(node, "has a right child and no left one");
        if (!Number.isFinite(threshold[node])) fail(node, `is a leaf of value ${threshold[node]}`);
        continue;
      }
      if (categorical[node] === 1 && !tree.categories?.has(node)) fail(node, "asks for a category and names none");
      checkSplit(tree, node, features, fail);
      for (const child of [left[node], right[node]]) {
        if (child < 0 || child >= left.length) fail(node, `has child ${child} of ${left.length} nodes`);
        if (reached[child]) fail(child, "is reached twice");
        reached[child] = 1;
        next.push(child);
      }
    }
    level = next;
  }
}

function checkSplit(
  { feature, threshold, categories }: Tree,
  node: number,
  features: number,
  fail: (node: number, what: string) => never,
): void {
  if (feature[node] < 0 || feature[node] >= features) fail(node, `asks for feature ${feature[node]} of ${features}`);
  if (!categories?.has(node) && Number.isNaN(threshold[node])) fail(node, "has no threshold");
}
