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

const rows = (plan: KeyPlan) => Object.fromEntries(plan.keys.map(({ id, seat }) => [id, seat.row]));

Deno.test("rows are given in the order of the configuration, keys before tenants", () => {
  const plan = new KeyRows(new QuotaTable(8)).plan(keys(["b", "a"], ["t"]));
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
        const plan = subject.plan(keys(config));
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
  const [first] = subject.plan(keys(["a"])).keys;
  equal(table.enter(first.seat, 0), "entered");
  deepStrictEqual(rows(subject.plan(keys(["b"]))), { b: 1 });
  equal(table.enter(first.seat, 0), "gone");
  throws(() => subject.plan(keys(["b", "c"])), /0 of 2 rows are free/);
  // Nothing was changed by what could not be done.
  deepStrictEqual(rows(subject.plan(keys(["b"]))), { b: 1 });
  table.leave(0, 0);
  const plan = subject.plan(keys(["b", "c"]));
  deepStrictEqual(plan.keys[1].seat, { row: 0, generation: 1 });
});
