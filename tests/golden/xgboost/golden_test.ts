/** Model files of real XGBoost versions, read and scored here; `generate.py` says how they were made. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { Prng } from "../../../src/core/mod.ts";
import { Hotpath, packForest } from "../../../src/hotpath/mod.ts";
import type { Ensemble } from "../../../src/latency/xgboost/ensemble.ts";
import { ModelFileError } from "../../../src/latency/xgboost/model_file_error.ts";
import { linkOf } from "../../../src/latency/xgboost/objectives.ts";
import { predictMargins } from "../../../src/latency/xgboost/predict_twin.ts";
import { readModel } from "../../../src/latency/xgboost/read_model.ts";

const home = fileURLToPath(new URL(".", import.meta.url));
const versions = ["1.0.2", "1.3.3", "1.7.6", "2.1.4", "3.0.5", "3.2.0", "3.3.0", "3.4.1"];

/** Bit patterns are eight hexadecimal digits each. */
interface Case {
  readonly name: string;
  readonly files: readonly string[];
  /** Why it is not read; the other members are those of models that are. */
  readonly refused?: string;
  /** Whether the common rows come before its own. */
  readonly commonRows: boolean;
  readonly rows: string;
  readonly margins: string;
  readonly outputs: string;
  readonly baseMargin?: string;
  readonly marginsFromBase?: string;
  readonly categoryNames?: Readonly<Record<string, readonly (string | number)[]>>;
  readonly featureNames?: readonly string[];
}

interface Document {
  readonly xgboost: string;
  readonly features: number;
  readonly rows: string;
  readonly cases: readonly Case[];
}

const documents: readonly Document[] = versions.map((version) =>
  JSON.parse(Deno.readTextFileSync(`${home}${version}/cases.json`))
);

function bytesOf({ xgboost }: Document, file: string): Uint8Array {
  return Deno.readFileSync(`${home}${xgboost}/${file}`);
}

function floatsOf(hex: string): Float32Array {
  const bits = Uint32Array.from(hex.match(/.{8}/g) ?? [], (digits) => parseInt(digits, 16));
  return new Float32Array(bits.buffer);
}

function hexOf(floats: Float32Array): string {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  return Array.from(bits, (word) => word.toString(16).padStart(8, "0")).join("");
}

/** A case that is read: rows, and base margins by row and output where it has them. */
interface Table {
  readonly ensemble: Ensemble;
  readonly rows: readonly Float32Array[];
  readonly baseMargin?: Float32Array;
}

function tableOf(document: Document, item: Case, ensemble: Ensemble): Table {
  const { features } = document;
  const values = floatsOf((item.commonRows ? document.rows : "") + item.rows);
  const rows = Array.from(
    { length: values.length / features },
    (_, i) => values.subarray(i * features, (i + 1) * features),
  );
  return { ensemble, rows, baseMargin: item.baseMargin === undefined ? undefined : floatsOf(item.baseMargin) };
}

const { forests } = await Hotpath.load(
  { endpoints: 100, blockTreeBytes: 0, bodyBytesMax: 64, prefixTokensMax: 64, forestBytes: 1 << 17 },
  1,
);
const columnOf = [4, 31, 0, 2, 17];

/** Margins by row and output, from the intercepts or from the base margins. */
function kernelMargins({ ensemble, rows }: Table, baseMargin?: Float32Array): Float32Array {
  const { groups } = ensemble;
  const margins = new Float32Array(rows.length * groups);
  forests.publish(1, packForest(ensemble, columnOf, baseMargin ? [] : ensemble.baseMargin));
  rows.forEach((row, at) => row.forEach((value, feature) => forests.columns[columnOf[feature]][at] = value));
  for (let group = 0; group < groups; group++) {
    // One base margin serves every output of a row, so that outputs with margins of their own are scored one by one.
    rows.forEach((_, at) => forests.margins(1)[at] = baseMargin ? baseMargin[at * groups + group] : 0);
    forests.score(rows.length);
    rows.forEach((_, at) => margins[at * groups + group] = forests.out(1, group)[at]);
  }
  return margins;
}

function twinMargins({ ensemble, rows }: Table, baseMargin?: Float32Array): Float32Array {
  const { groups } = ensemble;
  const margins = new Float32Array(rows.length * groups);
  rows.forEach((row, at) =>
    margins.set(
      predictMargins(ensemble, row, baseMargin?.subarray(at * groups, (at + 1) * groups)),
      at * groups,
    )
  );
  return margins;
}

/** Apart in units of the last place. */
function placesApart(one: number, other: number): number {
  const [a, b] = new Int32Array(Float32Array.of(one, other).buffer);
  return Math.abs(a - b);
}

for (const document of documents) {
  Deno.test(`margins of XGBoost ${document.xgboost} are those of the twin and of the kernel, bit for bit`, () => {
    for (const item of document.cases.filter(({ refused }) => refused === undefined)) {
      for (const file of item.files) {
        const table = tableOf(document, item, readModel(bytesOf(document, file)));
        ok(table.rows.length >= 20 && table.ensemble.trees.length >= 2, file);
        equal(hexOf(twinMargins(table)), item.margins, `twin: ${file}`);
        equal(hexOf(kernelMargins(table)), item.margins, `kernel: ${file}`);
        if (table.baseMargin === undefined) continue;
        equal(hexOf(twinMargins(table, table.baseMargin)), item.marginsFromBase, `twin from base: ${file}`);
        equal(hexOf(kernelMargins(table, table.baseMargin)), item.marginsFromBase, `kernel from base: ${file}`);
      }
    }
  });
}

Deno.test("outputs of XGBoost are those of the link, but for two units in the last place", () => {
  for (const document of documents) {
    for (const item of document.cases.filter(({ refused }) => refused === undefined)) {
      const table = tableOf(document, item, readModel(bytesOf(document, item.files[0])));
      const { groups, objective } = table.ensemble;
      const outputs = twinMargins(table), expected = floatsOf(item.outputs);
      const link = linkOf(objective)!;
      table.rows.forEach((_, at) => link.toOutputs(outputs.subarray(at * groups, (at + 1) * groups)));
      // One class a row where every output tells it.
      const stride = objective === "multi:softmax" ? groups : 1;
      equal(expected.length * stride, outputs.length);
      expected.forEach((output, at) => {
        ok(placesApart(output, outputs[at * stride]) <= 2, `${document.xgboost} ${item.name}: ${output}`);
      });
    }
  }
});

Deno.test("a model is the same read from JSON and from UBJSON", () => {
  let compared = 0;
  for (const document of documents) {
    for (const { files, refused } of document.cases) {
      if (files.length < 2 || refused) continue;
      const [json, ubjson] = files.map((file) => readModel(bytesOf(document, file)));
      deepStrictEqual(json, ubjson, `${document.xgboost} ${files[0]}`);
      compared++;
    }
  }
  ok(compared >= 20, `${compared}`);
});

Deno.test("names of features and categories, quantiles and versions are read", () => {
  for (const document of documents) {
    for (const { name, files, refused, categoryNames, featureNames } of document.cases) {
      if (refused) continue;
      const model = readModel(bytesOf(document, files[0]));
      equal(model.version.join("."), document.xgboost);
      deepStrictEqual(model.quantiles, { quantile: [0.9], quantiles: [0.5, 0.9, 0.99] }[name]);
      deepStrictEqual(model.featureNames, featureNames ?? []);
      const names = categoryNames && Object.entries(categoryNames).map(([key, value]) => [Number(key), value]);
      deepStrictEqual(model.categoryNames && [...model.categoryNames], names);
      deepStrictEqual(model.featureTypes.includes("c"), ["onehot", "partition", "dictionary"].includes(name));
    }
  }
});

Deno.test("the files hold what is hard to read", () => {
  const models = documents.flatMap((document) =>
    document.cases.filter(({ refused }) => !refused).map(({ name, files }) => ({
      name,
      model: readModel(bytesOf(document, files[0])),
    }))
  );
  const of = (wanted: string) => models.filter(({ name }) => name === wanted).map(({ model }) => model);
  ok(of("dart").length === versions.length && of("dart").every(({ trees }) => trees.some(({ weight }) => weight < 1)));
  ok(of("forest").every(({ trees }) => trees.length === 6));
  ok(of("deleted").every(({ trees }) => trees.some((tree) => tree.left.length > countReached(tree))));
  ok(of("deep").every(({ trees }) => trees.some(({ left }) => left.length > 30)));
  ok(
    of("partition").every(({ trees }) =>
      trees.some(({ categories }) => [...categories!.values()].some((c) => c.length > 1))
    ),
  );
  ok(of("quantiles").every(({ groups, trees }) => groups === 3 && trees.some(({ group }) => group === 2)));
});

function countReached(tree: Ensemble["trees"][number], node = 0): number {
  const { left, right } = tree;
  return left[node] < 0 ? 1 : 1 + countReached(tree, left[node]) + countReached(tree, right[node]);
}

Deno.test("what is not read is refused for what it is", () => {
  const seen = new Set<string>();
  for (const document of documents) {
    for (const { files, refused } of document.cases) {
      for (const file of refused ? files : []) {
        equal(refusal(bytesOf(document, file))?.kind, refused, `${document.xgboost} ${file}`);
        seen.add(file);
      }
    }
  }
  deepStrictEqual([...seen].sort(), ["expectiles.json", "gblinear.json", "old.bin", "pickled.pkl", "vectors.json"]);
});

/** The error of a file that is refused; undefined when it is read, packed and scored. */
function refusal(bytes: Uint8Array): ModelFileError | undefined {
  try {
    const ensemble = readModel(bytes);
    predictMargins(ensemble, new Float32Array(ensemble.features));
    packForest(ensemble, Array.from({ length: ensemble.features }, (_, feature) => feature % 32));
    return undefined;
  } catch (error) {
    if (error instanceof ModelFileError) return error;
    throw error;
  }
}

Deno.test("a file with bytes changed, cut off or doubled is read or refused, never more", () => {
  const files = documents.flatMap((document) =>
    document.cases.filter(({ refused }) => !refused).flatMap(({ files }) => files.map((file) => ({ document, file })))
  );
  let refused = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.integer(),
      fc.integer({ min: 1, max: 8 }),
      ({ document, file }, seed, edits) => {
        const prng = new Prng(seed);
        let bytes = bytesOf(document, file);
        if (prng.below(4) === 0) bytes = bytes.subarray(0, prng.below(bytes.length));
        if (prng.below(4) === 0) bytes = Uint8Array.from([...bytes, ...bytes.subarray(prng.below(bytes.length))]);
        for (let edit = 0; edit < edits; edit++) bytes[prng.below(bytes.length)] = changed(prng, bytes);
        if (refusal(bytes)) refused++;
      },
    ),
    { seed: 9, numRuns: 1000 },
  );
  ok(refused > 500 && refused < 1000, `${refused}`);
});

/** Any byte, or one that the file has elsewhere, which breaks it less surely. */
function changed(prng: Prng, bytes: Uint8Array): number {
  return prng.below(2) === 0 ? prng.below(256) : bytes[prng.below(bytes.length)];
}
