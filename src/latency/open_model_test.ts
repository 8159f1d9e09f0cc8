import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { Prng } from "../core/mod.ts";
import { Hotpath } from "../hotpath/mod.ts";
import { columnOf, columns, type Target } from "./features.ts";
import type { MadeForest } from "./forest_shop.ts";
import { openModel } from "./open_model.ts";
import { ForestKind } from "./state.ts";
import type { Ensemble } from "./xgboost/ensemble.ts";
import { type Members, modelBytes, treeObject } from "./xgboost/model_fixture.ts";
import { ModelFileError } from "./xgboost/model_file_error.ts";
import { predictMargins } from "./xgboost/predict_twin.ts";
import { readModel } from "./xgboost/read_model.ts";
import { writeModelUbjson } from "./xgboost/write.ts";

const golden = (path: string) => Deno.readFileSync(new URL(`../../tests/golden/${path}`, import.meta.url));

/** A model of XGBoost's in JSON with its features named anew; none: they have no names. */
function named(path: string, names: readonly string[]): Uint8Array {
  const document = JSON.parse(new TextDecoder().decode(golden(path)));
  document.learner.feature_names = names;
  return new TextEncoder().encode(JSON.stringify(document));
}

/** Of the five features of the models in `golden/xgboost`. */
const five = [
  "num_request_waiting",
  "kv_cache_percentage",
  "sample_age_ms",
  "requests_in_flight",
  "effective_input_tokens",
];

const count = 40;
/** Rows of every column as traffic has them, and wider. */
const rows: readonly Float32Array[] = (() => {
  const rng = new Prng(5);
  const most: Readonly<Record<string, number>> = { is_queued: 2, kv_cache_percentage: 1, prefix_cache_score: 1 };
  const codes: Readonly<Record<string, number>> = { prefill_score_bucket: 4, pod_type_cat: 3 };
  return columns.map((name) =>
    Float32Array.from({ length: count }, () => {
      if (rng.below(8) === 0) return NaN;
      if (name in codes) return rng.below(codes[name]);
      return rng.float() * (most[name] ?? 10 ** rng.below(5));
    })
  );
})();

const { forests } = await Hotpath.load(
  { endpoints: count, blockTreeBytes: 0, bodyBytesMax: 64, prefixTokensMax: 64, forestBytes: 1 << 18 },
  1,
);

/** What the kernel that decides says of the rows, as the shop says it. */
function kernelSums(target: 0 | 1, { kind, packed }: Pick<MadeForest, "kind" | "packed">): Float32Array[] {
  forests.publish(target, packed);
  rows.forEach((values, c) => forests.columns[c].set(values));
  forests.margins(target).fill(0);
  forests.score(count);
  return [0, 1].map((q) =>
    Float32Array.from(
      forests.out(target, Math.min(q, forests.groups(target) - 1)).subarray(0, count),
      (sum) => kind === ForestKind.Milliseconds ? Math.log(Math.max(sum, 0.01)) : sum,
    )
  );
}

/** The margins of the rows as XGBoost adds them, by output. */
function margins(model: Ensemble, names = model.featureNames): number[][] {
  const found = names.map((name) => rows[columnOf.get(name)!]);
  const each = Array.from({ length: count }, (_, i) => [...predictMargins(model, found.map((column) => column[i]))]);
  return Array.from({ length: model.groups }, (_, group) => each.map((sums) => sums[group]));
}

const logarithms = (values: readonly number[]) => Float32Array.from(values, (ms) => Math.log(Math.max(ms, 0.01)));

function open(file: Uint8Array, target: Target = "ttft", quantile = 0.9, residual = false) {
  return openModel(target, file, rows, quantile, residual);
}

Deno.test("openModel() reads regressions as milliseconds or their logarithms, and the kernel says of rows what it says", () => {
  const kinds: readonly (readonly [string, ForestKind])[] = [
    ["training/models/mean.json", ForestKind.Milliseconds],
    ["training/models/mean.ubj", ForestKind.Milliseconds],
    ["training/models/quantiles.json", ForestKind.Milliseconds],
    ["training/models/monotone.ubj", ForestKind.Milliseconds],
    ["training/models/reg-absoluteerror.json", ForestKind.Milliseconds],
    ["training/models/reg-pseudohubererror.json", ForestKind.Milliseconds],
    ["training/models/reg-squaredlogerror.json", ForestKind.Milliseconds],
    ["training/models/reg-gamma.json", ForestKind.LogMilliseconds],
    ["training/models/reg-tweedie.json", ForestKind.LogMilliseconds],
    ["training/models/count-poisson.json", ForestKind.LogMilliseconds],
  ];
  for (const [path, kind] of kinds) {
    const file = golden(path), made = open(file), model = readModel(file);
    equal(made.kind, kind, path);
    equal(made.file, file);
    equal(made.trees, model.trees.length);
    deepStrictEqual(made.sums, kernelSums(0, made), path);
    const expected = margins(model);
    const same = (values: readonly number[]) =>
      kind === ForestKind.Milliseconds ? logarithms(values) : Float32Array.from(values);
    deepStrictEqual(made.sums, [same(expected[0]), same(expected.at(-1)!)], path);
    ok(new Set(made.sums[0]).size > 4, path);
  }
});

Deno.test("openModel() refuses models that predict no time", () => {
  for (
    const path of [
      "binary-logistic",
      "binary-logitraw",
      "binary-hinge",
      "reg-logistic",
      "survival-cox",
      "multi-softprob",
    ]
  ) {
    const objective = path.replace("-", ":");
    throws(() => open(golden(`training/models/${path}.json`)), {
      name: "ForestError",
      message: `Cannot predict latency by a model of objective ${objective}`,
    });
  }
});

Deno.test("openModel() takes llm-d's columns by name, in whichever order, and by number where none are named", () => {
  const path = "training/models/quantiles.json";
  const byName = open(golden(path));
  deepStrictEqual(open(named(path, [])).sums, byName.sums);
  // The same trees over other columns say other things.
  const names = readModel(golden(path)).featureNames;
  const swapped = names.with(1, names[9]).with(9, names[1]);
  deepStrictEqual(open(named(path, swapped)).sums, kernelSums(0, open(named(path, swapped))));
  ok(open(named(path, swapped)).sums[0].some((sum, i) => sum !== byName.sums[0][i]));
  throws(() => open(named(path, []), "tpot"), {
    name: "ForestError",
    message: "Cannot use a model of 13 features without names: llm-d's models of tpot have 9",
  });

  // Feature 7 of the nine is what llm-d calls the tokens generated: 1 wherever something is predicted.
  const tree = treeObject({ split_indices: [8, 0, 0], split_conditions: [1.5, 10, 20] });
  const trees = [{ ...tree, tree_param: { ...(tree.tree_param as Members), num_feature: "9" } }];
  const nine = modelBytes({ trees, param: { num_feature: "9", base_score: "0E0" } });
  const pod = rows[columnOf.get("pod_type_cat")!];
  deepStrictEqual(open(nine, "tpot").sums[0], logarithms([...pod].map((role) => role >= 1.5 ? 20 : 10)));
  throws(() => open(nine), {
    message: "Cannot use a model of 9 features without names: llm-d's models of ttft have 13",
  });
});

Deno.test("openModel() names the feature that is not known", () => {
  throws(() => open(golden("xgboost/3.4.1/dictionary.json")), {
    name: "ForestError",
    message: "Cannot use a model with a feature that is not known: waiting",
  });
});

Deno.test("openModel() refuses a model whose codes of categories mean other things than here", () => {
  const path = "xgboost/3.4.1/dictionary.json";
  const rest = ["num_request_waiting", "kv_cache_percentage"];
  // Its last feature has four categories, and the third those of the score's quarters.
  throws(() => open(named(path, [...rest, "prefill_score_bucket", "sample_age_ms", "pod_type_cat"])), {
    name: "ForestError",
    message: "Cannot use a model whose feature pod_type_cat has the categories , prefill, decode, both",
  });
  throws(() => open(named(path, [...rest, "pod_type_cat", "sample_age_ms", "adapter_resident"])), {
    message: "Cannot use a model whose feature pod_type_cat has the categories 0, 1, 2, 3",
  });
  const fine = open(named(path, [...rest, "prefill_score_bucket", "sample_age_ms", "adapter_resident"]));
  deepStrictEqual(fine.sums, kernelSums(0, fine));
});

Deno.test("openModel() takes the outputs nearest to the median and to the high quantile", () => {
  const file = named("xgboost/3.4.1/quantiles.json", five), model = readModel(file);
  deepStrictEqual(model.quantiles, [0.5, 0.9, 0.99]);
  const all = margins(model, five);
  const nearest = (share: number) => {
    const apart = model.quantiles!.map((q) => Math.abs(q - share));
    return apart.indexOf(Math.min(...apart));
  };
  for (const quantile of [0.5, 0.69, 0.71, 0.9, 0.999]) {
    const made = open(file, "tpot", quantile);
    deepStrictEqual(made.sums, [logarithms(all[nearest(0.5)]), logarithms(all[nearest(quantile)])], `${quantile}`);
    deepStrictEqual(made.sums, kernelSums(1, made), `${quantile}`);
    equal(forests.groups(1), nearest(quantile) === nearest(0.5) ? 1 : 2);
    ok(made.trees < model.trees.length);
  }
  throws(() => open(modelBytes({ param: { num_target: "2", base_score: "[1,2]" }, model: { tree_info: [1] } })), {
    name: "ForestError",
    message: "Cannot predict latency by a model of 2 outputs that are no quantiles",
  });
});

Deno.test("openModel() takes a model of this router's for what is left of the prior, whatever its base", () => {
  const file = golden("training/models/quantiles.json"), model = readModel(file);
  const own = writeModelUbjson({ ...model, attributes: { warmpath_sum: "ln(actual/prior)" } });
  const trees = margins({ ...model, baseMargin: new Float32Array(2) });
  for (const made of [open(own), open(file, "ttft", 0.9, true)]) {
    equal(made.kind, ForestKind.Residual);
    deepStrictEqual(made.sums, trees.map((sums) => Float32Array.from(sums)));
    deepStrictEqual(made.sums, kernelSums(0, made));
  }
});

Deno.test("openModel() takes the least of milliseconds for what is none, and needs no rows", () => {
  const names = { feature_names: ["num_request_running", "num_request_waiting"] };
  const below = modelBytes({
    trees: [treeObject({ split_conditions: [1, -400, 30] })],
    param: { base_score: "[0E0]" },
    learner: names,
  });
  deepStrictEqual(new Set(open(below).sums[0]), new Set(logarithms([-400, 30])));
  deepStrictEqual(openModel("ttft", below, columns.map(() => new Float32Array(0)), 0.9).sums[0].length, 0);
});

Deno.test("openModel() says of a file what keeps it from being a model", () => {
  const whole = golden("training/models/mean.ubj");
  const pickled = golden("xgboost/3.4.1/pickled.pkl");
  for (const bytes of [new Uint8Array(0), whole.subarray(0, whole.length - 1), new Uint8Array(100), pickled]) {
    throws(() => open(bytes), ModelFileError);
  }
  throws(() => open(golden("xgboost/3.4.1/gblinear.json")), ModelFileError);
});
