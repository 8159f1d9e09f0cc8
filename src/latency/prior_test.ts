import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { testTable } from "./latency_testing.ts";
import { PriorFits, type PriorInput, priorTpotMs, priorTtftMs, waitMs } from "./prior.ts";
import { LatencyState } from "./state.ts";

const idle: PriorInput = { workTokens: 0, waitMs: 0, requests: 1, contextTokens: 0 };

function near(actual: number, expected: number, share: number): void {
  ok(Math.abs(actual - expected) <= share * expected, `${actual} is not ${expected}`);
}

/** Labels of an engine with these figures at a slot, below 2,000 tokens of work and 20 requests. */
function teach(
  fits: PriorFits,
  slot: number,
  { labels = 200, baseMs = 15, tokenMs = 0.05, stepMs = 5, requestMs = 0.2, contextMs = 0.0002, seed = 1 } = {},
): void {
  const rng = new Prng(seed);
  for (let i = 0; i < labels; i++) {
    const workTokens = rng.below(2000), requests = 1 + rng.below(20);
    const contextTokens = requests * 200 + rng.below(20_000);
    const input = { workTokens, waitMs: 0, requests, contextTokens };
    fits.ttft(slot, input, baseMs + tokenMs * workTokens);
    fits.tpot(slot, input, stepMs + requestMs * requests + contextMs * contextTokens);
  }
}

Deno.test("the prior goes on in a line beyond any load that was seen", () => {
  const state = new LatencyState(2, 1), fits = new PriorFits(state);
  teach(fits, 0);
  near(priorTtftMs(state, 0, { ...idle, workTokens: 200_000 }), 15 + 0.05 * 200_000, 0.03);
  near(priorTpotMs(state, 0, { ...idle, requests: 400, contextTokens: 900_000 }), 5 + 0.2 * 400 + 180, 0.05);
  equal(priorTtftMs(state, 0, { ...idle, waitMs: 5000 }) - priorTtftMs(state, 0, idle), 5000);
});

Deno.test("before any label the prior is a guess that orders endpoints by their work", () => {
  const state = new LatencyState(2, 1);
  new PriorFits(state);
  near(priorTtftMs(state, 0, { ...idle, workTokens: 4000 }), 520, 1e-6);
  near(priorTpotMs(state, 1, { ...idle, requests: 64 }), 28.4, 1e-6);
});

Deno.test("what the pool does stands in for an endpoint without labels, one that was there before as well", () => {
  const state = new LatencyState(3, 1), fits = new PriorFits(state);
  teach(fits, 0);
  const busy = { workTokens: 1500, waitMs: 0, requests: 10, contextTokens: 9000 };
  for (const slot of [1, 2]) {
    if (slot === 2) fits.reset(2);
    near(priorTtftMs(state, slot, busy), 15 + 0.05 * 1500, 0.03);
    near(priorTpotMs(state, slot, busy), 5 + 0.2 * 10 + 0.0002 * 9000, 0.05);
    near(priorTtftMs(state, slot, busy), fits.pool(0, busy), 1e-9);
    near(priorTpotMs(state, slot, busy), fits.pool(1, busy), 1e-9);
  }
});

Deno.test("an endpoint's own labels outweigh the pool's, and are forgotten with the endpoint", () => {
  const state = new LatencyState(2, 1), fits = new PriorFits(state);
  teach(fits, 0);
  teach(fits, 1, { baseMs: 60, tokenMs: 0.4, seed: 2 });
  const work = { ...idle, workTokens: 1000 };
  near(priorTtftMs(state, 0, work), 65, 0.15);
  near(priorTtftMs(state, 1, work), 460, 0.15);
  const known = priorTtftMs(state, 0, work);
  fits.reset(1);
  equal(priorTtftMs(state, 0, work), known);
  near(priorTtftMs(state, 1, work), fits.pool(0, work), 1e-9);
});

Deno.test("what an endpoint was waited for is not taken for computing", () => {
  const state = new LatencyState(1, 1), fits = new PriorFits(state);
  for (let i = 0; i < 200; i++) {
    const waitMs = 1000 * (i % 3), workTokens = 100 * (i % 17);
    fits.ttft(0, { ...idle, workTokens, waitMs }, waitMs + 20 + 0.1 * workTokens);
  }
  near(priorTtftMs(state, 0, { ...idle, workTokens: 1000 }), 120, 0.3);
});

Deno.test("the prior is about the middle of labels that scatter by a factor of two", () => {
  const state = new LatencyState(1, 1), fits = new PriorFits(state), rng = new Prng(9);
  const share: number[] = [];
  for (let i = 0; i < 2000; i++) {
    const workTokens = rng.below(4000), ms = (30 + 0.1 * workTokens) * Math.exp(rng.normal(0, 0.7));
    fits.ttft(0, { ...idle, workTokens }, ms);
    if (i > 200) share.push(priorTtftMs(state, 0, { ...idle, workTokens: 2000 }) / 230);
  }
  const mean = share.reduce((sum, value) => sum + value, 0) / share.length;
  ok(mean > 0.75 && mean < 1.2, `${mean} of the median`);
});

Deno.test("one label of next to no time does not sweep away what is known", () => {
  const state = new LatencyState(1, 1), fits = new PriorFits(state);
  teach(fits, 0);
  const busy = { workTokens: 1500, waitMs: 0, requests: 10, contextTokens: 9000 };
  const ttft = priorTtftMs(state, 0, busy), tpot = priorTpotMs(state, 0, busy);
  // A whole answer that came in one read.
  fits.tpot(0, busy, 1e-4);
  fits.ttft(0, busy, 1e-3);
  ok(priorTtftMs(state, 0, busy) > ttft / 3, `${priorTtftMs(state, 0, busy)} of ${ttft}`);
  ok(priorTpotMs(state, 0, busy) > tpot / 3, `${priorTpotMs(state, 0, busy)} of ${tpot}`);
  // An engine that is so much faster is believed all the same.
  teach(fits, 0, { baseMs: 2, tokenMs: 0.006, stepMs: 0.5, requestMs: 0.02, contextMs: 0, labels: 500 });
  near(priorTtftMs(state, 0, busy), 2 + 0.006 * 1500, 0.2);
});

Deno.test("waitMs() is 0 while there is room or nothing is known, then grows with each request beyond it", () => {
  const table = testTable(1), state = new LatencyState(1, 1);
  new PriorFits(state);
  state.outputTokens = 100;
  const at = (requests: number, foreign = 0) => {
    table.requests[0] = requests;
    table.foreign[0] = foreign;
    return waitMs(table, state, 0);
  };
  table.serviceMs[0] = 8000;
  equal(at(1000), 0, "no capacity is known");
  table.requestCapacity[0] = 16;
  deepStrictEqual([at(0), at(15), at(16), at(18), at(10, 7)], [0, 0, 500, 1500, 1000]);
  table.serviceMs[0] = NaN;
  near(at(16), 100 * (6 + 0.35 * 16) / 16, 1e-6);
  table.serviceMs[0] = 8000;
  table.requestCapacity[0] = 0;
  deepStrictEqual([at(0), at(2)], [8000, 24_000], "an endpoint that takes nobody ends one at a time");
});

Deno.test("the prior never falls as the load grows, whatever was learned", () => {
  const label = fc.record({
    workTokens: fc.nat(50_000),
    waitMs: fc.constantFrom(0, 200),
    requests: fc.integer({ min: 1, max: 300 }),
    contextTokens: fc.nat(500_000),
    ms: fc.double({ min: 0.01, max: 1e6, noNaN: true }),
  });
  const load = fc.record({
    workTokens: fc.nat(1e6),
    waitMs: fc.nat(1e5),
    requests: fc.nat(1000),
    contextTokens: fc.nat(1e7),
  });
  fc.assert(fc.property(fc.array(label, { maxLength: 30 }), load, load, (labels, at, more) => {
    const state = new LatencyState(1, 1), fits = new PriorFits(state);
    for (const { ms, ...input } of labels) {
      fits.ttft(0, input, ms);
      fits.tpot(0, input, ms);
    }
    const loaded = {
      workTokens: at.workTokens + more.workTokens,
      waitMs: at.waitMs + more.waitMs,
      requests: at.requests + more.requests,
      contextTokens: at.contextTokens + more.contextTokens,
    };
    for (const prior of [priorTtftMs, priorTpotMs]) {
      const before = prior(state, 0, at), after = prior(state, 0, loaded);
      ok(before > 0 && Number.isFinite(after) && after >= before, `${before}, then ${after}`);
    }
  }));
});

Deno.test("what was fitted is taken over by another life, and nothing that is no fit", () => {
  const state = new LatencyState(2, 1), fits = new PriorFits(state);
  teach(fits, 0);
  const next = new LatencyState(2, 1), heir = new PriorFits(next);
  heir.restorePool(fits.dumpPool());
  near(priorTtftMs(next, 1, { ...idle, workTokens: 1500 }), 90, 0.03);
  heir.restore(0, fits.dump(0));
  near(next.ttftTokenMs[0], state.ttftTokenMs[0], 1e-3);
  deepStrictEqual(heir.dump(0), fits.dump(0));
  heir.restore(0, new PriorFits(new LatencyState(1, 1)).dump(0));
  near(priorTtftMs(next, 0, { ...idle, workTokens: 1500 }), heir.pool(0, { ...idle, workTokens: 1500 }), 1e-9);

  const before = [next.ttftBaseMs[0], next.ttftTokenMs[0], next.tpotBaseMs[0], next.tpotRequestMs[0]];
  for (const hostile of [[], new Array(7).fill(-1), new Array(13).fill(NaN), [1, 9, 9, 1, 0, 0, 1]]) {
    heir.restorePool({ ttft: hostile, tpot: hostile });
    heir.restore(0, { ttft: hostile, tpot: hostile });
  }
  deepStrictEqual([next.ttftBaseMs[0], next.ttftTokenMs[0], next.tpotBaseMs[0], next.tpotRequestMs[0]], before);
});
