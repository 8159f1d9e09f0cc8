/** What holds of flow control whatever happens, in virtual time and over many seeds. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { bandDefaults, orderings, vtcDefaults } from "../config/mod.ts";
import { Prng } from "../core/mod.ts";
import { FlowBed } from "./flow_testing.ts";
import { flowEnds } from "./types.ts";
import { World } from "./world_testing.ts";

Deno.test("every request is answered once, none waits that could go, none goes before a higher one, and nothing is left", () => {
  const ends = new Map<string, number>();
  for (let seed = 1; seed <= 1500; seed++) {
    const world = new World(seed, ends);
    try {
      for (let step = 0; step < 200; step++) {
        world.step();
        world.check();
      }
      world.end();
    } catch (error) {
      throw new Error(`Seed ${seed}, after ${world.asked} requests`, { cause: error });
    }
  }
  for (const end of flowEnds) ok(end === "RejectedOther" || ends.get(end)! > 500, `${end}: ${ends.get(end)}`);
});

Deno.test("global-strict serves a band in its order whatever tenant, lane and end of others", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const prng = new Prng(seed), ordering = orderings[seed % orderings.length];
    const bed = new FlowBed([1], { defaultBand: { ...bandDefaults, ordering, fairness: { policy: "global-strict" } } })
      .fill();
    const waiting = new Map<number, readonly [key: number, atMs: number]>();
    for (let i = 0; i < 120; i++) {
      bed.clock.advance(prng.below(3));
      const nowMs = bed.clock.now(), receivedAtMs = nowMs - prng.below(20);
      const ttlMs = 1000 + prng.below(1000), ttftMs = prng.below(100), serviceMs = prng.below(50);
      const id = bed.ask({
        tenant: `t${prng.below(4)}`,
        lane: `l${prng.below(2)}`,
        receivedAtMs,
        ttlMs,
        ttftMs,
        serviceMs,
      });
      const keys = { fcfs: 0, edf: nowMs + ttlMs, "slo-deadline": receivedAtMs + ttftMs, "least-laxity": 0 };
      keys["least-laxity"] = keys["slo-deadline"] - serviceMs;
      waiting.set(id, [keys[ordering], receivedAtMs]);
      if (prng.below(4) === 0) {
        const gone = [...waiting.keys()][prng.below(waiting.size)];
        bed.flow.cancel(0, gone);
        waiting.delete(gone);
      }
      if (waiting.size === 0 || prng.below(2) === 0) continue;
      const [first] = [...waiting].sort(([a, [key, atMs]], [b, [otherKey, otherMs]]) =>
        key - otherKey || atMs - otherMs || a - b
      )[0];
      bed.done(0);
      equal(bed.served.at(-1), first, `seed ${seed}, ${ordering}`);
      waiting.delete(first);
    }
  }
});

Deno.test("vtc: of two tenants that wait throughout, neither gets more than two of the dearest requests ahead", () => {
  // Whoever is served has the least counter, and a charge is at most c: all counters lie within c of the one served last.
  // What a tenant gets is how far its counter moves, so over any time two of them differ by c at its start and c at its end.
  for (let seed = 1; seed <= 300; seed++) {
    const prng = new Prng(seed), weights = [1 + prng.below(4), 1 + prng.below(4)];
    const endpoints = 1 + prng.below(3);
    const bed = new FlowBed(new Array(endpoints).fill(2), {
      tenants: Object.fromEntries(weights.map((weight, i) => [`t${i}`, { weight }])),
    }).fill();
    const price = new Map<number, [tenant: number, tokens: number]>();
    let dearest = 0;
    const ask = (tenant: number) => {
      const promptTokens = 1 + prng.below(tenant === 0 ? 500 : 100), outputTokens = prng.below(tenant === 0 ? 20 : 200);
      const tokens = (vtcDefaults.inputWeight * promptTokens + vtcDefaults.outputWeight * outputTokens) /
        (weights[tenant] ?? 1);
      dearest = Math.max(dearest, tokens);
      price.set(bed.ask({ tenant: `t${tenant}`, promptTokens, outputTokens }), [tenant, tokens]);
    };
    for (let i = 0; i < 5; i++) [0, 1].forEach(ask);
    let gap = 0, most = 0, least = 0;
    for (let i = 0; i < 300; i++) {
      if (prng.below(3) === 0) ask(2 + prng.below(5));
      bed.clock.advance(1);
      const from = bed.served.length;
      bed.done(prng.below(endpoints));
      for (const id of bed.served.slice(from)) {
        const [tenant, tokens] = price.get(id)!;
        if (tenant > 1) continue;
        ask(tenant);
        gap += tenant === 0 ? tokens : -tokens;
        [most, least] = [Math.max(most, gap), Math.min(least, gap)];
      }
    }
    ok(most - least <= 2 * dearest + 1e-6, `seed ${seed}: ${most - least}, the dearest ${dearest}`);
  }
});

Deno.test("with aging no band waits for ever: each is served within a number of dispatches that its share tells", () => {
  // Let b bands wait, s their share, b s <= 1. After 1/s dispatches one is owed a whole one. Others go before it only while
  // they are owed more; they hold 2 each and earn s each dispatch, so n of these: n <= 2 (b - 1) + n s (b - 1).
  for (let seed = 1; seed <= 100; seed++) {
    const prng = new Prng(seed), bands = 2 + prng.below(4);
    const share = (0.2 + 0.8 * prng.float()) / bands;
    const bound = Math.ceil(1 / share) + 2 * (bands - 1) / (1 - share * (bands - 1)) + 1;
    const bed = new FlowBed([1, 1], { aging: { afterMs: 100, share }, ttlMs: 0 }).fill();
    const priority = new Map<number, number>();
    const ask = (of: number) => priority.set(bed.ask({ priority: of, tenant: `t${prng.below(3)}` }), of);
    for (let of = 0; of < bands; of++) for (let i = 0; i < 300; i++) ask(of);
    bed.clock.advance(101);
    const last = new Array<number>(bands).fill(0);
    for (let dispatch = 1; dispatch <= 250; dispatch++) {
      if (prng.below(2) === 0) ask(bands - 1);
      bed.done(prng.below(2));
      last[priority.get(bed.served.at(-1)!)!] = dispatch;
      for (const [of, at] of last.entries()) {
        ok(dispatch - at <= bound, `seed ${seed}: ${of} of ${bands} waits for ${dispatch - at}, share ${share}`);
      }
    }
  }
});

Deno.test("a burst fills each endpoint to its capacity and never further", () => {
  const capacities = [1, 2, 3, 5, 8, 13, 21, 34];
  const bed = new FlowBed(capacities);
  bed.asks(500);
  deepStrictEqual([...bed.table.requests], capacities);
  const prng = new Prng(1);
  for (let i = 0; i < 500; i++) {
    bed.done([...bed.table.requests.entries()].filter(([, requests]) => requests > 0)[prng.below(1)][0]);
    ok(bed.table.requests.every((requests, slot) => requests <= capacities[slot]));
    if (bed.flow.size > 0) deepStrictEqual([...bed.table.requests], capacities);
  }
  deepStrictEqual([bed.served.length, bed.flow.size, [...bed.table.requests]], [500, 0, capacities.map(() => 0)]);
});

Deno.test("the order of a run is the same each time", () => {
  const order = () => {
    const bed = new FlowBed([2, 1], { defaultBand: { ...bandDefaults, share: 0.2 } }), prng = new Prng(7);
    for (let i = 0; i < 300; i++) {
      bed.clock.advance(prng.below(3));
      bed.ask({ tenant: `t${prng.below(9)}`, priority: prng.below(3), promptTokens: prng.below(99) });
      if (prng.below(2)) bed.done(prng.below(2));
    }
    return bed.served;
  };
  deepStrictEqual(order(), order());
});
