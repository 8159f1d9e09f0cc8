import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { EndpointState } from "../core/mod.ts";
import type { FlowConfig } from "../config/mod.ts";
import { ObservedFlow } from "./observed_testing.ts";
import { flowSample } from "./sample.ts";

const sample = ({ controller, table, clock }: ObservedFlow, revoked = 0) =>
  flowSample({ controller, table, nowMs: clock.now(), staleAfterMs: 1_000, revoked });

Deno.test("flowSample() tells what waits by tenant, priority and the model as it was asked for", () => {
  const flow = new ObservedFlow([{ capacity: 2 }]);
  flow.fill(0, 2);
  flow.ask({ requestedModel: "alias" });
  flow.ask({ requestedModel: "alias" });
  flow.ask();
  flow.ask({ tenant: "u", priority: 3, bodyBytes: 7 });
  flow.clock.advance(500);
  const { queues, tenants, bands } = sample(flow);
  const told = queues.map(({ tenant, priority, requestedModel, requests, bytes }) =>
    [tenant, priority, requestedModel, requests, bytes] as const
  );
  deepStrictEqual(
    told.toSorted(),
    [
      ["t", 0, undefined, 1, 100],
      ["t", 0, "alias", 2, 200],
      ["u", 3, undefined, 1, 7],
    ].toSorted(),
  );
  deepStrictEqual(tenants, [{ tenant: "t", requests: 3, tokens: 45 }, { tenant: "u", requests: 1, tokens: 15 }]);
  deepStrictEqual(
    bands.map(({ priority, tokens, oldestWaitMs, requestsRatio }) => [priority, tokens, oldestWaitMs, requestsRatio]),
    [[3, 15, 500, 1 / 5_000], [0, 45, 500, 3 / 5_000]],
  );
});

Deno.test("flowSample() has shares of limits of all where there are such, and reclaim where requests are taken back", () => {
  const plain = sample(new ObservedFlow([{ capacity: 1 }]));
  deepStrictEqual([plain.requestsRatio, plain.bytesRatio, plain.reclaim], [undefined, undefined, undefined]);
  const flow = new ObservedFlow([{ capacity: 1 }], { limits: { maxRequests: 4, maxBytes: 400 }, eviction: true });
  flow.fill(0, 2);
  flow.ask();
  const { requestsRatio, bytesRatio, reclaim } = sample(flow, 1);
  deepStrictEqual([requestsRatio, bytesRatio, reclaim], [0.25, 0.25, { target: 1, pending: 1 }]);
});

Deno.test("flowSample() tells saturation by the roles that ready endpoints have", () => {
  const flow = new ObservedFlow([
    { capacity: 4, role: "prefill" },
    { capacity: 4, role: "decode" },
    { capacity: 4, role: "both" },
    { capacity: 4, role: "encode" },
    { capacity: 4 },
  ]);
  [4, 2, 1, 3, 0].forEach((count, slot) => flow.fill(slot, count));
  deepStrictEqual(sample(flow).saturation, { prefill: 0.625, decode: 0.25, effective: 0.5 });
  flow.table.setState(0, EndpointState.Draining);
  flow.table.setState(2, EndpointState.Unhealthy);
  deepStrictEqual(sample(flow).saturation, { decode: 0.25, effective: (0.5 + 0.75) / 3 });
  for (const slot of [1, 3, 4]) flow.table.setState(slot, EndpointState.Unhealthy);
  deepStrictEqual(sample(flow).saturation, { effective: 1 });
});

Deno.test("flowSample() counts endpoints whose sample is too old for the detector", () => {
  const utilization: FlowConfig["saturation"] = {
    detector: "utilization",
    queueDepthThreshold: 5,
    kvCacheUtilThreshold: 0.8,
    stalenessMs: 200,
    stalenessPolicy: "saturated",
  };
  const concurrency: FlowConfig["saturation"] = {
    detector: "concurrency",
    mode: "requests",
    maxConcurrency: 1,
    maxTokenConcurrency: 1,
  };
  const stale = (saturation: FlowConfig["saturation"]) => {
    const flow = new ObservedFlow([{ capacity: 1 }, { capacity: 1 }], { saturation });
    flow.clock.advance(300);
    flow.table.sampleAtMs[1] = flow.clock.now();
    return sample(flow).stale;
  };
  deepStrictEqual(stale(utilization), { detector: "utilization-detector", endpoints: 1 });
  deepStrictEqual(stale({ detector: "fused", maxTokenConcurrency: 1 }), { detector: "fused", endpoints: 0 });
  deepStrictEqual(stale(concurrency), { detector: "concurrency-detector", endpoints: 0 });
});

Deno.test("flowSample() counts in endpoints what all work would fill", () => {
  const flow = new ObservedFlow([{ capacity: 4 }, { capacity: 12 }]);
  flow.fill(0, 4);
  flow.fill(1, 12);
  for (let i = 0; i < 8; i++) flow.ask();
  equal(sample(flow).requiredReplicas, 1 + 1 + 8 / 8);
  flow.table.tokenCapacity.fill(40);
  equal(sample(flow).requiredReplicas, 1 + 1 + 80 / 40);
  flow.table.setState(0, EndpointState.Unhealthy);
  flow.table.setState(1, EndpointState.Unhealthy);
  equal(sample(flow).requiredReplicas, 1);
});

Deno.test("flowSample() requires nothing while no capacity is known, and takes unknown ones for the mean of others", () => {
  const unknown = new ObservedFlow([{ capacity: Infinity }]);
  unknown.fill(0, 30);
  unknown.table.tokenCapacity[0] = 1_000;
  equal(sample(unknown).requiredReplicas, undefined);
  const mixed = new ObservedFlow([{ capacity: Infinity }, { capacity: 10 }]);
  mixed.fill(0, 5);
  mixed.fill(1, 10);
  equal(sample(mixed).requiredReplicas, 1.5);
  equal(sample(new ObservedFlow([])).requiredReplicas, 0);
});

Deno.test("flowSample() estimates 0 where nothing waits, nothing while it cannot be told, then what was seen", () => {
  const flow = new ObservedFlow([{ capacity: 1 }]);
  const estimate = () => sample(flow).bands[0].estimatedWaitMs;
  equal(estimate(), 0);
  flow.fill(0, 1);
  for (let i = 0; i < 60; i++) flow.ask();
  equal(estimate(), undefined);
  for (let i = 0; i < 50; i++) {
    flow.clock.advance(100);
    flow.table.inflight(0, -1, 0, 0);
  }
  const ms = estimate()!;
  ok(ms > 100 && ms < 400, `${ms}`);
});
