import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import type { RequestView } from "../core/mod.ts";
import { columns } from "./features.ts";
import { TestWorld } from "./latency_testing.ts";
import { overTargets, type Prediction } from "./prediction.ts";
import { latencyRecords, readLabel } from "./record.ts";

function placed(request: Partial<RequestView> = {}) {
  const observed: unknown[] = [];
  const world = new TestWorld({
    observer: (target, { slot }, ms, censored) => observed.push({ target, slot, ms, censored }),
  });
  const facts = world.facts(request);
  world.predictor.predict(facts, Uint16Array.of(0, 1), 2);
  world.predictor.chosen(facts, 1);
  const prediction = world.predictor.take()!;
  /** Labels that were told: target, milliseconds, whether it took longer. */
  const labels = () =>
    world.told.filter(({ kind }) => kind === latencyRecords.label)
      .map(({ numbers }) => readLabel(Float64Array.from(numbers)))
      .map(({ target, ms, censored }) => [target, ms, censored] as const);
  const outputs = () =>
    world.told.filter(({ kind }) => kind === latencyRecords.output).map(({ numbers }) => numbers[0]);
  return { world, prediction, labels, outputs, observed };
}

Deno.test("a stream's answer becomes a label of each target, each once, with all that was known when it was placed", () => {
  const { world, prediction, labels, outputs, observed } = placed({ promptTokens: 300 });
  prediction.firstToken(80);
  prediction.firstToken(90);
  prediction.completed(990, 100);
  prediction.completed(5, 7);
  prediction.gaveUp(1000);
  deepStrictEqual(labels(), [[0, 80, false], [1, 10, false]]);
  deepStrictEqual(outputs(), [100]);
  deepStrictEqual(observed, [{ target: 0, slot: 1, ms: 80, censored: false }, {
    target: 1,
    slot: 1,
    ms: 10,
    censored: false,
  }]);
  const { told } = prediction;
  for (const [target, { numbers }] of world.told.filter(({ kind }) => kind === latencyRecords.label).entries()) {
    const { row, ...label } = readLabel(Float64Array.from(numbers));
    deepStrictEqual(label, {
      ...told.input,
      slot: 1,
      generation: world.table.generation[1],
      target,
      ms: [80, 10][target],
      censored: false,
      medianMs: told.medianMs[target],
      highMs: told.highMs[target],
      version: 0,
      sums: [0, 0],
    });
    equal(row.length, columns.length);
    deepStrictEqual([...row as Float64Array], told.row);
  }
});

Deno.test("a first token nobody waited for any more is a lower bound, once; none where the time is not known", () => {
  const { prediction, labels } = placed();
  prediction.gaveUp(450);
  prediction.gaveUp(460);
  prediction.firstToken(470);
  deepStrictEqual(labels(), [[0, 450, true]]);
  const failed = placed();
  failed.prediction.gaveUp(NaN);
  deepStrictEqual(failed.labels(), []);
});

Deno.test("an answer of fewer than four tokens tells its length, and nothing of its pace", () => {
  for (const [tokens, labelled] of [[0, 0], [1, 0], [3, 0], [4, 1]]) {
    const { prediction, labels, outputs } = placed();
    prediction.completed(300, tokens);
    equal(labels().length, labelled, `${tokens} tokens`);
    deepStrictEqual(outputs(), [tokens]);
    if (labelled) deepStrictEqual(labels(), [[1, 100, false]]);
  }
});

Deno.test("of a plain answer what its first token is not predicted to take is the others'", () => {
  const { prediction, labels } = placed({ stream: false });
  prediction.completedWhole(prediction.ttftMs + 990, 100);
  prediction.completedWhole(1, 100);
  equal(labels().length, 1);
  ok(Math.abs(labels()[0][1] - 10) < 1e-9);
  // Faster than its first token was predicted: something is left all the same.
  const fast = placed({ stream: false });
  fast.prediction.completedWhole(99, 100);
  ok(Math.abs(fast.labels()[0][1] - 0.1) < 1e-9);
});

Deno.test("what took no time or none that is a number is no label", () => {
  for (const ms of [0, -5, NaN]) {
    const { prediction, labels } = placed();
    prediction.firstToken(ms);
    prediction.completed(ms, 50);
    deepStrictEqual(labels(), []);
  }
});

Deno.test("what was predicted over what was wanted is told once, of the targets that there are", () => {
  const slos = (request: Partial<RequestView>) => {
    const { world, prediction } = placed(request);
    const records = world.told.filter(({ kind }) => kind === latencyRecords.slo).map(({ numbers }) => numbers);
    return { records, highMs: prediction.told.highMs };
  };
  deepStrictEqual(slos({}).records, []);
  const both = slos({ slo: { ttftMs: 500, tpotMs: 20 } });
  deepStrictEqual(both.records, [[both.highMs[0] / 500, both.highMs[1] / 20]]);
  const one = slos({ slo: { ttftMs: 500 } });
  deepStrictEqual(one.records, [[one.highMs[0] / 500, NaN]]);
});

Deno.test("overTargets() counts a TTFT target from the request's arrival, and knows nothing of a target there is not", () => {
  deepStrictEqual(overTargets({ ttftMs: 500, tpotMs: 20 }, 20, 100, [300, 15]), [0.8, 0.75]);
  deepStrictEqual(overTargets({ ttftMs: 500 }, undefined, 0, [300, 15]), [0.6, NaN]);
  deepStrictEqual(overTargets({}, undefined, 0, [300, 15]), [NaN, NaN]);
});

Deno.test("whatever a request is told, in whatever order, it leaves its endpoint's targets once and gives two labels at most", () => {
  const act = fc.constantFrom<(prediction: Prediction) => void>(
    (prediction) => prediction.firstToken(50),
    (prediction) => prediction.gaveUp(70),
    (prediction) => prediction.completed(300, 20),
    (prediction) => prediction.completedWhole(300, 20),
    (prediction) => prediction.release(),
  );
  fc.assert(fc.property(fc.array(act, { maxLength: 10 }), fc.boolean(), (acts, other) => {
    const { world, prediction, labels } = placed({ slo: { tpotMs: 20 } });
    const { state } = world;
    // One more of the same target there.
    if (other) {
      const facts = world.facts({ slo: { tpotMs: 20 } });
      world.predictor.chosen(facts, 1);
      world.predictor.take();
    }
    for (const act of acts) act(prediction);
    prediction.release();
    prediction.release();
    deepStrictEqual([state.tpotSlos(1), state.strictestTpotMs(1)], other ? [1, 20] : [0, 0]);
    for (const target of [0, 1]) ok(labels().filter(([of]) => of === target).length <= 1);
  }));
});
