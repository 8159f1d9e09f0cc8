import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { bandDefaults, type FairnessConfig, programAwareDefaults, vtcDefaults } from "../config/mod.ts";
import { Prng } from "../core/mod.ts";
import { FlowBed, type FlowChanges } from "./flow_testing.ts";

const full = (fairness: FairnessConfig, changes: FlowChanges = {}) =>
  new FlowBed([1], { defaultBand: { ...bandDefaults, fairness }, ...changes }).fill();

/** Tenants in the order in which their requests are served. */
function turns(bed: FlowBed, tenants: string): string {
  const of = new Map<number, string>();
  for (const tenant of tenants) {
    bed.clock.advance(1);
    of.set(bed.ask({ tenant }), tenant);
  }
  return bed.drain().map((id) => of.get(id)).join("");
}

Deno.test("global-strict knows no tenants", () => {
  equal(turns(full({ policy: "global-strict" }), "aaabbac"), "aaabbac");
});

Deno.test("round-robin gives each tenant one request in turn", () => {
  equal(turns(full({ policy: "round-robin" }), "aaabbac"), "abcabaa");
});

Deno.test("round-robin puts whoever begins to wait at the end of the round: new names gain nothing", () => {
  const bed = full({ policy: "round-robin" });
  const [first, ...rest] = bed.asks(3, { tenant: "a" });
  const names: number[] = [];
  bed.ask({ tenant: "b" });
  for (let i = 0; i < 3; i++) {
    bed.done(0);
    names.push(bed.ask({ tenant: `new ${i}` }));
  }
  deepStrictEqual(bed.served, [first, 4, rest[0]]);
  deepStrictEqual(bed.drain(), [names[0], names[1], rest[1], names[2]]);
});

Deno.test("round-robin serves one tenant's lanes by arrival", () => {
  const bed = full({ policy: "round-robin" });
  const order = ["b", "a", "a", "b"].map((lane) => bed.ask({ lane }));
  bed.clock.advance(1);
  order.push(bed.ask({ lane: "a" }));
  deepStrictEqual(bed.drain(), order);
});

Deno.test("vtc serves whoever got the fewest weighted tokens, output twice as dear", () => {
  const bed = full(vtcDefaults);
  const big = bed.asks(3, { tenant: "big", promptTokens: 100, outputTokens: 50 });
  const small = bed.asks(6, { tenant: "small", promptTokens: 50 });
  // 200 to 50: after the first of each, four of the small ones before the next big one.
  deepStrictEqual(bed.drain(), [big[0], ...small.slice(0, 4), big[1], ...small.slice(4), big[2]]);
});

Deno.test("vtc gives by weight", () => {
  const bed = full(vtcDefaults, { tenants: { gold: { weight: 3 } } });
  bed.asks(80, { tenant: "gold" });
  bed.asks(80, { tenant: "iron" });
  bed.done(0, 80);
  const gold = bed.served.filter((id) => id <= 80).length;
  ok(Math.abs(gold - 60) <= 1, `${gold} of 80`);
});

Deno.test("vtc lifts whoever comes back to where the others are, and keeps what it owes", () => {
  const bed = full(vtcDefaults);
  bed.asks(10, { tenant: "busy" });
  bed.done(0, 6);
  const back = bed.asks(4, { tenant: "idle" });
  bed.done(0, 4);
  deepStrictEqual(bed.served.slice(6).filter((id) => back.includes(id)).length, 2, "in turns from now on");
  const heavy = bed.asks(2, { tenant: "heavy", promptTokens: 1000 });
  bed.drain();
  bed.ask({ tenant: "busy" });
  const again = bed.ask({ tenant: "heavy" });
  deepStrictEqual([heavy.every((id) => bed.served.includes(id)), bed.drain().at(-1)], [true, again]);
});

Deno.test("vtc: what a request used beyond what was assumed is charged when it has ended", () => {
  const bed = full(vtcDefaults);
  const [a, b] = ["a", "b"].map((tenant) => bed.asks(4, { tenant }));
  bed.done(0, 2);
  bed.flow.settle(bed.account(a[0]), 0, 10);
  bed.flow.settle(999, 0, 10);
  bed.done(0, 3);
  deepStrictEqual(bed.served, [a[0], b[0], b[1], b[2], a[1]]);
  bed.flow.settle(bed.account(a[0]), -40, 0);
  deepStrictEqual(bed.drain(), [a[2], a[3], b[3]]);
});

interface Program {
  readonly name: string;
  readonly enqueuedAtMs: number;
}

/** As llm-d has it: min-max over those that wait, 0.5 where all are equal; its service decays to the moment of the pick. */
function scores(waiting: readonly Program[], service: (name: string) => number, nowMs: number): Map<string, number> {
  const scaled = (values: number[]) => {
    const least = Math.min(...values), span = Math.max(...values) - least;
    return values.map((value) => span > 0 ? (value - least) / span : 0.5);
  };
  const services = scaled(waiting.map(({ name }) => service(name)));
  const waits = scaled(waiting.map(({ enqueuedAtMs }) => nowMs - enqueuedAtMs));
  return new Map(waiting.map(({ name }, i) => [name, 0.8 * (1 - services[i]) + 0.2 * waits[i]]));
}

Deno.test("program-aware serves the best score of llm-d's formula, service halving every half-life", () => {
  for (const halfLifeMs of [0, 100, 60_000]) {
    const prng = new Prng(halfLifeMs + 1);
    const bed = full({ ...programAwareDefaults, halfLifeMs });
    const service = new Map<string, { tokens: number; atMs: number }>();
    const decayed = (name: string) => {
      const { tokens, atMs } = service.get(name) ?? { tokens: 0, atMs: 0 };
      return halfLifeMs === 0 ? tokens : tokens * 2 ** ((atMs - bed.clock.now()) / halfLifeMs);
    };
    const waiting = new Map<number, Program & { tokens: number }>();
    for (let i = 0; i < 400; i++) {
      bed.clock.advance(1 + prng.below(20));
      const name = `p${prng.below(6)}`, promptTokens = prng.below(500), outputTokens = prng.below(100);
      const id = bed.ask({ tenant: name, promptTokens, outputTokens });
      waiting.set(id, { name, enqueuedAtMs: bed.clock.now(), tokens: promptTokens + 2 * outputTokens });
      if (i < 20 || i % 8 === 7) continue;
      const heads = [...waiting.values()].filter((one, i, all) => all.findIndex(({ name }) => name === one.name) === i);
      const expected = scores(heads, decayed, bed.clock.now());
      bed.done(0);
      const served = bed.served.at(-1)!;
      const { name: chosen, tokens } = waiting.get(served)!;
      const best = Math.max(...expected.values());
      ok(expected.get(chosen)! > best - 1e-9, `${chosen} has ${expected.get(chosen)}, the best ${best}`);
      waiting.delete(served);
      service.set(chosen, { tokens: decayed(chosen) + tokens, atMs: bed.clock.now() });
    }
  }
});

Deno.test("program-aware: service never falls below nothing, and equal scores go by arrival", () => {
  const bed = full(programAwareDefaults);
  const [a, b] = ["a", "b"].map((tenant) => bed.asks(2, { tenant, promptTokens: 10 }));
  bed.done(0);
  bed.flow.settle(bed.account(a[0]), -1000, 0);
  deepStrictEqual([a[0], ...bed.drain()], [...a, ...b]);
});

Deno.test("another policy counts for a model as soon as none of its requests waits, a weight at once", () => {
  const bed = full({ policy: "global-strict" }, { tenants: { a: { weight: 1 } } });
  equal(turns(bed, "aabb"), "aabb");
  bed.asks(2, { tenant: "a" });
  const { config } = bed.flow;
  bed.flow.use({ ...config, defaultBand: { ...bandDefaults, fairness: { policy: "round-robin" } } }, []);
  equal(turns(bed, "bb").slice(-2), "bb");
  equal(turns(bed, "aabb"), "abab");
  bed.flow.use({ ...config, defaultBand: bandDefaults }, []);
  const served = (weight: number) => {
    bed.flow.use({ ...bed.flow.config, tenants: { a: { weight } } }, []);
    const from = bed.served.length;
    bed.done(0, 40);
    return bed.served.slice(from).filter((id) => (id - first) % 2 === 0).length;
  };
  const first = bed.ask({ tenant: "a" });
  for (let i = 0; i < 100; i++) bed.ask({ tenant: i % 2 ? "a" : "b" });
  const even = served(1), heavy = served(3);
  ok(Math.abs(even - 20) <= 1 && Math.abs(heavy - 30) <= 1, `${even}, ${heavy} of 40`);
});
