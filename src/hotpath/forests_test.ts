import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { forestOf, full, treeOf } from "./forest_fixture.ts";
import { packForest } from "./forest_pack.ts";
import { Forests } from "./forests.ts";
import { Hotpath } from "./hotpath.ts";
import { instantiate } from "./load.ts";
import type { MemorySizes } from "./layout.ts";

const sizes: MemorySizes = {
  endpoints: 70,
  blockTreeBytes: 0,
  bodyBytesMax: 64,
  prefixTokensMax: 64,
  forestBytes: 4096,
};
const leaf = (value: number) => packForest(forestOf(value), []);
const load = async (some: Partial<MemorySizes> = {}) => (await Hotpath.load({ ...sizes, ...some }, 1)).forests;

Deno.test("score() gives each row its margin and its leaves, the margin alone where there is no forest", async () => {
  const forests = await load();
  const tree = { feature: 0, threshold: 2, left: 10, right: { feature: 1, threshold: 0, left: 20, right: 30 } };
  forests.publish(1, packForest(forestOf(tree, 0.5), [5, 31]));
  forests.columns[5].set([1, 2, 3]);
  forests.columns[31].set([0, -1, 0]);
  forests.margins(0).set([7, 8, 9]);
  forests.margins(1).set([100, 200, 300]);
  forests.score(3);
  deepStrictEqual([...forests.out(0, 0).subarray(0, 3)], [7, 8, 9]);
  deepStrictEqual([...forests.out(1, 0).subarray(0, 3)], [110.5, 220.5, 330.5]);
});

Deno.test("score() gives every output its own trees and its own intercept", async () => {
  const forests = await load();
  const trees = [treeOf(1), treeOf(2, { group: 2 }), treeOf(4, { group: 2, weight: 0.5 })];
  forests.publish(0, packForest({ groups: 3, trees }, [], [0, 10, 20]));
  forests.margins(0).fill(100);
  forests.score(sizes.endpoints);
  for (const [group, sum] of [101, 110, 124].entries()) {
    ok(forests.out(0, group).every((value) => value === sum), `output ${group}`);
  }
});

Deno.test("publish() replaces one target's forest, and undefined takes it away", async () => {
  const forests = await load();
  deepStrictEqual([forests.version(0), forests.version(1)], [0, 0]);
  const versions = [leaf(1), leaf(2), undefined, leaf(3)].map((packed) => {
    const version = forests.publish(0, packed);
    forests.score(1);
    equal(forests.version(0), version);
    return [version, forests.out(0, 0)[0]];
  });
  deepStrictEqual(versions, [[1, 1], [2, 2], [0, 0], [4, 3]]);
  equal(forests.version(1), 0);
});

Deno.test("publish() and score() refuse what the memory has no room for", async () => {
  const forests = await load();
  throws(() => forests.publish(0, packForest(forestOf(full(9, 1)), [0, 1])), /bytes must be at most 4096/);
  equal(forests.version(0), 0);
  throws(() => forests.score(71), /number must be at most 70: current value is 71/);
  const without = await load({ forestBytes: undefined });
  throws(() => without.publish(0, leaf(1)), /at most 0/);
  deepStrictEqual([without.publish(0, undefined), without.version(0), without.columns[0].length], [0, 0, 0]);
  throws(() => without.score(1), /at most 0/);
  without.score(0);
});

Deno.test("every isolate scores by the forests that one publishes, over rows of its own", async () => {
  const shared = { ...sizes, isolates: 2 };
  const one = await Hotpath.load(shared, 1), two = await Hotpath.attach(one.shared, shared, 1, 1);
  const packed = packForest(forestOf({ feature: 0, threshold: 1, left: 1, right: 2 }), [0]);
  equal(one.forests.publish(1, packed), two.forests.version(1));
  one.forests.columns[0].fill(0);
  two.forests.columns[0].fill(5);
  for (const { forests } of [one, two]) forests.score(70);
  ok(one.forests.out(1, 0).every((value) => value === 1) && two.forests.out(1, 0).every((value) => value === 2));
});

Deno.test("score() is done again when its forest was written over, and only then", async () => {
  let during = () => {}, calls = 0;
  const instance = await instantiate(sizes, 64);
  const forestScore = (...args: number[]) => {
    calls++;
    instance.kernels.forestScore(...args);
    during();
  };
  const forests = new Forests({ ...instance, kernels: { forestScore } }, sizes);
  const publish = (times: number) => {
    for (let i = 0; i < times; i++) forests.publish(1, leaf(forests.version(1) + 1));
  };
  /** Kernel calls of a scoring in whose first `spoilt` calls so many forests are published. */
  const callsOf = (publications: number, spoilt: number) => {
    calls = 0;
    during = () => calls <= spoilt && publish(publications);
    forests.score(1);
    return calls;
  };
  publish(1);
  equal(callsOf(1, 1), 1);
  deepStrictEqual([forests.out(1, 0)[0], forests.version(1)], [1, 2]);
  equal(callsOf(2, 3), 4);
  equal(forests.out(1, 0)[0], forests.version(1));
  forests.margins(1)[0] = -5;
  equal(callsOf(2, Infinity), 65);
  equal(forests.out(1, 0)[0], -5, "the margin alone");
});
