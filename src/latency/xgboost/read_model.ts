import { type DocumentLimits, Part } from "./document.ts";
import type { Ensemble, FeatureType, Tree } from "./ensemble.ts";
import { parseJson } from "./json.ts";
import { ModelFileError } from "./model_file_error.ts";
import { type Link, linkOf } from "./objectives.ts";
import { readCategoryNames } from "./read_categories.ts";
import { readTree } from "./read_tree.ts";
import { parseUbjson } from "./ubjson.ts";

/** What a model may have at most. */
export interface ModelLimits {
  /** @default {33554432} */
  readonly bytes: number;
  /** @default {4096} */
  readonly trees: number;
  /** Of all trees together. @default {1048576} */
  readonly nodes: number;
  /** Levels below a root. @default {64} */
  readonly depth: number;
  /** @default {4096} */
  readonly features: number;
  /** Outputs of a row. @default {64} */
  readonly groups: number;
}

export const modelLimits = {
  bytes: 32 * 2 ** 20,
  trees: 4096,
  nodes: 2 ** 20,
  depth: 64,
  features: 4096,
  groups: 64,
} satisfies ModelLimits;

export interface ReadOptions extends Partial<ModelLimits> {
  /** An objective that is not known is refused, or its margins are its outputs. @default {"refuse"} */
  readonly unknownObjective?: "refuse" | "identity";
}

const identity: Link = linkOf("reg:squarederror")!;

/**
 * Reads what XGBoost's `save_model` writes, JSON or UBJSON, of versions 1.0 to 3.4, and checks it: trees of `gbtree` and
 * DART with one value a leaf. Throws ModelFileError for everything else, within bounded time and memory: a file of the
 * largest size made to be costly takes half a second and at most 350 MiB, 200 trees of depth 6 some 15 ms.
 */
export function readModel(bytes: Uint8Array, options: ReadOptions = {}): Ensemble {
  const limits = limitsOf(options);
  if (bytes.length > limits.bytes) {
    throw new ModelFileError("too-large", `The file must have at most ${limits.bytes} bytes: it has ${bytes.length}`);
  }
  const root = readDocument(bytes, limits);
  if (root.find("learner") === undefined && root.find("Model") !== undefined) {
    throw new ModelFileError("unsupported", "A memory snapshot is not read: write the model by save_model");
  }
  const learner = root.get("learner");
  const param = learner.get("learner_model_param");
  const features = param.get("num_feature").count(limits.features, "features");
  const groups = Math.max(
    1,
    param.get("num_class").count(limits.groups, "classes"),
    param.find("num_target")?.count(limits.groups, "targets") ?? 1,
  );
  const objective = learner.get("objective");
  const link = objectiveLink(objective, groups, options.unknownObjective ?? "refuse");
  const booster = boosterOf(learner.get("gradient_booster"));
  const cats = booster.model.find("cats");
  const quantiles = objective.find("quantile_loss_param")?.get("quantile_alpha");
  return {
    objective: objective.get("name").text(),
    quantiles: quantiles && numbersIn(quantiles),
    features,
    featureNames: textsFor(learner.find("feature_names"), features),
    featureTypes: textsFor(learner.find("feature_types"), features, isFeatureType),
    categoryNames: cats && readCategoryNames(cats, features),
    groups,
    baseMargin: baseMarginOf(param.get("base_score"), groups, link),
    trees: treesOf(booster, groups, features, limits),
    attributes: Object.fromEntries(learner.get("attributes").entries().map(([key, value]) => [key, value.text()])),
    version: versionOf(root.get("version")),
  };
}

/** An option that is undefined is as good as none. */
function limitsOf(options: ReadOptions): ModelLimits {
  const limits = { ...modelLimits };
  for (const name of Object.keys(limits) as (keyof ModelLimits)[]) limits[name] = options[name] ?? limits[name];
  return limits;
}

function readDocument(bytes: Uint8Array, { nodes, trees, features }: ModelLimits): Part {
  const limits: DocumentLimits = {
    nesting: 32,
    // A tree has some 20 members; a feature a name, a type and an entry of the dictionary.
    values: 10_000 + trees * 64 + features * 16,
    // A node has some 10 numbers.
    numbers: nodes * 16,
  };
  let start = 0;
  while (start < bytes.length && " \n\r\t".includes(String.fromCharCode(bytes[start]))) start++;
  if (bytes[start] !== 0x7b) refuse(bytes);
  // UBJSON goes on with the mark of a key's length, JSON with a quotation mark, space or the end of the object.
  const isUbjson = start === 0 && "iUIlL".includes(String.fromCharCode(bytes[1] ?? 0));
  return new Part(isUbjson ? parseUbjson(bytes, limits) : parseJson(bytes, limits), "");
}

/** Says what a file is that is no object of JSON or UBJSON. */
function refuse(bytes: Uint8Array): never {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 512));
  if (bytes[0] === 0x80) {
    throw new ModelFileError(
      "pickle",
      "A Python pickle is not read, as it can run code: write the model by save_model",
    );
  }
  if (/^(binf|bs64)/.test(start) || /gbtree|gblinear|dart/.test(start)) {
    throw new ModelFileError(
      "old-binary",
      "XGBoost's old binary format is not read: write the model as JSON or UBJSON",
    );
  }
  throw new ModelFileError("not-a-model", "byte 0: expected '{', which begins a model in JSON or UBJSON");
}

function objectiveLink(objective: Part, groups: number, unknown: "refuse" | "identity"): Link {
  const name = objective.get("name").text();
  if (name === "reg:expectileerror" && groups > 1) {
    throw new ModelFileError(
      "unsupported",
      "Several expectiles are not read: each output is an increment of the others",
    );
  }
  const link = linkOf(name);
  if (link) return link;
  if (unknown === "identity") return identity;
  throw new ModelFileError("objective", `learner.objective.name: "${name.slice(0, 64)}" is not known`);
}

interface Booster {
  readonly model: Part;
  /** DART's weights of the leading trees. */
  readonly weights?: Part;
}

/** DART lies around its `gbtree` up to 3.2, has its weights beside the model in 3.3, and in it from 3.4 on. */
function boosterOf(booster: Part): Booster {
  const name = booster.get("name").text();
  if (name === "dart" && booster.find("gbtree")) {
    return { model: booster.get("gbtree").get("model"), weights: booster.get("weight_drop") };
  }
  if (name === "gbtree" || name === "dart") {
    const model = booster.get("model");
    return { model, weights: model.find("weight_drop") ?? booster.find("weight_drop") };
  }
  throw new ModelFileError("unsupported", `learner.gradient_booster.name: "${name.slice(0, 64)}" is not read`);
}

function treesOf({ model, weights }: Booster, groups: number, features: number, limits: ModelLimits): Tree[] {
  const count = model.get("gbtree_model_param").get("num_trees").count(limits.trees, "trees");
  const parts = model.get("trees").parts();
  if (parts.length !== count) model.fail(`${count} trees: there are ${parts.length}`);
  const info = model.get("tree_info"), groupOf = info.numbersFor(count);
  const weightOf = weights?.numbers() ?? [];
  if (weights && (weightOf.length > count || !Array.from(weightOf).every(Number.isFinite))) {
    weights.fail(`at most ${count} finite numbers`);
  }
  let nodes = limits.nodes;
  return parts.map((part, i) => {
    if (part.get("id").whole() !== i) part.fail(`id ${i}`);
    const group = groupOf[i];
    if (!Number.isInteger(group) || group < 0 || group >= groups) info.fail(`outputs from 0 to ${groups - 1}`);
    const tree = readTree(part, group, Math.fround(weightOf[i] ?? 1), { features, nodes, depth: limits.depth });
    nodes -= tree.left.length;
    return tree;
  });
}

/** Written as one number or one for each output, bare or in brackets. */
function baseMarginOf(part: Part, groups: number, link: Link): Float32Array {
  const scores = numbersIn(part);
  if (scores.length !== 1 && scores.length !== groups) part.fail(`one number or ${groups}: there are ${scores.length}`);
  const margins = Float32Array.from({ length: groups }, (_, i) => link.toMargin(scores[i % scores.length]));
  return margins.every(Number.isFinite) ? margins : part.fail("outputs that the objective can give");
}

function numbersIn(part: Part): number[] {
  if (typeof part.value === "number") return [part.value];
  if (ArrayBuffer.isView(part.value)) return Array.from(part.numbers());
  const items = part.text().replace(/^\s*[[(]|[\])]\s*$/g, "").split(",");
  const numbers = items.map((item) => item.trim() === "" ? NaN : Number(item));
  return numbers.every(Number.isFinite) ? numbers : part.fail("finite numbers");
}

function isFeatureType(text: string): text is FeatureType {
  return ["float", "q", "int", "i", "c"].includes(text);
}

/** One text for each feature, or none. */
function textsFor<T extends string>(
  part: Part | undefined,
  features: number,
  isOne: (text: string) => text is T = (_): _ is T => true,
): T[] {
  const parts = part?.parts() ?? [];
  if (part && parts.length !== 0 && parts.length !== features) {
    part.fail(`${features} texts: there are ${parts.length}`);
  }
  return parts.map((item) => {
    const text = item.text();
    return isOne(text) ? text : item.fail("a type of features");
  });
}

function versionOf(part: Part): [number, number, number] {
  const [major, minor, patch] = part.numbersFor(3);
  return [major, minor, patch];
}
