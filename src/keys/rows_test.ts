import { deepStrictEqual, equal, throws } from "node:assert/strict";
import fc from "fast-check";
import { loadConfigText, resolveConfig } from "../config/mod.ts";
import { QuotaTable, rateOf } from "./quota_table.ts";
import { type KeyPlan, KeyRows } from "./rows.ts";

/** Keys of these ids, in this order, and a tenant with limits. */
function keys(ids: readonly string[], tenants: readonly string[] = []) {
  const list = ids.map((id, i) => ({ id, hash: `sha256:${String(i).padStart(64, "0")}`, tokensPerMinute: 100 }));
  const text = JSON.stringify({ keys: { list, tenants: tenants.map((name) => ({ name, maxConcurrent: 5 })) } });
  return resolveConfig(loadConfigText(text, "k.yaml")).keys;
}

function commit(subject: KeyRows, config: ReturnType<typeof keys>): KeyPlan {
  const plan = subject.plan(config);
  subject.commit(plan);
  return plan;
}

const rows = (plan: KeyPlan) => Object.fromEntries(plan.keys.map(({ id, seat }) => [id, seat.row]));

Deno.test("rows are given in the order of the configuration, keys before tenants", () => {
  const plan = commit(new KeyRows(new QuotaTable(8)), keys(["b", "a"], ["t"]));
  deepStrictEqual(rows(plan), { b: 0, a: 1 });
  deepStrictEqual(plan.tenants[0].seat, { row: 2, generation: 0 });
  equal(plan.enforced, true);
});

Deno.test("who stays keeps row and balance, whatever comes, goes or moves around it", () => {
  const ids = fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e", "f"), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(ids, { minLength: 1, maxLength: 12 }), (configs) => {
      const table = new QuotaTable(12), subject = new KeyRows(table), rate = rateOf(100);
      let before: KeyPlan | undefined;
      const left = new Map<string, number>();
      for (const config of configs) {
        const plan = commit(subject, keys(config));
        const taken = Object.values(rows(plan));
        equal(new Set(taken).size, taken.length);
        for (const { id, seat } of plan.keys) {
          const old = before?.keys.find((key) => key.id === id);
          if (old) deepStrictEqual(seat, old.seat);
          else left.set(id, 100);
          equal(table.generation(seat.row), seat.generation);
          equal(table.state(seat.row, "tokens", rate, 0).remaining, left.get(id));
          if (table.draw(seat.row, "tokens", 7, rate, 0) === 0) left.set(id, left.get(id)! - 7);
        }
        before = plan;
      }
    }),
    { seed: 5, numRuns: 200 },
  );
});

Deno.test("the row of a key that is gone is not given out while a request of it runs", () => {
  const table = new QuotaTable(2), subject = new KeyRows(table);
  const [first] = commit(subject, keys(["a"])).keys;
  equal(table.enter(first.seat, 0), "entered");
  deepStrictEqual(rows(commit(subject, keys(["b"]))), { b: 1 });
  equal(table.enter(first.seat, 0), "gone");
  throws(() => subject.plan(keys(["b", "c"])), /0 of 2 rows are free/);
  table.leave(0, 0);
  deepStrictEqual(commit(subject, keys(["b", "c"])).keys[1].seat, { row: 0, generation: 1 });
});

Deno.test("a plan that is left changes nothing", () => {
  const table = new QuotaTable(4), subject = new KeyRows(table), rate = rateOf(100);
  const [a, b] = commit(subject, keys(["a", "b"])).keys;
  table.draw(a.seat.row, "tokens", 60, rate, 0);
  deepStrictEqual(rows(subject.plan(keys(["c", "a"]))), { c: 2, a: 0 });
  for (const { seat } of [a, b]) equal(table.enter(seat, 0), "entered");
  deepStrictEqual(rows(commit(subject, keys(["d", "b", "a"]))), { d: 2, b: 1, a: 0 });
  equal(table.state(0, "tokens", rate, 0).remaining, 40);
});
