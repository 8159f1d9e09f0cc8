import { deepStrictEqual, equal } from "node:assert/strict";
import { AttemptEnd, type AttemptReport, endpointMeta, EndpointState, EndpointTable, RecordRing } from "../core/mod.ts";
import { EdgePool, takePoolRecord } from "./edge_pool.ts";
import { MirrorSource } from "./mirror.ts";

const meta = (port: number, ...models: string[]) =>
  endpointMeta({ host: "h", port, models: models.map((id) => ({ id })) });

/** An owner's table and a mirror of it, as two isolates have them. */
function pair(capacity = 4) {
  const buffer = new SharedArrayBuffer(EndpointTable.bytes(capacity, 2));
  const owner = new EndpointTable(capacity, buffer, 0, { isolates: 2, isolate: 0 });
  const mirror = new EndpointTable(capacity, buffer, 0, { isolates: 2, isolate: 1 });
  const source = new MirrorSource(owner);
  const tell = () => {
    const updates = structuredClone(source.changes());
    for (const { slot, generation, meta } of updates) mirror.mirror(slot, generation, meta);
    return updates.map(({ slot }) => slot);
  };
  const ring = new RecordRing(256);
  const pool = new EdgePool({ table: mirror, ring, rung: () => {}, refreshModels: () => Promise.resolve() });
  const candidates = (model = "") => {
    const { slots, count } = pool.candidates(model);
    return [...slots.subarray(0, count)];
  };
  return { owner, mirror, tell, ring, pool, candidates };
}

Deno.test("an edge sees an endpoint once it was told of it, and its state at once", () => {
  const { owner, tell, pool, candidates } = pair();
  const slot = owner.add(meta(1, "a"), EndpointState.Ready);
  deepStrictEqual(candidates(), []);
  deepStrictEqual(tell(), [slot]);
  deepStrictEqual([candidates("a"), candidates("b"), pool.hasModel("a"), pool.hasModel("b")], [
    [slot],
    [],
    true,
    false,
  ]);
  owner.setState(slot, EndpointState.Draining);
  deepStrictEqual(candidates("a"), []);
  deepStrictEqual(tell(), [], "a state is in shared memory");
});

Deno.test("an edge never takes an endpoint for the one that had its slot before", () => {
  const { owner, mirror, tell, candidates } = pair(1);
  owner.add(meta(1, "a"), EndpointState.Ready);
  tell();
  owner.remove(0);
  deepStrictEqual(candidates("a"), []);
  owner.add(meta(2, "a"), EndpointState.Ready);
  deepStrictEqual(candidates("a"), [], "until it was told who that is");
  tell();
  deepStrictEqual([candidates("a"), mirror.meta(0).port, mirror.slotOf("h:1"), mirror.slotOf("h:2")], [[0], 2, -1, 0]);
});

Deno.test("changes() tells what changed and nothing twice: endpoints, models, adapters, attributes", () => {
  const { owner, mirror, tell } = pair();
  for (const port of [1, 2, 3]) owner.add(meta(port));
  deepStrictEqual(tell(), [0, 1, 2]);
  deepStrictEqual(tell(), []);
  owner.meta(0).models = [{ id: "a" }];
  owner.meta(1).adapters = { running: new Set(["x"]), waiting: new Set(), max: 2 };
  owner.meta(2).attributes.set("depth", 4);
  deepStrictEqual(tell(), [0, 1, 2]);
  deepStrictEqual(
    [mirror.meta(0).models, [...mirror.meta(1).adapters.running], mirror.meta(2).attributes.get("depth")],
    [
      [{ id: "a" }],
      ["x"],
      4,
    ],
  );
  owner.remove(2);
  deepStrictEqual([tell(), mirror.peek(2), mirror.high], [[2], undefined, 2]);
  deepStrictEqual(new MirrorSource(owner).all().map(({ slot }) => slot), [0, 1]);
});

Deno.test("what an edge found out reaches the pool's one isolate, unless the endpoint is gone", () => {
  const { owner, tell, ring, pool } = pair();
  for (const port of [1, 2]) owner.add(meta(port), EndpointState.Ready);
  tell();
  const report = {
    slot: 1,
    generation: 1,
    end: AttemptEnd.Reset,
    firstTokenMs: NaN,
    workTokens: 7,
    permit: 2,
  } as const;
  pool.poke(0);
  pool.poke(1);
  pool.report(report);
  owner.remove(0);
  owner.add(meta(3));
  const said: string[] = [];
  const target = {
    report: (told: AttemptReport) => said.push(`report ${JSON.stringify(told) === JSON.stringify(report)}`),
    poke: (slot: number) => said.push(`poke ${slot}`),
  };
  ring.push(3, []);
  const taken: boolean[] = [];
  ring.drain((kind, numbers) => taken.push(takePoolRecord(target, owner.generation, kind, numbers)));
  deepStrictEqual([said, taken], [["poke 1", "report true"], [true, true, true, false]]);
});

Deno.test("releaseIsolate() gives back what an isolate had reserved, and nobody else's", () => {
  const { owner, mirror } = pair();
  owner.add(meta(1), EndpointState.Ready);
  owner.inflight(0, 1, 10, 100);
  mirror.inflight(0, 2, 20, 200);
  mirror.inflight(0, 0, -5, 0);
  equal(owner.releaseIsolate(1), 2);
  deepStrictEqual([owner.requests[0], owner.prefillTokens[0], owner.decodeTokens[0]], [1, 10, 100]);
  equal(owner.releaseIsolate(1), 0);
  equal(owner.releaseIsolate(0), 1);
  deepStrictEqual([owner.requests[0], owner.prefillTokens[0], owner.decodeTokens[0]], [0, 0, 0]);
});
