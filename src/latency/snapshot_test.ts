import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { concatBytes, endpointMeta, EndpointState, Prng } from "../core/mod.ts";
import { columnOf, columns } from "./features.ts";
import { Governor } from "./governor.ts";
import { testRow, TestWorld } from "./latency_testing.ts";
import { decodeSnapshot, encodeSnapshot, LatencySnapshotError, type SnapshotParts } from "./snapshot.ts";
import { ForestKind, Model, Prior } from "./state.ts";

class SnapshotWorld extends TestWorld {
  readonly failures: unknown[] = [];
  readonly parts: SnapshotParts;

  constructor(endpoints = 2, rowsMax = 1000) {
    super({ endpoints, rowsMax });
    this.forests.known.set("mine", { sums: () => [0, 0.3] });
    this.forests.known.set("theirs", { kind: ForestKind.LogMilliseconds, baseMargin: 2, sums: () => [1] });
    const { learner, state, table, clock, forests, shop } = this;
    const governor = new Governor({
      learner,
      state,
      forests,
      shop,
      clock,
      options: {
        quantile: 0.9,
        training: false,
        intervalMs: 1,
        labelsMin: 1,
        trees: 1,
        depth: 1,
        learningRate: 1,
        seed: 1,
      },
      observer: { failed: (target, cause) => this.failures.push([target, cause]) },
    });
    this.parts = { learner, governor, state, table, clock };
  }

  /** Everything that a snapshot is of, as far as it is one of this world. */
  known() {
    const { learner, state, forests, parts: { governor } } = this;
    const rows = [0, 1].map((target) => {
      const rows: unknown[] = [];
      learner.reservoir(target).each((row, label, atMs) => rows.push([...row, label, atMs]));
      return rows;
    });
    return {
      pool: learner.fits.dumpPool(),
      slots: [0, 1].map((slot) => learner.dumpSlot(slot)),
      offsets: [0, 1].flatMap((target) =>
        ([Prior, Model] as const).flatMap((
          source,
        ) => [state.offset(target, source, 0), state.offset(target, source, 1)])
      ),
      outputTokens: state.outputTokens,
      rows,
      versions: [forests.version(0), forests.version(1)],
      files: [governor.champion(0)?.file, governor.champion(1)?.file],
      source: [state.source(0), state.source(1)],
    };
  }
}

/** A world that has learned something of everything. */
async function learned(labels = 150): Promise<SnapshotWorld> {
  const world = new SnapshotWorld();
  const rng = new Prng(3);
  await world.parts.governor.adopt(1, new TextEncoder().encode("theirs"));
  for (let i = 0; i < labels; i++) {
    world.clock.advance(100);
    const workTokens = rng.below(2000), slot = rng.below(2);
    const row = testRow({ effective_input_tokens: workTokens, sample_age_ms: i, adapter_resident: NaN });
    world.label({ slot, workTokens, row, ms: (30 + 0.2 * workTokens) * (1 + slot) * Math.exp(rng.normal(0, 0.2)) });
    world.label({ slot, target: 1, requests: 1 + rng.below(9), row, ms: 5 + rng.float(), version: 1, sums: [2, 2] });
  }
  world.state.outputTokens = 77;
  return world;
}

Deno.test("another life knows what this one knew, and of each endpoint once it comes", async () => {
  const world = await learned();
  const next = new SnapshotWorld(1);
  next.clock.advance(1e6);
  const remembered = await decodeSnapshot(encodeSnapshot(world.parts), next.parts);
  const { outputTokens, pool, offsets, versions, files, source } = next.known();
  const before = world.known();
  deepStrictEqual([outputTokens, pool, source], [77, before.pool, before.source]);
  // Offsets of a model that is not there are nothing.
  deepStrictEqual([offsets.slice(0, 2), offsets.slice(4)], [before.offsets.slice(0, 2), before.offsets.slice(4)]);
  ok(offsets[7] !== 0.4, "the champion's own calibration has moved");
  deepStrictEqual([versions, files], [[0, 1], before.files]);

  const { learner, table } = next;
  for (const slot of [0, 1]) {
    const id = world.table.meta(slot).id;
    if (table.slotOf(id) < 0) table.add(endpointMeta({ host: "h", port: 2 }), EndpointState.Ready);
    learner.restoreSlot(table.slotOf(id), remembered.claim(id)!);
    equal(remembered.claim(id), undefined, "once");
    deepStrictEqual(learner.dumpSlot(table.slotOf(id)), world.learner.dumpSlot(slot));
  }
  equal(remembered.claim("nobody:1"), undefined);
  ok(Math.abs(next.state.ttftTokenMs[1] / world.state.ttftTokenMs[1] - 1) < 0.02);
});

Deno.test("rows to train on come back with their age, those held back among them", async () => {
  const world = await learned();
  const next = new SnapshotWorld();
  next.clock.advance(50);
  await decodeSnapshot(encodeSnapshot(world.parts), next.parts);
  const mark = columnOf.get("sample_age_ms")!;
  for (const target of [0, 1]) {
    const expected: [number, number, number][] = [];
    world.learner.reservoir(target).each((row, label, atMs) => expected.push([row[mark], label, atMs]));
    for (const { row, label, base, atMs } of world.learner.heldBack(target)) {
      expected.push([row[mark], Math.fround(label - base), atMs]);
    }
    equal(expected.length, 150);
    const rows: [number, number, number][] = [];
    next.learner.reservoir(target).each((row, label, atMs) => {
      deepStrictEqual(row[columnOf.get("adapter_resident")!], NaN);
      rows.push([row[mark], label, atMs + world.clock.now() - next.clock.now()]);
    });
    deepStrictEqual(rows, expected);
    equal(next.learner.heldBack(target).length, 0);
  }
});

Deno.test("a router with room for fewer rows keeps the newer ones, mostly", async () => {
  const world = await learned(600);
  const next = new SnapshotWorld(2, 100);
  await decodeSnapshot(encodeSnapshot(world.parts), next.parts);
  equal(next.learner.reservoir(0).size, 100);
});

Deno.test("a new router's snapshot is one, too", async () => {
  const next = new SnapshotWorld();
  const before = next.known();
  await decodeSnapshot(encodeSnapshot(new SnapshotWorld().parts), next.parts);
  deepStrictEqual(next.known(), before);
});

Deno.test("a model that cannot be read any more is told of and left; all else is taken over", async () => {
  const world = await learned();
  const next = new SnapshotWorld();
  next.forests.known.delete("theirs");
  await decodeSnapshot(encodeSnapshot(world.parts), next.parts);
  equal(next.failures.length, 1);
  deepStrictEqual(next.known().versions, [0, 0]);
  equal(next.state.source(1), Prior);
  equal(next.learner.reservoir(1).size, 150);
  equal(next.state.outputTokens, 77);
});

/** Refused, and nothing was taken over. */
async function refused(bytes: Uint8Array, why: RegExp, what = ""): Promise<void> {
  const world = new SnapshotWorld();
  const before = world.known();
  await rejects(decodeSnapshot(bytes, world.parts), (error) => {
    ok(error instanceof LatencySnapshotError, `${what}: ${error}`);
    ok(why.test(error.message), `${what}: ${error.message}`);
    return true;
  });
  deepStrictEqual(world.known(), before, what);
}

Deno.test("a snapshot that was cut off, lengthened or changed by a bit is refused, and nothing of it is taken over", async () => {
  const bytes = encodeSnapshot((await learned(80)).parts);
  const world = new SnapshotWorld();
  const before = world.known();
  const damage = fc.oneof(
    fc.nat(bytes.length - 1).map((length) => bytes.slice(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 9 }).map((more) => concatBytes([bytes, more])),
    fc.tuple(fc.oneof(fc.nat(200), fc.nat(bytes.length - 1)), fc.nat(7)).map(([at, bit]) => {
      const copy = bytes.slice();
      copy[at] ^= 1 << bit;
      return copy;
    }),
    fc.uint8Array({ maxLength: 300 }),
  );
  await fc.assert(
    fc.asyncProperty(damage, async (damaged) => {
      await rejects(decodeSnapshot(damaged, world.parts), LatencySnapshotError);
    }),
    { numRuns: 300 },
  );
  deepStrictEqual(world.known(), before);
});

/** A whole snapshot of this head and what follows. */
function sealed(head: unknown, rest: Uint8Array = new Uint8Array()): Uint8Array {
  const text = new TextEncoder().encode(typeof head === "string" ? head : JSON.stringify(head));
  const body = concatBytes([new Uint8Array(Uint32Array.of(text.length).buffer), text, rest]);
  const digest = createHash("sha256").update(body).digest();
  return concatBytes([new TextEncoder().encode("WPL1"), new Uint8Array(digest), body]);
}

/** Head of a snapshot and what follows it. */
function opened(bytes: Uint8Array) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(36, true);
  return {
    head: JSON.parse(new TextDecoder().decode(bytes.subarray(40, 40 + length))),
    rest: bytes.slice(40 + length),
  };
}

Deno.test("a whole snapshot of another router, or whose head says what it does not hold, is refused", async () => {
  const { head, rest } = opened(encodeSnapshot((await learned(80)).parts));
  const next = new SnapshotWorld();
  await decodeSnapshot(sealed(head, rest), next.parts);
  await refused(sealed({ ...head, columns: columns.toReversed() }, rest), /its columns/);
  await refused(sealed({ ...head, columns: columns.slice(1) }, rest), /its columns/);
  await refused(sealed(head, rest.slice(4)), /its length/);
  await refused(sealed({ ...head, models: [0, 1e9] }, rest), /its length/);
  await refused(sealed("{"), /JSON/);
  const pair = [0, 0.4], four = [[pair, pair], [pair, pair]];
  const wrong: Record<string, unknown[]> = {
    columns: [null, 1],
    outputTokens: [undefined, null, 0, -1, "80", [5]],
    pool: [undefined, null, 1, {}, { ttft: [1] }, { ttft: [1], tpot: "x" }, { ttft: [null], tpot: [] }],
    endpoints: [undefined, null, 3, [1], { a: null }, { a: {} }, { a: { fits: head.pool, biases: [["x"]] } }],
    offsets: [undefined, null, [], [1, 2], [pair, pair], [[pair], [pair]], [[[0], pair], [pair, pair]], [
      ...four,
      four[0],
    ], [[[null, 0], pair], [pair, pair]]],
    rows: [undefined, null, [1], [1, -1], [1, 0.5], ["1", 2], [1, 2, 3], { length: 2 }],
    models: [undefined, null, [1], [1, -1], [1, 2 ** 60]],
  };
  for (const [key, values] of Object.entries(wrong)) {
    for (const value of values) {
      await refused(
        sealed({ ...head, [key]: value }, rest),
        /its (head|columns|length)/,
        `${key}: ${JSON.stringify(value)}`,
      );
    }
  }
  for (const value of [null, 1, [], "x"]) await refused(sealed(JSON.stringify(value), rest), /its (head|columns)/);
  // Numbers JSON can write and a number cannot hold.
  const infinite = JSON.stringify(head).replace('"outputTokens":77', '"outputTokens":1e999');
  await refused(sealed(infinite, rest), /its head/);
});

Deno.test("a head of any JSON is refused or taken, and never fails in another way", async () => {
  const { head, rest } = opened(encodeSnapshot((await learned(20)).parts));
  const keys = Object.keys(head);
  await fc.assert(fc.asyncProperty(fc.constantFrom(...keys), fc.jsonValue(), async (key, value) => {
    const world = new SnapshotWorld();
    try {
      const remembered = await decodeSnapshot(sealed({ ...head, [key]: value }, rest), world.parts);
      const known = remembered.claim("h:1");
      if (known) world.learner.restoreSlot(0, known);
    } catch (error) {
      ok(error instanceof LatencySnapshotError, `${error}`);
    }
    const view = world.predictor.predict(world.facts(), Uint16Array.of(0, 1), 2);
    ok(view.ttftMs[0] > 0 && Number.isFinite(view.ttftMs[0]));
  }));
});

Deno.test("what an endpoint's fits were is not believed where no labels can have made it", async () => {
  const { head, rest } = opened(encodeSnapshot((await learned(80)).parts));
  const world = new SnapshotWorld();
  const fits = { ttft: new Array(7).fill(-1), tpot: [1e308] };
  const bytes = sealed({ ...head, pool: fits, endpoints: { "h:1": { fits, biases: [] } } }, rest);
  const remembered = await decodeSnapshot(bytes, world.parts);
  const before = world.known();
  world.learner.restoreSlot(0, remembered.claim("h:1")!);
  deepStrictEqual(world.known(), before);
  equal(world.state.bias(0, Prior)[0], 0);
});
