import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { ForestKind, High, LatencyState, Median, Model, Prior, sources } from "./state.ts";

Deno.test("two states over one buffer see each other's numbers, each in a place of its own", () => {
  const slots = 3, isolates = 2;
  const writer = new LatencyState(slots, isolates);
  equal(writer.buffer.byteLength, LatencyState.bytes(slots, isolates));
  const reader = new LatencyState(slots, isolates, writer.buffer);
  let next = 1;
  const expected: number[] = [], read: (() => number)[] = [];
  const put = (write: (value: number) => void, get: () => number) => {
    write(next);
    expected.push(next++);
    read.push(get);
  };
  for (const target of [0, 1]) {
    for (const source of [Prior, Model] as const) {
      for (const quantile of [Median, High]) {
        put(
          (value) => writer.setOffset(target, source, quantile, value),
          () => reader.offset(target, source, quantile),
        );
      }
      for (let slot = 0; slot < slots; slot++) {
        put((value) => writer.bias(target, source)[slot] = value, () => reader.bias(target, source)[slot]);
      }
    }
  }
  put((value) => writer.outputTokens = value, () => reader.outputTokens);
  const columns = ["ttftBaseMs", "ttftTokenMs", "tpotBaseMs", "tpotRequestMs", "tpotTokenMs"] as const;
  for (const name of columns) {
    for (let slot = 0; slot < slots; slot++) {
      put((value) => writer[name][slot] = value, () => reader[name][slot]);
    }
  }
  for (let isolate = 0; isolate < isolates; isolate++) {
    for (let slot = 0; slot < slots; slot++) {
      for (const name of ["strictestMs", "count"] as const) {
        put((value) => writer.sloCells(isolate)[name][slot] = value, () => reader.sloCells(isolate)[name][slot]);
      }
    }
  }
  // Last: a place used twice would show the later of two.
  deepStrictEqual(read.map((get) => get()), expected);

  writer.setSource(1, Model);
  writer.setKind(0, ForestKind.LogMilliseconds);
  writer.labelled(1, 0, 7);
  deepStrictEqual([reader.source(0), reader.source(1)], [Prior, Model]);
  deepStrictEqual([reader.kind(0), reader.kind(1)], [ForestKind.LogMilliseconds, ForestKind.Residual]);
  deepStrictEqual([reader.labels(0), reader.labels(1)], [0, 1]);
  deepStrictEqual([sources[Prior], sources[Model]], ["prior", "model"]);
});

Deno.test("a new state guesses a spread and an output length, and nothing else; one that is joined writes nothing", () => {
  const state = new LatencyState(1, 1);
  deepStrictEqual([state.offset(0, Prior, Median), state.offset(1, Model, High), state.outputTokens], [0, 0.4, 256]);
  state.outputTokens = 90;
  new LatencyState(1, 1, state.buffer);
  equal(state.outputTokens, 90);
});

Deno.test("prefillPerS() is the rate of late: it comes up to a steady rate, and fades with ten seconds", () => {
  const state = new LatencyState(2, 1);
  equal(state.prefillPerS(0, 5), 0);
  for (let ms = 0; ms <= 60_000; ms += 100) state.prefilled(0, 50, ms);
  ok(Math.abs(state.prefillPerS(0, 60_000) - 500) < 10, `${state.prefillPerS(0, 60_000)}`);
  ok(Math.abs(state.prefillPerS(0, 70_000) * Math.E - state.prefillPerS(0, 60_000)) < 1e-9);
  // An edge's clock may be a millisecond behind.
  equal(state.prefillPerS(0, 59_999), state.prefillPerS(0, 60_000));
  equal(state.prefillPerS(1, 60_000), 0);
  state.bias(0, Prior)[0] = state.bias(1, Model)[0] = 1;
  state.reset(0);
  deepStrictEqual([state.prefillPerS(0, 60_000), state.bias(0, Prior)[0], state.bias(1, Model)[0]], [0, 0, 0]);
});

Deno.test("leftTokens() is what an endpoint was sent less what it computed since, at its pace, one prompt behind the other", () => {
  const state = new LatencyState(2, 1);
  state.ttftTokenMs.fill(0.5);
  equal(state.leftTokens(0, 1000), 0);
  state.sent(0, 400, 1000);
  state.sent(0, 200, 1000);
  deepStrictEqual([0, 100, 300, 301].map((ms) => state.leftTokens(0, 1000 + ms)), [600, 400, 0, 0]);
  equal(state.leftTokens(1, 1000), 0);
  // Idle since: it begins with what comes now.
  state.sent(0, 100, 5000);
  equal(state.leftTokens(0, 5000), 100);
  // What is left is time: at twice the pace it is twice the tokens.
  state.ttftTokenMs[0] = 0.25;
  equal(state.leftTokens(0, 5000), 200);
  state.reset(0);
  equal(state.leftTokens(0, 5000), 0);
});

Deno.test("leftTokens() does not say that nothing is left where no pace is known", () => {
  const state = new LatencyState(1, 1);
  state.sent(0, 400, 1000);
  equal(state.leftTokens(0, 1000), Infinity);
});

Deno.test("the strictest TPOT target and how many there are is that of all isolates, until one is gone", () => {
  const cell = fc.record({
    isolate: fc.nat(2),
    slot: fc.nat(1),
    ms: fc.integer({ min: 1, max: 100 }),
    count: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(fc.property(fc.array(cell, { maxLength: 6 }), fc.nat(2), (cells, gone) => {
    const state = new LatencyState(2, 3);
    const last = new Map<string, typeof cells[number]>();
    for (const each of cells) {
      state.sloCells(each.isolate).strictestMs[each.slot] = each.ms;
      state.sloCells(each.isolate).count[each.slot] = each.count;
      last.set(`${each.isolate} ${each.slot}`, each);
    }
    const check = (present: typeof cells) => {
      for (const slot of [0, 1]) {
        const there = present.filter((each) => each.slot === slot);
        equal(state.strictestTpotMs(slot), there.length === 0 ? 0 : Math.min(...there.map(({ ms }) => ms)));
        equal(state.tpotSlos(slot), there.reduce((sum, { count }) => sum + count, 0));
      }
    };
    check([...last.values()]);
    state.releaseIsolate(gone);
    check([...last.values()].filter(({ isolate }) => isolate !== gone));
  }));
});
