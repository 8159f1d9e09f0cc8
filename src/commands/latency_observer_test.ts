import { deepStrictEqual, equal } from "node:assert/strict";
import { endpointMeta, EndpointState, EndpointTable, VirtualClock } from "../core/mod.ts";
import type { Score, Verdict } from "../latency/mod.ts";
import { Logger, type LogLevel, Metrics } from "../telemetry/mod.ts";
import { latencyObserver, predictionObserver } from "./latency_observer.ts";

/** An observer over the endpoint h:1 in slot 0, and what it wrote. */
function observed(level: LogLevel = "info") {
  const lines: Record<string, unknown>[] = [];
  const clock = new VirtualClock();
  const log = new Logger({
    write: (line) => {
      const { time: _, ...rest } = JSON.parse(line);
      lines.push(rest);
    },
    clock,
    level,
  });
  const table = new EndpointTable(2);
  table.add(endpointMeta({ host: "h", port: 1 }), EndpointState.Ready);
  const metrics = new Metrics({ version: "1" });
  return { observer: latencyObserver({ log, metrics, table, clock }), lines, clock, metrics, table };
}

const score = (labels: number, pinball: number): Score => ({ labels, pinball, coverage: 0.9, mape: 0.1 });
const verdict = (part: Partial<Verdict> = {}): Verdict => ({
  target: "ttft",
  promoted: true,
  challenger: 0.061239,
  prior: 0.1,
  champion: NaN,
  coverage: 0.91,
  rows: 300,
  tookMs: 120.4,
  ...part,
});

Deno.test("a source that changes is told with both losses, and a model that follows a model is not", () => {
  const { observer, lines } = observed();
  observer.sourceChanged!("ttft", "model", [score(64, 0.1), score(0, 0)]);
  observer.sourceChanged!("ttft", "model", [score(64, 0.1), score(0, 0)]);
  observer.sourceChanged!("ttft", "prior", [score(200, 0.1), score(64, 0.123456)]);
  const message = "Latency is predicted by another source";
  deepStrictEqual(lines, [
    { level: "info", message, target: "ttft", source: "model", priorLoss: 0.1 },
    { level: "info", message, target: "ttft", source: "prior", priorLoss: 0.1, modelLoss: 0.1235 },
  ]);
});

Deno.test("trainings are counted, promotions and failures are told, and what is not used for those who look closely", () => {
  const { observer, lines, metrics } = observed("debug");
  observer.judged!(verdict());
  observer.judged!(verdict({ promoted: false, champion: 0.06 }));
  observer.failed!("tpot", new Error("no memory"));
  const losses = { target: "ttft", loss: 0.06124, priorLoss: 0.1, coverage: 0.91, rows: 300, tookMs: 120 };
  deepStrictEqual(lines, [
    { level: "info", message: "A new model predicts latency", ...losses },
    { level: "debug", message: "A new model of latency is not used", ...losses, beforeLoss: 0.06 },
    { level: "warn", message: "Cannot train a model of latency", target: "tpot", cause: "no memory" },
  ]);
  deepStrictEqual(
    metrics.dump().filter(({ name }) => name === "prediction_trainings_total").map(({ values, value }) => [
      ...values,
      value,
    ]),
    [["ttft", "promoted", 1], ["ttft", "kept", 1], ["tpot", "failed", 1]],
  );
});

Deno.test("an endpoint is told of as it becomes suspect and as it recovers", () => {
  const { observer, lines } = observed();
  observer.suspected!(0, 2.34567, true);
  observer.suspected!(0, 1.4, false);
  deepStrictEqual(lines, [
    {
      level: "warn",
      message: "Endpoint is suspect: it takes much longer than the others",
      endpoint: "h:1",
      timesAsLong: 2.346,
    },
    { level: "info", message: "Endpoint is no longer suspect", endpoint: "h:1", timesAsLong: 1.4 },
  ]);
});

Deno.test("what goes back and forth fills no log: ten lines, then one in half a minute that says how many are missing", () => {
  const { observer, lines, clock } = observed();
  for (let i = 0; i < 100; i++) observer.suspected!(0, 3, i % 2 === 0);
  equal(lines.length, 10);
  clock.advance(29_999);
  observer.suspected!(0, 3, true);
  equal(lines.length, 10);
  clock.advance(1);
  observer.suspected!(0, 3, false);
  equal(lines.length, 11);
  equal(lines[10].unlogged, 91);
  // Of another kind there may be lines all the while.
  observer.failed!("ttft", "x");
  equal(lines.length, 12);
  equal("unlogged" in lines[11], false);
});

Deno.test("predictionObserver() names the endpoint, unless another one has its slot", () => {
  const { metrics, table } = observed();
  const told = {
    slot: 0,
    atMs: 0,
    generation: table.generation[0],
    input: { workTokens: 1, waitMs: 0, requests: 1, contextTokens: 1 },
    medianMs: [100, 10],
    highMs: [150, 15],
    versions: [0, 0],
    sums: [[0, 0], [0, 0]],
    row: [],
    slo: {},
    waitedMs: 0,
    model: "m",
    requestedModel: "alias",
  } as const;
  const observe = predictionObserver(metrics, table, 0.9);
  observe(0, told, 120, false);
  observe(1, told, 20, false);
  observe(0, { ...told, generation: told.generation + 1 }, 120, false);
  const of = (name: string) => metrics.dump().filter((series) => series.name === name);
  deepStrictEqual(
    of("prediction_labels_total").map(({ values, value }) => [...values, value]),
    [["m", "h:1", "default", "ttft", 1], ["m", "h:1", "default", "tpot", 1]],
  );
  deepStrictEqual(of("prediction_within_high_total").map(({ value }) => value), [1, 0]);
  equal(of("prediction_actual_ttft_seconds")[0].sum, 0.24);
});
