import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { ConfigError } from "../../core/mod.ts";
import {
  admittedBy,
  type TestEndpoint,
  testPlugin,
  testPool,
  type TestPrediction,
  type TestRequest,
} from "../testing.ts";

const slo = { ttftMs: 500, tpotMs: 50 };
/** An endpoint at work, neither idle nor cold. */
const busy = (predicted?: TestPrediction): TestEndpoint => ({ running: 3, kv: 0.5, predicted });
const late = busy({ ttftMs: 2700, tpotMs: 10, meets: 0.1 });
const later = busy({ ttftMs: 9000, tpotMs: 90, meets: 0 });
const good = busy({ ttftMs: 100, tpotMs: 10, meets: 0.9 });
const sheddable = { slo, priority: -1 };

interface Case {
  readonly name: string;
  readonly type: string;
  readonly params?: unknown;
  readonly request: TestRequest;
  readonly endpoints: readonly TestEndpoint[];
  /** Seconds after which it may be asked again; 0: refused without any. Absent: taken. */
  readonly refused?: number;
}

const cases: readonly Case[] = [
  ...([
    { name: "refuses what would miss everywhere", request: sheddable, endpoints: [late, later], refused: 3 },
    { name: "takes what meets its targets somewhere", request: sheddable, endpoints: [late, good] },
    { name: "takes priority 0 and above", request: { slo, priority: 0 }, endpoints: [late, later] },
    { name: "takes requests without a target", request: { priority: -1 }, endpoints: [late, later] },
    { name: "takes all while nothing is predicted", request: sheddable, endpoints: [busy(), busy()] },
    {
      name: "takes what an idle endpoint can have",
      request: sheddable,
      endpoints: [late, { kv: 0.5, running: 0, predicted: { ttftMs: 9000 } }],
    },
    {
      name: "does not take an endpoint for idle that has our request since its sample",
      request: sheddable,
      endpoints: [{ kv: 0.5, running: 0, requests: 1, predicted: { ttftMs: 900 } }],
      refused: 1,
    },
    {
      name: "takes what a cold endpoint can have",
      request: sheddable,
      endpoints: [late, { kv: 0.019, running: 3, predicted: { ttftMs: 9000 } }],
    },
    {
      name: "does not count on an endpoint without a prediction",
      request: sheddable,
      endpoints: [late, busy()],
      refused: 3,
    },
    {
      name: "asks for nothing but the target there is",
      request: { slo: { ttftMs: 500 }, priority: -1 },
      endpoints: [busy({ ttftMs: 100, tpotMs: 9000 })],
    },
    {
      name: "says no time when the TPOT is what is missed",
      request: { slo: { tpotMs: 50 }, priority: -1 },
      endpoints: [busy({ ttftMs: 100, tpotMs: 51 })],
      refused: 0,
    },
    {
      name: "says a minute at most",
      request: sheddable,
      endpoints: [busy({ ttftMs: 500_000 })],
      refused: 60,
    },
  ] as const).map((row) => ({ type: "latency-slo-admitter", ...row })),
  ...([
    { name: "refuses what is unlikely to meet its targets", request: sheddable, endpoints: [late, later], refused: 3 },
    {
      name: "takes what is as likely as asked, at the best endpoint",
      request: sheddable,
      endpoints: [later, busy({ meets: 0.9 })],
    },
    {
      name: "refuses what is less likely than asked, however little less",
      request: sheddable,
      endpoints: [busy({ ttftMs: 400, meets: 0.899 })],
      refused: 0,
    },
    {
      name: "refuses what would meet its targets only where others are likely to miss theirs",
      request: sheddable,
      endpoints: [late, busy({ ttftMs: 100, meets: 1, likelyMisses: 1 })],
      refused: 0,
    },
    {
      name: "asks for another probability when told",
      params: { admitProbability: 0.05 },
      request: sheddable,
      endpoints: [late],
    },
    { name: "takes priority 0 and above", request: { slo, priority: 0 }, endpoints: [late, later] },
    {
      name: "refuses any priority when told",
      params: { mode: "all" },
      request: { slo, priority: 9 },
      endpoints: [late],
      refused: 3,
    },
    { name: "takes requests without a target", params: { mode: "all" }, request: {}, endpoints: [late, later] },
    { name: "takes what nothing is known about somewhere", request: sheddable, endpoints: [late, busy()] },
    { name: "takes all while nothing is predicted", request: sheddable, endpoints: [busy(), busy()] },
  ] as const).map((row) => ({ type: "slo-probability-admitter", ...row })),
];

for (const { name, type, params, request, endpoints, refused } of cases as readonly Case[]) {
  Deno.test(`${type} ${name}`, () => {
    const pool = testPool(endpoints);
    const verdict = admittedBy(testPlugin(type, params, pool), pool, request);
    if (refused === undefined) return deepStrictEqual(verdict, true);
    deepStrictEqual(verdict, {
      refused: "slo-unmet",
      message: "No endpoint is predicted to meet the latency targets of the request",
      ...(refused > 0 && { retryAfterS: refused }),
    });
  });
}

Deno.test("admitters read predictions and refuse parameters that cannot be", () => {
  const pool = testPool([{}]);
  const bad = [
    ["latency-slo-admitter", { latencyPredictionInfoProducerName: "mine" }],
    ["slo-probability-admitter", { mode: "off" }],
    ["slo-probability-admitter", { admitProbability: 2 }],
  ] as const;
  for (const [type, params] of bad) {
    ok(testPlugin(type, {}, pool).needsLatency);
    throws(
      () => testPlugin(type, params, pool),
      (error) => error instanceof ConfigError && error.key === `plugins[0].parameters.${Object.keys(params)[0]}`,
    );
  }
});
