import { deepStrictEqual, equal, match } from "node:assert/strict";
import { BreakerState, EndpointState } from "../core/mod.ts";
import { explainFlow } from "./explain.ts";
import { ObservedFlow } from "./observed_testing.ts";

const explain = ({ controller, table, clock }: ObservedFlow) =>
  explainFlow({ controller, table, nameOf: (slot) => `e${slot}`, nowMs: clock.now() });
const why = (flow: ObservedFlow) => explain(flow).lanes[0].head!.why;

/** Endpoints of capacity 2, as many requests in each as said, and one that waits. */
function waiting(filled: readonly number[], part: Parameters<ObservedFlow["ask"]>[0] = {}): ObservedFlow {
  const flow = new ObservedFlow(filled.map(() => ({ capacity: 2 })));
  filled.forEach((count, slot) => flow.fill(slot, count));
  flow.ask(part);
  return flow;
}

Deno.test("explainFlow() is plain data: bands, lanes, endpoints, and who is next and why not yet", () => {
  const flow = waiting([2], { tenant: "a", priority: 1 });
  flow.ask({ tenant: "b" });
  flow.clock.advance(250);
  const report = explain(flow);
  deepStrictEqual(JSON.parse(JSON.stringify(report)), report);
  deepStrictEqual([report.enabled, report.held, report.promises, report.lanesLeftOut], [
    true,
    { requests: 2, tokens: 30, bytes: 200 },
    0,
    0,
  ]);
  deepStrictEqual(
    report.bands.map(({ priority, ceiling, oldestWaitMs, tenants }) => ({ priority, ceiling, oldestWaitMs, tenants })),
    [
      {
        priority: 1,
        ceiling: 1,
        oldestWaitMs: 250,
        tenants: [{ tenant: "a", model: "m", queued: 1, service: 0, weight: 1 }],
      },
      {
        priority: 0,
        ceiling: 1,
        oldestWaitMs: 250,
        tenants: [{ tenant: "b", model: "m", queued: 1, service: 0, weight: 1 }],
      },
    ],
  );
  deepStrictEqual(report.lanes, [{
    model: "m",
    queued: 2,
    drainPerSecond: null,
    bands: [{ priority: 1, queued: 1, waitMs: null, credit: 0 }, { priority: 0, queued: 1, waitMs: null, credit: 0 }],
    endpoints: [{
      endpoint: "e0",
      saturation: 1,
      capacity: 2,
      inFlight: 2,
      foreign: 0,
      prefillTokens: 0,
      tokenCapacity: null,
      open: true,
    }],
    endpointsLeftOut: 0,
    head: {
      tenant: "a",
      priority: 1,
      waitedMs: 250,
      dueInMs: 59_750,
      why: "the only endpoint is full: e0 2/2 requests",
    },
  }]);
});

Deno.test("explainFlow() says which endpoints are full, of what, and that others' requests are among it", () => {
  equal(why(waiting([2, 3])), "all 2 endpoints are full: e0 2/2 requests, e1 3/2 requests");
  const flow = waiting([2, 2]);
  flow.table.foreign[0] = 1.5;
  flow.table.pressure[1] = 1.25;
  flow.table.tokenCapacity[1] = 100;
  flow.table.prefillTokens[1] = 120;
  equal(
    why(flow),
    "all 2 endpoints are full: e0 3.5/2 requests (1.5 of others), e1 2/2 requests, 120/100 prompt tokens, pressure 1.25",
  );
});

Deno.test("explainFlow() says which endpoints are out and why", () => {
  const flow = waiting([2, 2, 2]);
  flow.table.breaker[1] = BreakerState.Open;
  flow.table.state[2] = EndpointState.Draining;
  equal(why(flow), "1 of 3 endpoints is full: e0 2/2 requests; 2 of 3 endpoints are out: e1 circuit open, e2 draining");
  flow.table.breaker[1] = BreakerState.HalfOpen;
  match(why(flow), /e1 circuit half-open and being tried/);
  deepStrictEqual(explain(flow).lanes[0].endpoints.map(({ open, out }) => [open, out]), [
    [true, undefined],
    [false, "circuit half-open and being tried"],
    [false, "draining"],
  ]);
});

Deno.test("explainFlow() names the ceiling that keeps a lower priority out", () => {
  const flow = new ObservedFlow([{ capacity: 10 }, { capacity: 10 }], {
    bands: [{ ...explain(waiting([2])).bands[0].config, priority: -10 }],
    ceiling: { policy: "priority-holdback", minCeiling: 0.6, maxCeiling: 1, domain: "rank" },
  });
  flow.fill(0, 7);
  flow.fill(1, 10);
  flow.ask({ priority: -10 });
  equal(
    why(flow),
    "1 of 2 endpoints is full: e1 10/10 requests; ceiling 0.6 of priority -10: e0 7/10 requests",
  );
});

Deno.test("explainFlow() says that no endpoint is ready, of which model", () => {
  equal(why(waiting([], { model: "qwen" })), "no endpoint of qwen is ready");
  equal(why(waiting([], { model: "" })), "no endpoint is ready");
});

Deno.test("explainFlow() says when a request waits for the endpoint that holds its prefix", () => {
  const flow = waiting([2, 0], { hold: { slot: 0, ms: 800 } });
  flow.clock.advance(300);
  const [{ head }] = explain(flow).lanes;
  equal(
    head!.why,
    "it waits up to 500 ms more for the endpoint that holds its prefix: the only endpoint is full: e0 2/2 requests",
  );
  equal(head!.dueInMs, 500);
});

Deno.test("explainFlow() tells of room that goes to somebody else first, or at the next look", () => {
  const flow = waiting([2]);
  flow.table.requests[0] = 1;
  equal(why(flow), "e0 has room: given out at the next look");
  flow.table.requests[0] = 2;
  flow.ask({ lane: "other", model: "other", priority: 5 });
  flow.table.requests[0] = 1;
  const { head } = explain(flow).lanes.find(({ model }) => model === "m")!;
  equal(head!.why, "higher priorities come first at e0");
});

Deno.test("explainFlow() shows at most 50 lanes, 50 tenants a band and 20 endpoints a lane, and counts the rest", () => {
  const flow = new ObservedFlow(Array.from({ length: 25 }, () => ({ capacity: 1 })));
  for (let slot = 0; slot < 25; slot++) flow.fill(slot, 1);
  for (let i = 0; i < 60; i++) flow.ask({ lane: `l${i}`, model: `m${i}`, tenant: `t${i}` });
  flow.ask({ lane: "l3", model: "m3", tenant: "t3" });
  const { lanes, lanesLeftOut, bands: [band] } = explain(flow);
  deepStrictEqual([lanes.length, lanesLeftOut, lanes[0].model, lanes[0].queued], [50, 10, "m3", 2]);
  deepStrictEqual([band.tenants.length, band.tenantsLeftOut, band.tenants[0].tenant], [50, 10, "t3"]);
  deepStrictEqual([lanes[0].endpoints.length, lanes[0].endpointsLeftOut], [20, 5]);
  match(lanes[0].head!.why, /^all 25 endpoints are full: .* e19 1\/1 requests and 5 more$/);
});

Deno.test("explainFlow() shows the band that is owed a dispatch as next", () => {
  const flow = waiting([2]);
  flow.ask({ priority: -1, tenant: "low" });
  equal(explain(flow).lanes[0].head!.priority, 0);
  const [{ bands }] = flow.controller.lanes.all();
  bands[1].domain.credit = 1;
  const [lane] = explain(flow).lanes;
  deepStrictEqual([lane.bands[1].credit, lane.head!.tenant], [1, "low"]);
});
