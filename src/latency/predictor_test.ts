import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import type { RequestView, Slo } from "../core/mod.ts";
import { columnOf, columns } from "./features.ts";
import { type TestForest, TestWorld } from "./latency_testing.ts";
import { normalShare } from "./normal.ts";
import { latencyRecords } from "./record.ts";
import { ForestKind, High, Median, Model, Prior } from "./state.ts";

const all = Uint16Array.of(0, 1);

function near(actual: number, expected: number, share = 1e-6): void {
  ok(Math.abs(actual - expected) <= share * Math.abs(expected), `${actual} is not ${expected}`);
}

/** A forest that predicts from now on, calibrated by nothing. */
function promote(world: TestWorld, target: number, forest: TestForest): void {
  world.state.setKind(target, forest.kind ?? ForestKind.Residual);
  world.forests.use(target, forest);
  world.learner.modelChanged(target, [0, 0]);
}

Deno.test("without a forest the prior predicts, with its corrections", () => {
  const world = new TestWorld();
  const { state, predictor } = world;
  const view = predictor.predict(world.facts(), all, 2);
  // The guess: 20 ms + 1,000 tokens at 8 a millisecond; 6 ms and 0.35 for each request.
  for (const slot of [0, 1]) {
    near(view.ttftPriorMs[slot], 145);
    near(view.ttftMs[slot], 145);
    near(view.ttftHighMs[slot], 145 * Math.exp(0.4));
    near(view.tpotMs[slot], 6.35);
    near(view.e2eMs[slot], 145 + 6.35 * 255);
  }
  equal(world.forests.scorings, 0);
  state.bias(0, Prior)[1] = Math.log(2);
  state.setOffset(0, Prior, Median, 0.1);
  state.setOffset(0, Prior, High, 0.5);
  predictor.predict(world.facts(), all, 2);
  near(view.ttftPriorMs[1], 145);
  near(view.ttftMs[1], 290 * Math.exp(0.1));
  near(view.ttftHighMs[1], 290 * Math.exp(0.5));
  near(view.ttftMs[0], 145 * Math.exp(0.1));
});

Deno.test("a residual forest predicts in multiples of the corrected prior, the two quantiles apart", () => {
  const world = new TestWorld();
  const { state, predictor } = world;
  state.bias(0, Prior)[1] = Math.log(1.5);
  promote(world, 0, { sums: () => [Math.log(2), Math.log(3)] });
  const view = predictor.predict(world.facts(), all, 2);
  near(view.ttftMs[0], 290);
  near(view.ttftHighMs[0], 435);
  near(view.ttftMs[1], 435);
  near(view.ttftHighMs[1], 652.5);
  near(view.tpotMs[0], 6.35, 1e-6);
  // Its own corrections, not the prior's.
  state.setOffset(0, Prior, Median, 5);
  state.setOffset(0, Model, Median, 0.2);
  state.bias(0, Model)[1] = 0.3;
  predictor.predict(world.facts(), all, 2);
  near(view.ttftMs[1], 435 * Math.exp(0.5));
  // Not believed any more, it is not heard.
  state.setSource(0, Prior);
  state.setOffset(0, Prior, Median, 0);
  predictor.predict(world.facts(), all, 2);
  near(view.ttftMs[0], 145);
});

Deno.test("forests of milliseconds and of their logarithms predict by themselves, each target by its own", () => {
  const world = new TestWorld();
  const { predictor, state } = world;
  state.bias(0, Prior)[0] = 7;
  promote(world, 0, { kind: ForestKind.LogMilliseconds, baseMargin: Math.log(50), sums: () => [Math.log(2), 2] });
  promote(world, 1, {
    kind: ForestKind.Milliseconds,
    baseMargin: 4,
    sums: (row) => [row[columnOf.get("num_request_running")!] + 6],
  });
  world.table.running[1] = 10;
  const view = predictor.predict(world.facts(), all, 2);
  near(view.ttftMs[0], 100);
  near(view.ttftHighMs[0], 50 * Math.exp(2));
  near(view.tpotMs[0], 10);
  near(view.tpotMs[1], 20);
  near(view.tpotHighMs[0], 10);
  // One output: its high quantile is what the correction makes of it.
  state.setOffset(1, Model, High, 0.7);
  predictor.predict(world.facts(), all, 2);
  near(view.tpotHighMs[1], 20 * Math.exp(0.7));
  equal(world.forests.scorings, 2, "once for both targets");
});

Deno.test("whatever a forest says, predictions are finite and positive, and high is not below the median", () => {
  const sum = fc.oneof(fc.double({ min: -30, max: 30, noNaN: true }), fc.constantFrom(-1e30, 1e30));
  const kind = fc.constantFrom(...Object.values(ForestKind));
  const slo = fc.record({
    ttftMs: fc.option(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { nil: undefined }),
    tpotMs: fc.option(fc.double({ min: 1e-3, max: 1e4, noNaN: true }), { nil: undefined }),
  });
  const quantile = fc.constantFrom(0.5, 0.9, 0.999);
  fc.assert(
    fc.property(fc.array(sum, { minLength: 1, maxLength: 2 }), kind, slo, quantile, fc.nat(300), (
      sums,
      kind,
      slo,
      quantile,
      running,
    ) => {
      const world = new TestWorld({ quantile }).believed();
      for (const target of [0, 1]) promote(world, target, { kind, baseMargin: 1, sums: () => sums });
      world.table.running[1] = running;
      world.state.sloCells(0).strictestMs[1] = 20;
      world.state.sloCells(0).count[1] = 3;
      const view = world.predictor.predict(world.facts({ slo }), all, 2);
      for (const slot of [0, 1]) {
        for (const ms of [view.ttftMs, view.tpotMs]) ok(ms[slot] > 0 && ms[slot] < Infinity, `${ms[slot]}`);
        ok(view.ttftHighMs[slot] >= view.ttftMs[slot] && view.tpotHighMs[slot] >= view.tpotMs[slot]);
        ok(view.meets[slot] >= 0 && view.meets[slot] <= 1, `${view.meets[slot]}`);
        ok(view.harmMisses[slot] >= 0 && view.harmMisses[slot] <= (slot === 1 ? 3 : 0), `${view.harmMisses[slot]}`);
        for (const value of Object.values(view)) ok(Number.isFinite(value[slot]));
      }
    }),
  );
});

Deno.test("meets is the probability of both targets; a target that is not named constrains nothing", () => {
  const world = new TestWorld().believed();
  const meets = (slo: Slo) => {
    return world.predictor.predict(world.facts({ slo }), all, 2).meets[0];
  };
  const z = (targetMs: number, medianMs: number) => Math.log(targetMs / medianMs) / (0.4 / 1.2815516);
  equal(meets({}), 1);
  near(meets({ ttftMs: 145 }), 0.5, 1e-5);
  near(meets({ ttftMs: 145 * Math.exp(0.4) }), 0.9, 1e-5);
  near(meets({ ttftMs: 100 }), normalShare(z(100, 145)), 1e-5);
  near(meets({ tpotMs: 8 }), normalShare(z(8, 6.35)), 1e-5);
  near(meets({ ttftMs: 100, tpotMs: 8 }), normalShare(z(100, 145)) * normalShare(z(8, 6.35)), 1e-5);
  ok(meets({ ttftMs: 1e6 }) > 0.9999 && meets({ ttftMs: 1 }) < 1e-4);
});

Deno.test("of a guess nobody is told that a target will be missed, but one whose time is over", () => {
  const world = new TestWorld();
  const { predictor, state, clock } = world;
  state.sloCells(0).strictestMs[0] = 0.1;
  state.sloCells(0).count[0] = 1;
  clock.advance(100);
  const tight = (receivedAtMs: number) => {
    const facts = world.facts({ receivedAtMs, slo: { ttftMs: 2, tpotMs: 0.1 } });
    const { meets, harmMisses, likelyMisses } = predictor.predict(facts, all, 2);
    return [meets[0], harmMisses[0], likelyMisses[0]];
  };
  for (let i = 0; i < 8; i++) {
    deepStrictEqual(tight(100), [1, 0, 0]);
    deepStrictEqual(tight(98), [0, 0, 0]);
    for (const target of [0, 1]) state.labelled(target, 0, world.clock.now());
  }
  const [meets, , likely] = tight(100);
  ok(meets < 0.01 && likely > 0.99, `${meets}, ${likely}`);
});

Deno.test("a TTFT target counts from the request's arrival: what it waited is gone", () => {
  const world = new TestWorld().believed();
  const { clock, predictor } = world;
  clock.advance(1000);
  const at = (receivedAtMs: number) => {
    const view = predictor.predict(world.facts({ receivedAtMs, slo: { ttftMs: 500 } }), all, 2);
    return [view.meets[0], view.ttftHeadroomMs[0]];
  };
  const [fresh, freshRoom] = at(1000), [late, lateRoom] = at(645), [over, overRoom] = at(400);
  ok(fresh > 0.99);
  near(late, 0.5, 1e-5);
  equal(over, 0);
  near(freshRoom - lateRoom, 355);
  near(freshRoom - overRoom, 600);
});

Deno.test("headrooms are target less high prediction, of the strictest target there; 0 less it without one", () => {
  const world = new TestWorld({ options: { tpotBufferFactor: 0.5 } });
  const { predictor, state } = world;
  const high = 6.35 * Math.exp(0.4);
  const rooms = (slo: Slo) => {
    const view = predictor.predict(world.facts({ slo }), all, 2);
    return [view.ttftHeadroomMs[0], view.tpotHeadroomMs[0]];
  };
  const [ttft, tpot] = rooms({});
  near(ttft, -145 * Math.exp(0.4));
  near(tpot, -high);
  near(rooms({ tpotMs: 40 })[1], 20 - high);
  state.sloCells(0).strictestMs[0] = 30;
  near(rooms({ tpotMs: 40 })[1], 15 - high);
  near(rooms({ tpotMs: 25 })[1], 12.5 - high);
  near(rooms({})[1], -high);
});

Deno.test("meets falls and no time falls as the load grows", () => {
  const load = fc.record({
    prefill: fc.nat(50_000),
    decode: fc.nat(200_000),
    running: fc.nat(200),
    requests: fc.nat(200),
  });
  fc.assert(fc.property(load, load, fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 100 }), (
    at,
    more,
    ttftMs,
    tpotMs,
  ) => {
    const world = new TestWorld().believed();
    const { table } = world;
    for (let i = 0; i < 40; i++) {
      world.label({ workTokens: 100 * i, ms: 20 + 10 * i });
      world.label({ target: 1, requests: 1 + i, contextTokens: 500 * i, ms: 5 + 0.3 * i });
    }
    world.state.bias(0, Prior).fill(0);
    world.state.bias(1, Prior).fill(0);
    for (const [slot, loads] of [[at], [at, more]].entries()) {
      for (const { prefill, decode, running, requests } of loads) {
        table.prefillTokens[slot] += prefill;
        table.decodeTokens[slot] += decode;
        table.running[slot] += running;
        table.requests[slot] += requests;
      }
      table.requestCapacity[slot] = 64;
      table.serviceMs[slot] = 4000;
    }
    // The same coefficients at both.
    for (const name of ["ttftBaseMs", "ttftTokenMs", "tpotBaseMs", "tpotRequestMs", "tpotTokenMs"] as const) {
      world.state[name][1] = world.state[name][0];
    }
    const view = world.predictor.predict(world.facts({ slo: { ttftMs, tpotMs } }), all, 2);
    ok(view.meets[1] <= view.meets[0]);
    for (const name of ["ttftMs", "tpotMs", "ttftHighMs", "tpotHighMs", "e2eMs", "harmMs"] as const) {
      ok(view[name][1] >= view[name][0] * (1 - 1e-12), `${name}: ${view[name][0]}, then ${view[name][1]}`);
    }
  }));
});

Deno.test("harmMisses is the number of requests with a TPOT target there that would miss it for this one", () => {
  const world = new TestWorld().believed();
  const { state, predictor, table } = world;
  table.running[0] = table.running[1] = 20;
  const misses = () => predictor.predict(world.facts(), all, 2).harmMisses[0];
  equal(misses(), 0, "nobody there has a target");
  const cells = state.sloCells(0);
  cells.count[0] = 1;
  cells.strictestMs[0] = 14;
  const one = misses();
  ok(one > 0 && one < 1, `${one}`);
  cells.count[0] = 5;
  near(misses(), 5 * one);
  equal(predictor.predict(world.facts(), all, 2).harmMisses[1], 0, "another endpoint");
  cells.strictestMs[0] = 10_000;
  ok(misses() < 1e-6, "no target is near");
});

Deno.test("harmMisses does not fall as the prompt grows, and is never more than there are", () => {
  const at = fc.record({
    strictest: fc.integer({ min: 1, max: 200 }),
    running: fc.nat(200),
    high: fc.double({ min: 0, max: 2, noNaN: true }),
  });
  fc.assert(
    fc.property(at, fc.nat(50_000), fc.nat(500_000), ({ strictest, running, high }, tokens, more) => {
      const world = new TestWorld().believed();
      world.table.running[0] = running;
      world.state.setOffset(1, Prior, High, high);
      world.state.sloCells(0).strictestMs[0] = strictest;
      world.state.sloCells(0).count[0] = 4;
      const misses = (promptTokens: number) =>
        world.predictor.predict(world.facts({ promptTokens }), all, 2).harmMisses[0];
      const few = misses(tokens), many = misses(tokens + more);
      ok(few >= 0 && many >= few - 1e-6 && many <= 4, `${few}, then ${many}`);
    }),
    { numRuns: 300 },
  );
});

/** One more request with a TPOT target at slot 0, of which nothing is told yet. */
function runs(world: TestWorld, tpotMs: number) {
  const facts = world.facts({ promptTokens: 1, slo: { tpotMs } });
  world.predictor.predict(facts, all, 2);
  world.predictor.chosen(facts, 0);
  return world.predictor.take()!;
}

Deno.test("a request that has had many tokens at its pace is spared by a prompt that one which has just begun would miss for", () => {
  const world = new TestWorld().believed();
  const { predictor, clock, state } = world;
  // 6.35 ms alone; a stall of 1.25 s for 10,000 tokens over 256 tokens to come is 5 ms each.
  const misses = () => {
    const { harmMisses, likelyMisses } = predictor.predict(world.facts({ promptTokens: 10_000 }), all, 2);
    return [harmMisses[0], likelyMisses[0]];
  };
  const prediction = runs(world, 9);
  const [harm, likely] = misses();
  ok(harm > 0.3 && likely >= harm && likely <= 1, `${harm}, ${likely}`);
  prediction.firstToken(10);
  clock.advance(10 + 1000 * 6);
  const [later] = misses();
  ok(later < harm / 2, `${later} after ${harm}`);
  prediction.release();
  deepStrictEqual(misses(), [0, 0]);
  equal(state.tpotSlos(0), 0);
});

Deno.test("misses are counted of each request of one's own and of others' by their strictest target", () => {
  const world = new TestWorld().believed();
  const { predictor, state } = world;
  const misses = () => predictor.predict(world.facts({ promptTokens: 10_000 }), all, 2).harmMisses[0];
  runs(world, 9);
  const one = misses();
  runs(world, 9);
  near(misses(), 2 * one);
  // Nobody's target is in danger but theirs.
  runs(world, 5000);
  near(misses(), 2 * one);
  // What the other isolates run is as if it had just begun.
  const foreign = new TestWorld().believed();
  foreign.state.sloCells(0).count[0] = 3;
  foreign.state.sloCells(0).strictestMs[0] = 9;
  const alone = foreign.predictor.predict(foreign.facts({ promptTokens: 10_000 }), all, 2).harmMisses[0];
  near(alone, 3 * one);
  equal(state.tpotSlos(0), 3);
});

Deno.test("likelyMisses counts those that would miss anyway, harmMisses those that would for this request", () => {
  const world = new TestWorld().believed();
  runs(world, 7);
  // Others came after it, until none of them could meet such a target.
  world.table.running[0] = 60;
  const { harmMisses, likelyMisses } = world.predictor.predict(world.facts({ promptTokens: 10 }), all, 2);
  ok(likelyMisses[0] > 0.95 && harmMisses[0] < 0.05, `${likelyMisses[0]}, ${harmMisses[0]}`);
  deepStrictEqual([harmMisses[1], likelyMisses[1]], [0, 0]);
});

Deno.test("a target that cannot be had keeps nobody else from an endpoint", () => {
  const world = new TestWorld().believed();
  runs(world, 0.01);
  const { meets, likelyMisses, tpotHeadroomMs } = world.predictor.predict(
    world.facts({ slo: { tpotMs: 100 } }),
    all,
    2,
  );
  ok(meets[0] > 0.95 && likelyMisses[0] === 0, `${meets[0]}, ${likelyMisses[0]}`);
  ok(tpotHeadroomMs[0] > 80, `${tpotHeadroomMs[0]}`);
});

Deno.test("what is ahead of a request is what was sent there and not computed since, whoever tells no first byte", () => {
  const world = new TestWorld();
  const { predictor, clock, table } = world;
  const send = (promptTokens: number) => {
    const facts = world.facts({ promptTokens });
    predictor.predict(facts, all, 2);
    predictor.chosen(facts, 0);
    const { told } = predictor.take()!;
    table.prefillTokens[0] += promptTokens;
    return told.input.workTokens;
  };
  // 8 tokens a millisecond, by the guess.
  equal(send(1000), 1000);
  near(send(1000), 2000);
  clock.advance(125);
  near(send(1000), 2000);
  clock.advance(10_000);
  near(send(1000), 1000);
  // Never more than what has no first byte.
  table.prefillTokens[0] = 0;
  near(send(1000), 1000);
});

Deno.test("refused() tells what the request would have come to where it misses its targets least, once", () => {
  const world = new TestWorld();
  const { predictor, clock, table, told } = world;
  clock.advance(200);
  table.running.set([200, 3]);
  const facts = world.facts({ receivedAtMs: 100, slo: { ttftMs: 50, tpotMs: 2 } });
  const { ttftHighMs, tpotHighMs } = predictor.predict(facts, all, 2);
  predictor.refused(facts.view);
  predictor.refused(facts.view);
  deepStrictEqual(told, [{ kind: latencyRecords.slo, numbers: [(100 + ttftHighMs[1]) / 50, tpotHighMs[1] / 2] }]);
  // Of another request, or of one without targets, nothing is told.
  predictor.predict(world.facts(), all, 2);
  predictor.refused(facts.view);
  equal(told.length, 1);
});

Deno.test("harmMs is the time that its prompt takes from those that are there and those to come", () => {
  const world = new TestWorld();
  world.table.running[1] = 4;
  const { harmMs } = world.predictor.predict(world.facts({ maxOutputTokens: 100 }), all, 2);
  // 125 ms of prompt; two come meanwhile.
  near(harmMs[0], 125 * 2, 1e-5);
  near(harmMs[1], 125 * 6, 1e-5);
});

Deno.test("what is known is of the slots of the last prediction alone", () => {
  const world = new TestWorld({ endpoints: 3 });
  const { predictor } = world;
  const known = (...slots: number[]) => [
    ...predictor.predict(world.facts(), Uint16Array.from(slots), slots.length).known.subarray(0, 3),
  ];
  deepStrictEqual(known(0, 1, 2), [1, 1, 1]);
  deepStrictEqual(known(2), [0, 0, 1]);
  deepStrictEqual(known(1, 0), [1, 1, 0]);
  deepStrictEqual(known(), [0, 0, 0]);
});

Deno.test("chosen() keeps what was predicted for the slot, and take() gives it once", () => {
  const world = new TestWorld();
  const { predictor, table } = world;
  promote(world, 0, { sums: (row) => [row[columnOf.get("num_request_running")!] / 100, 1] });
  table.running[1] = 7;
  const facts = world.facts({ slo: { tpotMs: 30 } });
  equal(predictor.take(), undefined);
  const view = predictor.predict(facts, all, 2);
  predictor.chosen(facts, 1);
  equal(world.forests.scorings, 1, "its row is there already");
  const prediction = predictor.take()!;
  equal(predictor.take(), undefined);
  const { told } = prediction;
  deepStrictEqual([told.slot, told.generation, told.tpotSloMs, told.model], [1, table.generation[1], 30, "base"]);
  deepStrictEqual([told.medianMs, told.highMs], [
    [view.ttftMs[1], view.tpotMs[1]],
    [view.ttftHighMs[1], view.tpotHighMs[1]],
  ]);
  deepStrictEqual(told.input, { workTokens: 1000, waitMs: 0, requests: 8, contextTokens: 1128 });
  deepStrictEqual(told.versions, [1, 0]);
  near(told.sums[0][0], 0.07, 1e-5);
  near(told.sums[0][1], 1, 1e-6);
  deepStrictEqual(told.sums[1], [0, 0]);
  equal(told.row.length, columns.length);
  equal(told.row[columnOf.get("num_request_running")!], 7);
  deepStrictEqual([prediction.ttftMs, prediction.tpotMs], [view.ttftMs[1], view.tpotMs[1]]);
});

Deno.test("chosen() predicts for a slot that was not predicted, or not for this request", () => {
  const world = new TestWorld({ endpoints: 3 });
  const { predictor, table } = world;
  table.running.set([1, 2, 3]);
  const running = columnOf.get("num_request_running")!;
  const facts = world.facts({ promptTokens: 500 });
  predictor.predict(facts, all, 2);
  predictor.chosen(facts, 2);
  let { told } = predictor.take()!;
  deepStrictEqual([told.slot, told.row[running], told.input.requests, told.input.workTokens], [2, 3, 4, 500]);
  near(told.medianMs[0], 20 + 500 / 8);

  predictor.predict(world.facts({ promptTokens: 9 }), all, 2);
  predictor.chosen(facts, 1);
  ({ told } = predictor.take()!);
  deepStrictEqual([told.slot, told.row[running], told.input.workTokens], [1, 2, 500]);

  // Placed again elsewhere: what is there now counts, not what was when it was placed first.
  predictor.predict(facts, all, 2);
  predictor.chosen(facts, 0);
  predictor.take();
  table.running[0] = 50;
  predictor.chosen(facts, 0);
  equal(predictor.take()!.told.row[running], 50);
});

Deno.test("take() counts the request among the TPOT targets of its endpoint, a choice that is not taken never", () => {
  const world = new TestWorld();
  const { predictor, state } = world;
  const choose = (slo: Slo) => {
    const facts = world.facts({ slo });
    predictor.predict(facts, all, 2);
    predictor.chosen(facts, 1);
  };
  choose({ tpotMs: 30 });
  equal(state.tpotSlos(1), 0);
  choose({ tpotMs: 20 });
  const prediction = predictor.take()!;
  deepStrictEqual([state.tpotSlos(1), state.strictestTpotMs(1)], [1, 20]);
  prediction.release();
  equal(state.tpotSlos(1), 0);
  choose({ ttftMs: 100 });
  predictor.take();
  equal(state.tpotSlos(1), 0);
});

Deno.test("a forest that is replaced in the middle of a prediction has no say in it", () => {
  const world = new TestWorld();
  const { forests, predictor, state, learner } = world;
  promote(world, 0, { sums: () => [1, 2] });
  // Another isolate's champion comes between the scoring and its reading.
  forests.onScore = () => {
    forests.onScore = undefined;
    promote(world, 0, { kind: ForestKind.LogMilliseconds, baseMargin: 3, sums: () => [3, 4] });
  };
  const facts = world.facts();
  const view = predictor.predict(facts, all, 2);
  near(view.ttftMs[0], 145);
  predictor.chosen(facts, 0);
  const { versions, sums } = predictor.take()!.told;
  deepStrictEqual([versions[0], sums[0]], [0, [0, 0]]);
  equal(state.source(0), Model);
  equal(learner.scores(0)[1].labels, 0);
  // The next one is whole again.
  predictor.predict(world.facts(), all, 2);
  near(view.ttftMs[0], Math.exp(6));
});

Deno.test("prefillMs() is not told before the prior is more than a guess", () => {
  const world = new TestWorld();
  for (let i = 0; i < 8; i++) {
    equal(world.predictor.prefillMs(0, 1000), undefined);
    world.label({ workTokens: 1000 * (i % 2), ms: 10 + 100 * (i % 2) });
  }
  near(world.predictor.prefillMs(0, 5000)!, 510, 0.2);
  ok(world.told.every(({ kind }) => kind !== latencyRecords.label));
});

Deno.test("what a request is expected to put out is its limit, or the mean of late where that is less", () => {
  const world = new TestWorld();
  const { predictor, state } = world;
  const e2e = (maxOutputTokens?: number) => predictor.predict(world.facts({ maxOutputTokens }), all, 2).e2eMs[0];
  near(e2e(11), 145 + 63.5);
  near(e2e(1), 145);
  state.outputTokens = 101;
  near(e2e(), 145 + 635);
  near(e2e(5000), 145 + 635);
});

Deno.test("another quantile counts from the next prediction on", () => {
  const world = new TestWorld().believed();
  const { predictor } = world;
  const meets = () => predictor.predict(world.facts({ slo: { ttftMs: 145 * Math.exp(0.4) } }), all, 2).meets[0];
  near(meets(), 0.9, 1e-5);
  predictor.options = { ...predictor.options, quantile: 0.99 };
  near(meets(), 0.99, 1e-5);
});

Deno.test("what was learned long ago refuses nobody an idle endpoint: one request at a time finds out", () => {
  const world = new TestWorld().believed();
  const { clock, table, predictor } = world;
  const facts = (ttftMs: number) => world.facts({ slo: { ttftMs }, receivedAtMs: clock.now() });
  const meets = (ttftMs = 1) => [...predictor.predict(facts(ttftMs), all, 2).meets.subarray(0, 2)];
  ok(meets().every((share) => share < 0.01), "1 ms is not to be had, and that was learned just now");
  clock.advance(5_001);
  deepStrictEqual(meets(), [1, 1]);
  predictor.chosen(facts(1), 0);
  predictor.take();
  table.requests[0] = 1;
  const [busy, idle] = meets();
  ok(busy < 0.01 && idle === 1, `${busy}, ${idle}`);
});

Deno.test("an endpoint busy with requests that tell of no first token is tried by a stream now and then", () => {
  const world = new TestWorld().believed();
  const { clock, table, predictor } = world;
  table.requests[0] = 20;
  const facts = (part: Partial<RequestView> = {}) =>
    world.facts({ slo: { ttftMs: 1 }, receivedAtMs: clock.now(), ...part });
  const meets = () => predictor.predict(facts(), all, 2).meets[0];
  const place = (part: Partial<RequestView> = {}) => {
    predictor.chosen(facts(part), 0);
    return predictor.take()!;
  };
  ok(meets() < 0.01, "1 ms is not to be had");
  for (let second = 0; second < 6; second++) {
    clock.advance(1_000);
    place({ stream: false, slo: {} }).completedWhole(900, 100);
    world.learn();
  }
  equal(meets(), 1, "of the time to the first token nothing was heard for six seconds");
  const trial = place();
  ok(meets() < 0.01, "one is on its way");
  clock.advance(4_000);
  trial.firstToken(4_000);
  world.learn();
  ok(meets() < 0.01, "it took long");
  clock.advance(5_001);
  equal(meets(), 1);
  place();
  clock.advance(5_000 + 60_000);
  equal(meets(), 1, "one that never tells holds up the next for a time only");
});

Deno.test("a request whose time is over is on no trial", () => {
  const world = new TestWorld().believed();
  world.clock.advance(10_000);
  deepStrictEqual([...world.predictor.predict(world.facts({ slo: { ttftMs: 1 } }), all, 2).meets.subarray(0, 2)], [
    0,
    0,
  ]);
});

Deno.test("a request that was granted a place is predicted as if it had none yet", () => {
  const world = new TestWorld().believed();
  const { table, predictor } = world;
  table.requestCapacity.fill(4);
  table.serviceMs.fill(8_000);
  table.requests.set([3, 3]);
  const told = (running: number, held?: number) => {
    const load = { waiting: table.waiting, kvUsage: table.kvUsage, running: Float64Array.of(running, 3) };
    const { ttftMs, tpotMs, harmMs } = predictor.predict({ ...world.facts(), load, held }, all, 2);
    return [0, 1].map((
      slot,
    ) => [ttftMs[slot], tpotMs[slot], harmMs[slot], ...world.forests.columns.map((c) => c[slot])]);
  };
  const without = told(3);
  // It is the fourth of four.
  table.requests[0] = 4;
  deepStrictEqual(told(4, 0), without);
  ok(told(4)[0][0] > without[0][0] + 1_000, "another one would have to wait");
  // Of those that a sample tells of it is none.
  equal(told(6, 0)[0][1], told(6)[0][1]);
});
