import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { endpointMeta, EndpointState, Prng } from "../core/mod.ts";
import { columnOf, modelColumns } from "./features.ts";
import { testRow, TestWorld } from "./latency_testing.ts";
import { judgedLeast } from "./learner.ts";
import type { LearnerObserver } from "./learner.ts";
import { latencyRecords } from "./record.ts";
import { Model, Prior } from "./state.ts";

function near(actual: number, expected: number, share: number): void {
  ok(Math.abs(actual - expected) <= share * Math.abs(expected), `${actual} is not ${expected}`);
}

Deno.test("a label teaches the prior, its corrections, the rate of late and the report", () => {
  const world = new TestWorld();
  const { learner, state } = world;
  world.clock.advance(5000);
  for (let i = 0; i < 100; i++) {
    const workTokens = 100 * (i % 20);
    const row = testRow({ effective_input_tokens: 40 });
    world.label({ workTokens, ms: 10 + 0.05 * workTokens, medianMs: 100, highMs: 60 + i, row });
    world.label({ target: 1, requests: 1 + i % 10, contextTokens: 0, ms: 8 });
  }
  near(state.ttftTokenMs[0], 0.05, 0.1);
  equal(state.labels(0), 100);
  near(state.prefillPerS(0, 5000), 40 * 100 / 10, 1e-6);
  equal(state.prefillPerS(1, 5000), 0);
  const { labels, coverage } = learner.drift(0);
  equal(labels, 100);
  ok(coverage > 0.5 && coverage < 1, `${coverage}`);
  equal(learner.drift(1).labels, 100);
  const [prior, model] = learner.scores(0);
  deepStrictEqual([prior.labels, model.labels], [100, 0]);
  ok(prior.mape < 0.3, `${prior.mape}`);
});

Deno.test("the label of a slot that was given to another endpoint is dropped", () => {
  const world = new TestWorld();
  const { table, learner, state } = world;
  const generation = table.generation[0];
  world.label({});
  table.remove(0);
  equal(table.add(endpointMeta({ host: "new", port: 9 }), EndpointState.Ready), 0);
  learner.slotAdded(0);
  const before = [state.labels(0), learner.heldBack(0).length, state.ttftBaseMs[0], learner.drift(0).labels];
  world.label({ generation, ms: 9000 });
  deepStrictEqual([state.labels(0), learner.heldBack(0).length, state.ttftBaseMs[0], learner.drift(0).labels], before);
  world.label({ generation: generation + 1, ms: 9000 });
  equal(state.labels(0), before[0] + 1);
});

Deno.test("an endpoint that came has nothing of the one whose slot it has", () => {
  const world = new TestWorld();
  const { learner, state } = world;
  for (let i = 0; i < 30; i++) {
    for (const target of [0, 1]) {
      world.label({ slot: 1, target, ms: 50 });
      world.label({ slot: 0, target, ms: 5000 });
    }
  }
  ok(learner.pace(0) > 1.5, `${learner.pace(0)}`);
  learner.slotAdded(0);
  deepStrictEqual([state.bias(0, Prior)[0], state.bias(1, Prior)[0], state.bias(0, Model)[0]], [0, 0, 0]);
  deepStrictEqual([learner.pace(0), learner.suspect(0), state.prefillPerS(0, 0)], [1, false, 0]);
  deepStrictEqual(learner.dumpSlot(0).biases, [[0, 0], [0, 0]]);
});

Deno.test("take() takes its own records and no others; answers tell how long answers are", () => {
  const world = new TestWorld();
  const { learner, state } = world;
  equal(learner.take(3, new Float64Array(40)), false);
  for (let i = 0; i < 500; i++) equal(learner.take(latencyRecords.output, Float64Array.of(40)), true);
  near(state.outputTokens, 40, 0.01);
  const before = state.outputTokens;
  learner.take(latencyRecords.output, Float64Array.of(0));
  equal(state.outputTokens, before, "of no tokens nothing is told");
  for (let i = 0; i < 50; i++) learner.take(latencyRecords.slo, Float64Array.of(0.7, NaN));
  near(learner.drift(0).predictedOverSlo, 0.7, 1e-9);
  equal(learner.drift(1).predictedOverSlo, NaN);
});

Deno.test("a lower bound below what was told teaches nothing; one above counts as a label", () => {
  const world = new TestWorld();
  const { learner } = world;
  world.label({ ms: 100, highMs: 150, censored: true });
  deepStrictEqual([learner.heldBack(0).length, learner.drift(0).labels], [0, 0]);
  world.label({ ms: 4000, highMs: 150, censored: true });
  deepStrictEqual([learner.heldBack(0).length, learner.drift(0).labels], [1, 1]);
  equal(world.state.prefillPerS(0, 0), 0, "nothing tells that its prompt was computed");
});

Deno.test("a label that mostly waited for a place is trained on, and teaches neither the prior nor the endpoint's pace", () => {
  const world = new TestWorld();
  const { learner, state } = world;
  for (let i = 0; i < 40; i++) world.label({ workTokens: 1000, ms: 120 });
  const known = () => [state.ttftBaseMs[0], state.ttftTokenMs[0], state.bias(0, Prior)[0], learner.pace(0)];
  const before = known(), { labels } = learner.scores(0)[0], held = learner.heldBack(0).length;
  for (let i = 0; i < 5; i++) world.label({ workTokens: 1000, waitMs: 4000, ms: 9000 });
  deepStrictEqual(known(), before);
  deepStrictEqual([learner.scores(0)[0].labels, learner.heldBack(0).length], [labels + 5, held + 5]);
  // A wait that is the lesser part is taken off, and the rest learned from.
  world.label({ workTokens: 1000, waitMs: 50, ms: 400 });
  ok(known().some((value, i) => value !== before[i]));
});

Deno.test("held-back labels are the latest, and none of them is trained on before it is held back no more", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4000 }), (count) => {
      const world = new TestWorld({ rowsMax: 10_000 });
      const { learner } = world;
      const at = columnOf.get("sample_age_ms")!;
      const marks = (rows: readonly number[]) => rows.toSorted((a, b) => a - b);
      for (let i = 0; i < count; i++) world.label({ row: testRow({ sample_age_ms: i }) });
      const held = learner.heldBack(0).map(({ row }) => row[at]);
      const trained = [...learner.reservoir(0).rows(["sample_age_ms"]).columns[0]];
      deepStrictEqual(marks([...trained, ...held]), Array.from({ length: count }, (_, i) => i));
      deepStrictEqual(held, Array.from({ length: held.length }, (_, i) => count - held.length + i));
      equal(held.length, Math.min(count, 512, Math.max(judgedLeast, Math.ceil(count / 5))));
    }),
    { numRuns: 12 },
  );
});

Deno.test("rows to train on are the columns of the target's models, labelled by what is left after the corrected prior", () => {
  const world = new TestWorld();
  const { learner, state } = world;
  for (let i = 0; i < 200; i++) world.label({ workTokens: 0, ms: 40, row: testRow({ num_request_running: i }) });
  const { columns, labels, weights, rows } = learner.rows(0);
  equal(columns.length, modelColumns.ttft.length);
  ok([...columns, labels, weights].every(({ length }) => length === rows && length > 0));
  // The prior has learned 40 ms by itself.
  const [last] = labels.slice(-1);
  ok(Math.abs(last) < 0.1, `${last}`);
  const [{ base, label }] = learner.heldBack(0).slice(-1);
  near(base, Math.log(40), 0.05);
  near(label, Math.log(40), 1e-9);
  ok(state.labels(0) === 200);
});

/** Labels of requests that a published forest predicted with these sums. */
function predicted(world: TestWorld, sums: readonly [number, number], count: number, error: (i: number) => number) {
  const { learner, state, forests } = world;
  for (let i = 0; i < count; i++) {
    const base = Math.log(Math.max(0.01, state.ttftBaseMs[0] + state.ttftTokenMs[0] * 1000)) + state.bias(0, Prior)[0];
    world.label({ ms: Math.exp(base + error(i)), version: forests.version(0), sums });
  }
  return learner.scores(0);
}

Deno.test("the prior takes over where a model becomes worse than it, and the model comes back when it is better", () => {
  const changes: string[] = [];
  const observer: LearnerObserver = { sourceChanged: (target, source) => changes.push(`${target} ${source}`) };
  const world = new TestWorld({ learnerObserver: observer });
  const { learner, state, forests } = world;
  const rng = new Prng(3);
  for (let i = 0; i < 100; i++) world.label({ ms: 100 * Math.exp(rng.normal(0, 0.1)) });
  equal(state.source(0), Prior);
  forests.use(0, { sums: () => [0, 0.3] });
  learner.modelChanged(0, [0, 0]);
  deepStrictEqual([state.source(0), changes], [Model, ["ttft model"]]);
  // Its sums say what is to come.
  let next = 0;
  const drawn = () => next = rng.below(2) === 0 ? 0.6 : -0.6;
  const informed = (count: number, sign: number) => {
    for (let i = 0; i < count; i++) {
      drawn();
      predicted(world, [sign * next, sign * next + 0.1], 1, () => next + rng.normal(0, 0.05));
    }
  };
  informed(150, 1);
  deepStrictEqual([state.source(0), changes.length], [Model, 1]);
  // It says the opposite of what comes.
  informed(200, -1);
  deepStrictEqual([state.source(0), changes.slice(1)], [Prior, ["ttft prior"]]);
  informed(400, 1);
  deepStrictEqual([state.source(0), changes.slice(2)], [Model, ["ttft model"]]);
  // Another champion changes nothing of what predicts.
  learner.modelChanged(0, [0, 0]);
  deepStrictEqual([state.source(0), changes.length], [Model, 3]);
  equal(state.source(1), Prior);
});

Deno.test("labels of a forest that was replaced do not count for the one that is there", () => {
  const world = new TestWorld();
  const { learner, forests } = world;
  forests.use(0, { sums: () => [0, 0] });
  learner.modelChanged(0, [0, 0]);
  for (let i = 0; i < 20; i++) world.label({ version: 1, sums: [0, 0] });
  equal(learner.scores(0)[1].labels, 20);
  forests.use(0, { sums: () => [0, 0] });
  learner.modelChanged(0, [0, 0]);
  for (let i = 0; i < 20; i++) world.label({ version: 1, sums: [0, 0] });
  for (let i = 0; i < 20; i++) world.label({ version: 0, sums: [0, 0] });
  equal(learner.scores(0)[1].labels, 0);
  equal(learner.scores(0)[0].labels, 60);
});

Deno.test("an endpoint much slower than the others is suspect: told once, and once when it is not any more", () => {
  const told: unknown[] = [];
  const world = new TestWorld({
    endpoints: 4,
    learnerObserver: { suspected: (slot, factor, sick) => told.push([slot, factor > 2, sick]) },
  });
  const { learner } = world;
  const rng = new Prng(2);
  const round = (slow: number, count: number) => {
    for (let i = 0; i < count; i++) {
      for (const slot of [0, 1, 2, 3]) {
        const workTokens = rng.below(2000);
        const ms = (20 + 0.1 * workTokens) * Math.exp(rng.normal(0, 0.2)) * (slot === 2 ? slow : 1);
        world.label({ slot, workTokens, ms });
      }
    }
  };
  round(1, 30);
  deepStrictEqual(told, []);
  round(4, 60);
  deepStrictEqual(told, [[2, true, true]]);
  ok(learner.suspect(2) && !learner.suspect(1));
  ok(learner.pace(2) > 2 && learner.pace(1) < 1.5, `${learner.pace(2)}, ${learner.pace(1)}`);
  round(1, 100);
  deepStrictEqual(told.slice(1), [[2, false, false]]);
  equal(learner.suspect(2), false);
});

Deno.test("the report's coverage and error are those of what clients were told", () => {
  const world = new TestWorld();
  for (let i = 0; i < 100; i++) world.label({ ms: i < 80 ? 100 : 400, medianMs: 200, highMs: 300 });
  const { coverage, mape } = world.learner.drift(0);
  near(coverage, 0.8, 1e-9);
  near(mape, 0.8 * 1 + 0.2 * 0.5, 1e-9);
});

Deno.test("what is known of an endpoint is taken over by its next life", () => {
  const world = new TestWorld(), next = new TestWorld();
  for (let i = 0; i < 200; i++) {
    world.label({ workTokens: 100 * (i % 20), ms: (10 + 5 * (i % 20)) * 2 });
    world.label({ slot: 1, workTokens: 100 * (i % 20), ms: 10 + 5 * (i % 20) });
  }
  next.learner.fits.restorePool(world.learner.fits.dumpPool());
  next.learner.restoreSlot(0, JSON.parse(JSON.stringify(world.learner.dumpSlot(0))));
  near(next.state.ttftTokenMs[0], world.state.ttftTokenMs[0], 0.02);
  near(next.learner.dumpSlot(0).biases[0][0], world.learner.dumpSlot(0).biases[0][0], 1e-9);
});

Deno.test("the whole way: predicted, told, learned, predicted better", () => {
  const world = new TestWorld();
  const { predictor, clock, table } = world;
  const rng = new Prng(8), errors: number[] = [];
  let covered = 0;
  for (let i = 0; i < 1500; i++) {
    clock.advance(20);
    const promptTokens = 50 + rng.below(3000), slot = rng.below(2);
    const facts = world.facts({ promptTokens });
    table.running[slot] = rng.below(20);
    predictor.predict(facts, Uint16Array.of(0, 1), 2);
    predictor.chosen(facts, slot);
    const prediction = predictor.take()!;
    // One of them is three times as fast as the guess, the other one half as fast.
    const ttft = (slot === 0 ? 1 / 3 : 2) * (15 + 0.12 * promptTokens) * Math.exp(rng.normal(0, 0.15));
    const { medianMs, highMs } = prediction.told;
    if (i >= 1000) {
      errors.push(Math.abs(medianMs[0] - ttft) / ttft);
      if (ttft <= highMs[0]) covered++;
    }
    prediction.firstToken(ttft);
    prediction.completed(40 * (6 + 0.3 * table.running[slot]), 41);
    prediction.release();
    world.learn();
  }
  const mape = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  ok(mape < 0.2, `${mape}`);
  near(covered / errors.length, 0.9, 0.04);
  equal(world.ring.dropped, 0);
});
