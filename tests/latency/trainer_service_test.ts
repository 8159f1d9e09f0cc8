/** The trainer service itself, where there is a Python with XGBoost: its own tests, and the router's client against it. */
import { deepStrictEqual, equal, ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { Prng, systemClock } from "../../src/core/mod.ts";
import { ServiceTrainer } from "../../src/latency/service_trainer.ts";
import type { TrainingParameters, TrainingSet } from "../../src/latency/trainer.ts";
import { root } from "../arch/source.ts";

const folder = join(root, "deploy/trainer");
const python = Deno.env.get("WARMPATH_PYTHON") ?? "python3";
// Threads that wait for each other by spinning would slow down the tests beside this one.
const env = { PYTHONDONTWRITEBYTECODE: "1", OMP_NUM_THREADS: "1" };

function pythonWith(args: string[], more: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(python, {
    args,
    cwd: folder,
    env: { ...env, ...more },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
}

async function hasXgboost(): Promise<boolean> {
  try {
    return (await pythonWith(["-c", "import xgboost"]).output()).success;
  } catch {
    return false;
  }
}

const ignore = !await hasXgboost();

/** Starts the service on a free port with a token; ends it as an orchestrator would. */
async function startService(): Promise<AsyncDisposable & { readonly url: string }> {
  const process = pythonWith(["trainer.py"], { TRAINER_PORT: "0", TRAINER_TOKEN: "secret" }).spawn();
  let said = "";
  const decoder = new TextDecoder();
  const reader = process.stderr.getReader();
  while (!/http:\/\/[\d.:]+/.test(said)) {
    const { value, done } = await reader.read();
    ok(!done, said);
    said += decoder.decode(value);
  }
  return {
    url: /http:\/\/[\d.:]+/.exec(said)![0],
    async [Symbol.asyncDispose]() {
      process.kill("SIGTERM");
      while (!(await reader.read()).done);
      equal((await process.status).code, 0);
    },
  };
}

const quantiles = [0.5, 0.9];
const parameters: TrainingParameters = {
  quantiles,
  trees: 40,
  depth: 4,
  learningRate: 0.2,
  rowSample: 0.8,
  columnSample: 1,
  minChildWeight: 5,
  gamma: 0,
  l1: 0,
  l2: 1,
  bins: 64,
  monotone: [1, 0, 0],
  seed: 7,
};

/** Labels that the margin knows a part of; every ninth value of the second column is missing. */
function sampleSet(rows: number): TrainingSet {
  const prng = new Prng(3);
  const fill = (value: (row: number) => number) => Float32Array.from({ length: rows }, (_, row) => value(row));
  const tokens = fill(() => 4 * prng.float());
  const kv = fill((row) => row % 9 === 0 ? NaN : prng.float());
  const role = fill(() => Math.floor(3 * prng.float()));
  const margins = fill((row) => 0.5 * tokens[row]);
  return {
    featureNames: ["tokens", "kv", "role"],
    featureTypes: ["float", "float", "c"],
    rows,
    columns: [tokens, kv, role],
    labels: fill((row) => margins[row] + Math.log1p(tokens[row]) + (role[row] === 1 ? 0.5 : 0) + 0.3 * prng.float()),
    margins,
    weights: fill(() => 1),
  };
}

interface ModelFile {
  readonly learner: {
    readonly feature_names: readonly string[];
    readonly gradient_booster: {
      readonly model: { readonly trees: readonly JsonTree[]; readonly tree_info: readonly number[] };
    };
  };
}

interface JsonTree {
  readonly left_children: readonly number[];
  readonly right_children: readonly number[];
  readonly split_indices: readonly number[];
  readonly split_conditions: readonly number[];
  readonly split_type: readonly number[];
  readonly default_left: readonly number[];
  readonly categories: readonly number[];
  readonly categories_nodes: readonly number[];
  readonly categories_segments: readonly number[];
  readonly categories_sizes: readonly number[];
}

/** What the file says of a row: its margin plus the leaves of one output's trees, walked as the format has it. */
function predict({ learner }: ModelFile, output: number, row: readonly number[], margin: number): number {
  const { trees, tree_info } = learner.gradient_booster.model;
  let sum = margin;
  for (const [index, tree] of trees.entries()) {
    if (tree_info[index] !== output) continue;
    let node = 0;
    while (tree.left_children[node] >= 0) {
      node = (goesLeft(tree, node, row[tree.split_indices[node]]) ? tree.left_children : tree.right_children)[node];
    }
    sum += tree.split_conditions[node];
  }
  return sum;
}

function goesLeft(tree: JsonTree, node: number, value: number): boolean {
  if (Number.isNaN(value)) return tree.default_left[node] === 1;
  if (tree.split_type[node] === 0) return value < tree.split_conditions[node];
  const at = tree.categories_nodes.indexOf(node);
  const start = tree.categories_segments[at];
  return !tree.categories.slice(start, start + tree.categories_sizes[at]).includes(value);
}

Deno.test({ name: "the trainer service passes its own tests", ignore }, async () => {
  const { success, stderr } = await pythonWith(["-m", "unittest", "test_trainer"]).output();
  ok(success, new TextDecoder().decode(stderr));
});

Deno.test(
  { name: "the trainer service trains what the router sends: margin plus trees meets the quantiles", ignore },
  async () => {
    await using service = await startService();
    const { url } = service;
    const token = () => "secret";
    const options = { url, fetcher: fetch, clock: systemClock, timeoutMs: 60_000, source: "r1" };
    const trainer = new ServiceTrainer({ ...options, token });
    const set = sampleSet(1500);
    const { signal } = new AbortController();
    const bytes = await trainer.train("ttft", set, parameters, signal);
    deepStrictEqual([...bytes.subarray(0, 2)], [..."{L"].map((char) => char.charCodeAt(0)));
    strictEqual(await trainer.train("ttft", set, parameters, signal), bytes, "the same samples give the same file");

    const authorization = `Bearer ${token()}`;
    const get = async (path: string) => (await fetch(url + path, { headers: { authorization } })).json();
    const { sets } = await get("/v1/status");
    const { set: name } = sets.find(({ sources }: { sources: Record<string, number> }) => sources.r1 === 1500);
    const file: ModelFile = await get(`/v1/models/ttft?format=json&set=${name}`);
    deepStrictEqual(file.learner.feature_names, set.featureNames);
    for (const [output, quantile] of quantiles.entries()) {
      let under = 0;
      for (let row = 0; row < set.rows; row++) {
        const values = set.columns.map((column) => column[row]);
        if (set.labels[row] <= predict(file, output, values, set.margins[row])) under++;
        const more = [values[0] + 0.5, ...values.slice(1)];
        ok(
          predict(file, output, more, 0) >= predict(file, output, values, 0) - 1e-9,
          "more tokens never take less time",
        );
      }
      ok(
        Math.abs(under / set.rows - quantile) < 0.05,
        `${under / set.rows} of the labels are under quantile ${quantile}`,
      );
    }

    await rejects(new ServiceTrainer(options).train("ttft", set, parameters, signal), { reason: "refused" });
    const infinite = { ...set, labels: set.labels.map(() => Infinity) };
    await rejects(trainer.train("tpot", infinite, parameters, signal), { reason: "refused", message: /finite/ });
    const unequal = { ...parameters, monotone: [1] };
    await rejects(trainer.train("ttft", set, unequal, signal), { reason: "refused", message: /monotone/ });
    await trainer.stop();
  },
);
