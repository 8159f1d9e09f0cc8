import { deepStrictEqual, equal, notDeepStrictEqual, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type Clock, Prng, systemClock } from "../core/mod.ts";
import { latencyRecords, RememberedEndpoints } from "../latency/mod.ts";
import { Logger, Metrics } from "../telemetry/mod.ts";
import { openLatency } from "./latency_desk.ts";
import { type LatencyBed, latencyBed, testSetup } from "./latency_fixture.ts";

const golden = (path: string) => fileURLToPath(new URL(`../../tests/golden/${path}`, import.meta.url));

/** What a prompt of 2,000 tokens is predicted to take at endpoint 1. */
function ttftMs({ edge, place }: LatencyBed): number {
  place({ promptTokens: 2000 });
  return edge.predictor.take()!.ttftMs;
}

Deno.test("an edge's answers teach its predictor through the ring, and a forest takes over where it is better", async () => {
  const bed = await latencyBed();
  const { desk, hotpath, serve, others, ring } = bed;
  const guess = ttftMs(bed);
  serve(400);
  const learned = ttftMs(bed);
  ok(learned !== guess && learned > 100 && learned < 1000, `${learned}, ${guess}`);
  const before = desk.explain(2).targets.ttft;
  deepStrictEqual([before.source, before.scores.told.labels, before.pairs.length], ["prior", 400, 2]);
  equal(hotpath.forests.version(0), 0);
  await desk.governor.round();
  ok(hotpath.forests.version(0) > 0);
  serve(100);
  const { source, champion, scores } = desk.explain(0).targets.ttft;
  deepStrictEqual([source, champion!.trees, scores.model.labels], ["model", 40, 100]);
  ok(scores.model.mape! < scores.prior.mape! / 2, `${scores.model.mape}, ${scores.prior.mape}`);
  deepStrictEqual([others, ring.dropped], [[], 0]);
});

Deno.test("the desk leaves records of others, and forgets the targets of an isolate that is gone", async () => {
  const { desk, ring, edge, others, place, state } = await latencyBed();
  equal(desk.take(3, new Float64Array(4)), false);
  ring.push(3, [1, 2]);
  const slot = place({ slo: { tpotMs: 40 } });
  edge.predictor.take();
  deepStrictEqual([others, state.strictestTpotMs(slot), state.tpotSlos(slot)], [[3], 40, 1]);
  desk.abandon(0);
  deepStrictEqual([state.strictestTpotMs(slot), state.tpotSlos(slot)], [0, 0]);
  ok(desk.take(latencyRecords.output, Float64Array.of(64)));
});

Deno.test("what was known of an endpoint is claimed when it comes, by its id and once", async () => {
  const { desk: before, serve } = await latencyBed();
  serve(100);
  const [first, second] = [0, 1].map((slot) => before.learner.dumpSlot(slot));
  const { desk, table, add } = await latencyBed({ endpoints: 1 });
  const nothing = desk.learner.dumpSlot(0);
  notDeepStrictEqual(first, nothing);
  desk.remember(new RememberedEndpoints({ "h:1": first, "h:2": second }));
  deepStrictEqual(desk.learner.dumpSlot(0), first, "it is there already");
  const slot = add(2);
  deepStrictEqual(desk.learner.dumpSlot(slot), second);
  table.remove(slot);
  equal(add(2), slot);
  deepStrictEqual(desk.learner.dumpSlot(slot).biases, nothing.biases);
  notDeepStrictEqual(desk.learner.dumpSlot(slot), second);
});

Deno.test("another configuration counts from the next prediction on, but for the quantile that is learned", async () => {
  const { edge } = await latencyBed();
  const { slo } = testSetup();
  edge.use(testSetup({ quantile: 0.99, slo: { ...slo, tpotBufferFactor: 1.3 }, roleLabel: "role" }));
  deepStrictEqual(edge.predictor.options, { quantile: 0.9, tpotBufferFactor: 1.3, roleLabel: "role" });
});

Deno.test("where nothing is to be predicted, it is learned all the same", async () => {
  const { edge, desk, serve } = await latencyBed({ setup: testSetup({ predicts: false }) });
  serve(20);
  equal(desk.explain(0).targets.ttft.scores.told.labels, 20);
  let asked = 0;
  const { predictor } = edge;
  const predict = predictor.predict.bind(predictor);
  predictor.predict = (...args) => {
    asked++;
    return predict(...args);
  };
  serve(1);
  equal(asked, 1, "for the endpoint that was chosen, of which it learns");
  edge.use(testSetup());
  serve(1);
  equal(asked, 2, "for all candidates, the chosen one among them");
});

Deno.test("who measures it is told of each placed request how long predicting took, explanations left out", async () => {
  let nowMs = 0;
  // Each look at the clock takes a millisecond.
  const clock: Clock = { now: () => nowMs++, wallMs: () => 0, after: () => ({ cancel() {} }) };
  const told: [string, number][] = [];
  const timing = { clock, predicted: ({ id }: { id: string }, ms: number) => void told.push([id, ms]) };
  const { place, explain } = await latencyBed({ timing });
  place({ id: "first" });
  explain({ id: "second" });
  place({ id: "third" });
  // Two looks of each: at predicting all candidates, and at keeping what is told of the chosen one.
  deepStrictEqual(told, [["first", 2], ["third", 2]]);
  const other = await latencyBed({ timing, policy: "default" });
  other.explain({ id: "fourth" });
  other.place({ id: "fifth" });
  deepStrictEqual(told.slice(2), [["fifth", 1]]);
});

Deno.test("openLatency() joins nothing where nothing is to be predicted, else a shop of its own", async () => {
  const { table, hotpath, state } = await latencyBed();
  const log = new Logger({ write() {}, clock: systemClock });
  const parts = {
    clock: systemClock,
    table,
    hotpath,
    state,
    rng: new Prng(1),
    log,
    metrics: new Metrics({ version: "1" }),
  };
  equal(openLatency({ ...parts, setup: testSetup({ enabled: false }) }), undefined);
  const ttft = golden("training/models/mean.json");
  const { desk, files } = openLatency({ ...parts, setup: testSetup({ seedModel: { ttft } }) })!;
  try {
    equal(hotpath.forests.version(0), 0, "nothing is read before it begins");
    await files.begin();
    deepStrictEqual([hotpath.forests.version(0) > 0, hotpath.forests.version(1)], [true, 0]);
    equal(desk.explain(0).targets.ttft.champion!.trees, 8);
  } finally {
    files.stop();
    await desk.governor.stop();
  }
});
