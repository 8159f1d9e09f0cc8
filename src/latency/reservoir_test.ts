import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { columns } from "./features.ts";
import { testRow } from "./latency_testing.ts";
import { Reservoir } from "./reservoir.ts";

const names = [...columns];

/** A row of some tokens to compute at some load; the label says which it was. */
const row = (tokens: number, running = 0, waiting = 0) =>
  testRow({ effective_input_tokens: tokens, num_request_running: running, num_request_waiting: waiting });

Deno.test("Reservoir keeps all it was given while there is room, every column, and gives copies", () => {
  const reservoir = new Reservoir(50, new Prng(1));
  const given = Array.from({ length: 30 }, (_, i) => ({ row: columns.map((_, c) => i * 100 + c), label: i / 10 }));
  for (const { row, label } of given) reservoir.add(row, label, 5);
  const all = reservoir.rows(names);
  equal(all.rows, 30);
  deepStrictEqual(all.columns.map((column) => [...column]), columns.map((_, c) => given.map(({ row }) => row[c])));
  deepStrictEqual([...all.labels], [...Float32Array.from(given, ({ label }) => label)]);
  const [one] = reservoir.rows(["num_request_running"]).columns;
  deepStrictEqual([...one], given.map(({ row }) => row[columns.indexOf("num_request_running")]));
  for (const column of [...all.columns, all.labels, all.weights]) column.fill(-1);
  deepStrictEqual([...reservoir.rows(names).labels], [...Float32Array.from(given, ({ label }) => label)]);
});

Deno.test("Reservoir is bounded and its weights are positive and finite, whatever comes and however old it is", () => {
  const step = fc.record({
    tokens: fc.oneof(fc.nat(300_000), fc.constantFrom(NaN, -5, -1e9, Infinity, 1e300)),
    running: fc.oneof(fc.nat(300), fc.constantFrom(NaN, -3)),
    waiting: fc.oneof(fc.nat(3), fc.constant(NaN)),
    passedMs: fc.oneof(fc.nat(10_000), fc.constantFrom(30 * 24 * 3600_000, -5000)),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const reservoir = new Reservoir(20, new Prng(2));
    let nowMs = 0;
    for (const { tokens, running, waiting, passedMs } of steps) {
      nowMs += passedMs;
      reservoir.add(row(tokens, running, waiting), 1, nowMs);
    }
    equal(reservoir.size, Math.min(20, steps.length));
    equal(reservoir.added, steps.length);
    const { rows, weights, labels, columns } = reservoir.rows(names);
    equal(rows, reservoir.size);
    ok([labels, ...columns].every((column) => column.length === rows));
    ok(weights.every((weight) => weight > 0 && weight <= 8), `${weights}`);
  }));
});

Deno.test("rare situations survive a flood of common ones", () => {
  const reservoir = new Reservoir(200, new Prng(3));
  for (let i = 0; i < 10; i++) reservoir.add(row(60_000, 40, 3), 7, i);
  for (let i = 0; i < 20_000; i++) reservoir.add(row(100, 1), 1, 10 + i);
  const { labels, weights } = reservoir.rows(names);
  const rare = [...labels].flatMap((label, i) => label === 7 ? [i] : []);
  equal(rare.length, 10);
  // They stand for few requests: they count, and less than the others each.
  const common = [...labels].findIndex((label) => label === 1);
  ok(rare.every((at) => weights[at] < weights[common] && weights[at] > weights[common] / 8));
});

Deno.test("a full stratum's newer rows displace its older ones", () => {
  const reservoir = new Reservoir(300, new Prng(4));
  for (let i = 0; i < 3000; i++) reservoir.add(row(100), 1, i);
  const ages: number[] = [];
  reservoir.each((_row, _label, atMs) => ages.push(3000 - atMs));
  equal(ages.length, 300);
  const mean = ages.reduce((sum, age) => sum + age, 0) / 300;
  // Kept at random their mean age were 1,500; the last 300 alone, 150.
  ok(mean < 400, `${mean}`);
});

Deno.test("newer rows count more: half as much after a quarter of an hour, and little, not nothing, after a day", () => {
  const reservoir = new Reservoir(10, new Prng(5));
  const minute = 60_000;
  for (const at of [0, 24 * 60 - 15, 24 * 60]) reservoir.add(row(100), at, at * minute);
  const { labels, weights } = reservoir.rows(names);
  const [oldest, older, newest] = [0, 24 * 60 - 15, 24 * 60].map((label) => weights[labels.indexOf(label)]);
  // A night without requests tells nothing: the newest counts in full, whenever it is asked.
  equal(newest, 1);
  ok(Math.abs(older - 0.5) < 1e-6, `${older}`);
  ok(oldest > 0 && oldest < 1 / 100, `${oldest}`);
});

Deno.test("rows() gives them in order of time where that is asked, labels and weights with their rows", () => {
  const reservoir = new Reservoir(60, new Prng(9));
  for (let i = 0; i < 500; i++) reservoir.add(row(i % 7 * 900, i % 5), i, i * 60_000);
  const loose = reservoir.rows(names), ordered = reservoir.rows(names, true);
  const lines = ({ rows, columns, labels, weights }: typeof loose) =>
    Array.from({ length: rows }, (_, i) => [labels[i], weights[i], ...columns.map((column) => column[i])]);
  const byTime = lines(ordered);
  deepStrictEqual(byTime.map(([label]) => label), [...loose.labels].sort((a, b) => a - b));
  deepStrictEqual(byTime, lines(loose).sort(([a], [b]) => a - b));
  ok([...loose.labels].some((label, i) => label !== ordered.labels[i]), "they lie otherwise");
});

Deno.test("each() gives whole rows, oldest first, so that a reservoir filled from them is about the same", () => {
  const reservoir = new Reservoir(40, new Prng(6)), copy = new Reservoir(40, new Prng(7));
  for (let i = 0; i < 500; i++) reservoir.add(row(i % 5 * 1000, i % 7), i, i);
  const times: number[] = [];
  reservoir.each((row, label, atMs) => {
    equal(row.length, columns.length);
    times.push(atMs);
    copy.add(row, label, atMs);
  });
  deepStrictEqual(times, times.toSorted((a, b) => a - b));
  const sorted = (reservoir: Reservoir) => [...reservoir.rows(names).labels].sort((a, b) => a - b);
  deepStrictEqual(sorted(copy), sorted(reservoir));
});
