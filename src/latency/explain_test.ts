import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { endpointMeta, EndpointState, EndpointTable, Prng, type RequestView, VirtualClock } from "../core/mod.ts";
import { explainLatency } from "./explain.ts";
import { columns } from "./features.ts";
import type { ForestShop } from "./forest_shop.ts";
import { Governor } from "./governor.ts";
import { Learner } from "./learner.ts";
import { Predictor } from "./predictor.ts";
import { type Label, labelNumbers, latencyRecords, writeLabel } from "./record.ts";
import { ForestKind, LatencyState } from "./state.ts";

const quantile = 0.9;
const options = {
  quantile,
  training: true,
  intervalMs: 1000,
  labelsMin: 10,
  trees: 1,
  depth: 1,
  learningRate: 0.1,
  seed: 1,
};

/** Two endpoints, h:1 and h:2, what is learned of them, and one predictor that tells it at once. */
class World {
  readonly clock = new VirtualClock();
  readonly table = new EndpointTable(3);
  readonly state = new LatencyState(3, 1);
  readonly learner: Learner;
  readonly governor: Governor;
  readonly predictor: Predictor;

  constructor() {
    const { table, state, clock } = this;
    for (const port of [1, 2]) table.add(endpointMeta({ host: "h", port }), EndpointState.Ready);
    const version = () => 0;
    this.learner = new Learner({
      state,
      table,
      clock,
      rng: new Prng(1),
      options: { quantile, rowsMax: 100 },
      version,
    });
    const shop: ForestShop = {
      train: () => Promise.reject(new Error("nothing to train")),
      load: () =>
        Promise.resolve({
          kind: ForestKind.Residual,
          file: new Uint8Array(2048),
          packed: new Uint8Array(1),
          sums: [new Float32Array(0), new Float32Array(0)],
          trees: 7,
          tookMs: 1,
        }),
      stop: () => Promise.resolve(),
    };
    const forests = { publish: () => 1 };
    this.governor = new Governor({ learner: this.learner, state, forests, shop, clock, options });
    const numbers = columns.map(() => new Float32Array(3));
    this.predictor = new Predictor(state, {
      table,
      isolate: 0,
      tell: (kind, told) => void this.learner.take(kind, Float64Array.from(told)),
      forests: {
        columns: numbers,
        margins: () => new Float32Array(3),
        out: () => new Float32Array(3),
        groups: () => 0,
        version,
        score() {},
      },
      options: { quantile, tpotBufferFactor: 1 },
    });
  }

  label(part: Partial<Label>): void {
    const slot = part.slot ?? 0;
    const label = {
      slot,
      generation: this.table.generation[slot],
      target: 0,
      ms: 100,
      censored: false,
      workTokens: 1000,
      waitMs: 0,
      requests: 1,
      contextTokens: 100,
      medianMs: 80,
      highMs: 120,
      version: 0,
      sums: [0, 0] as const,
      row: columns.map(() => 1),
      ...part,
    };
    this.learner.take(latencyRecords.label, Float64Array.from(writeLabel(label, new Array(labelNumbers))));
  }

  explain(pairsMax = 100) {
    const { learner, governor, state, table, clock } = this;
    return explainLatency({ learner, governor, state, table, clock, quantile, pairsMax });
  }

  facts(part: Partial<RequestView>) {
    const { table, clock } = this;
    const view: RequestView = {
      id: "1",
      api: "chat",
      receivedAtMs: clock.now(),
      model: "base",
      requestedModel: "alias",
      stream: true,
      promptTokens: 1000,
      bodyBytes: 4000,
      blocks: { hashes: new BigUint64Array(0), blockTokens: 64 },
      fairnessId: "t",
      objective: "",
      priority: 0,
      slo: {},
      mediaParts: 0,
      headers: { get: () => undefined },
      ...part,
    };
    const match = { blocks: new Int32Array(3), total: 0, blockTokens: 64 };
    return { view, table, match, load: table, nowMs: clock.now() };
  }
}

const both = Uint16Array.of(0, 1);

Deno.test("explainLatency() says nothing of what is not known, and all of it is JSON", () => {
  const report = new World().explain();
  deepStrictEqual(JSON.parse(JSON.stringify(report)), report);
  const { ttft } = report.targets;
  equal(ttft.source, "prior");
  deepStrictEqual(ttft.scores.told, { labels: 0, mape: null, coverage: null });
  deepStrictEqual(ttft.scores.model, { labels: 0, mape: null, coverage: null, loss: null });
  deepStrictEqual([ttft.champion, ttft.verdict, ttft.predictedOverSlo, ttft.pairs], [null, null, null, []]);
  deepStrictEqual(report.endpoints.map(({ endpoint }) => endpoint), ["h:1", "h:2"]);
  const [{ prior, pace, suspect, labels }] = report.endpoints;
  deepStrictEqual([pace, suspect, labels], [1, false, 0]);
  equal(
    prior.ttft.inWords,
    `${prior.ttft.baseMs} ms + ${prior.ttft.msPer1000Tokens} ms for each 1,000 tokens to compute there, ` +
      "those ahead included + the wait for a place",
  );
});

Deno.test("explainLatency() tells pairs, scores, rows and coefficients as they are", () => {
  const world = new World();
  for (let i = 0; i < 100; i++) {
    world.label({ slot: i % 2, ms: i % 2 === 0 ? 100 : 400 });
    world.label({ target: 1, ms: 8, medianMs: 8, highMs: 10 });
  }
  world.clock.advance(3000);
  const { targets: { ttft, tpot }, endpoints } = world.explain(2);
  deepStrictEqual(ttft.pairs, [
    { endpoint: "h:1", agoMs: 3000, medianMs: 80, highMs: 120, actualMs: 100, censored: false },
    { endpoint: "h:2", agoMs: 3000, medianMs: 80, highMs: 120, actualMs: 400, censored: false },
  ]);
  deepStrictEqual(ttft.scores.told, { labels: 100, mape: 0.5, coverage: 0.5 });
  deepStrictEqual(tpot.scores.told, { labels: 100, mape: 0, coverage: 1 });
  equal(ttft.reservoir.rows + ttft.heldBack, 100);
  equal(ttft.reservoir.rowsMax, 100);
  equal(ttft.scores.prior.labels, 100);
  const [one, other] = endpoints;
  deepStrictEqual([one.labels, other.labels], [150, 50]);
  ok(
    other.prior.ttft.baseMs + other.prior.ttft.msPer1000Tokens >
      2 * (one.prior.ttft.baseMs + one.prior.ttft.msPer1000Tokens),
  );
  ok(other.pace > one.pace);
  deepStrictEqual(world.explain(0).targets.ttft.pairs, []);
});

Deno.test("explainLatency() tells the model in use and its age, and endpoints that are gone by that word", async () => {
  const world = new World();
  world.label({ slot: 1 });
  await world.governor.adopt(0, new Uint8Array());
  world.clock.advance(500);
  const { targets: { ttft, tpot } } = world.explain();
  deepStrictEqual([ttft.source, tpot.source], ["model", "prior"]);
  deepStrictEqual([ttft.champion, tpot.champion], [{ trees: 7, bytes: 2048, ageMs: 500 }, null]);
  world.table.remove(1);
  world.table.add(endpointMeta({ host: "h", port: 3 }), EndpointState.Ready);
  world.learner.slotAdded(1);
  deepStrictEqual(world.explain().targets.ttft.pairs.map(({ endpoint }) => endpoint), ["gone"]);
});

Deno.test("predicted over target counts the wait before the decision, and what the endpoint that was chosen is to take", () => {
  const world = new World();
  const arrived = world.facts({ slo: { ttftMs: 100, tpotMs: 10 } });
  world.clock.advance(50);
  const facts = { ...arrived, nowMs: world.clock.now() };
  const { ttftHighMs, tpotHighMs } = world.predictor.predict(facts, both, 2);
  const [ttft, tpot] = [ttftHighMs[1], tpotHighMs[1]];
  equal(world.learner.everWanted(0), false);
  world.predictor.chosen(facts, 1);
  world.predictor.take();
  equal(world.learner.everWanted(0), true);
  const over = [0, 1].map((target) => world.learner.drift(target).predictedOverSlo);
  deepStrictEqual(over, [(50 + ttft) / 100, tpot / 10]);
  world.clock.advance(121_000);
  equal(world.learner.drift(0).predictedOverSlo, NaN);
});

Deno.test("a request that is refused counts by where it would have missed its targets least", () => {
  const world = new World();
  world.state.ttftBaseMs[0] = 5000;
  world.state.ttftBaseMs[1] = 1000;
  const facts = world.facts({ slo: { ttftMs: 100, tpotMs: 10 } });
  const { ttftHighMs, tpotHighMs } = world.predictor.predict(facts, both, 2);
  const least = [ttftHighMs[1] / 100, tpotHighMs[1] / 10];
  ok(ttftHighMs[0] > ttftHighMs[1]);
  world.predictor.refused(facts.view);
  deepStrictEqual([0, 1].map((target) => world.learner.drift(target).predictedOverSlo), least);

  // What was not predicted, or has been told of, counts no more.
  const other = new World();
  other.predictor.refused(facts.view);
  other.predictor.predict(facts, both, 2);
  other.predictor.chosen(facts, 0);
  other.predictor.refused(facts.view);
  equal(other.learner.everWanted(0), false);
});

Deno.test("a plain answer's TPOT target is not counted, as nobody sees its tokens come", () => {
  const world = new World();
  const facts = world.facts({ stream: false, slo: { tpotMs: 10 } });
  world.predictor.predict(facts, both, 2);
  world.predictor.refused(facts.view);
  world.predictor.predict(facts, both, 2);
  world.predictor.chosen(facts, 0);
  equal(world.predictor.take()?.told.requestedModel, "alias");
  equal(world.learner.everWanted(1), false);
});
