import { Buffer } from "node:buffer";
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { EndpointState, type Placement } from "../core/mod.ts";
import { Scheduler } from "./engine.ts";
import { builtIn } from "./definition.ts";
import { onePlan } from "./plan.ts";
import { PluginSet } from "./plugin_set.ts";
import {
  keptBy,
  scoresOf,
  testMatch,
  testNowMs,
  testPlugin,
  type TestPool,
  testPool,
  type TestRequest,
  testView,
} from "./testing.ts";
import type { SchedulingPlan } from "./types.ts";

const key = new Uint8Array(32).fill(7);

function affinityPlan(parameters: unknown): SchedulingPlan {
  return onePlan({
    filters: [{ type: "session-affinity-filter", parameters }],
    picker: { type: "round-robin-picker" },
  });
}

function placer(plan: SchedulingPlan, pool: TestPool) {
  const scheduler = new Scheduler(plan, { table: pool.table, seed: 3, sessionKey: key });
  const place = (request: TestRequest = {}, nowMs = testNowMs, slots = pool.slots, n = pool.n): Placement => {
    const result = scheduler.decide(testView(request), testMatch(pool), slots, n, nowMs);
    ok("slot" in result);
    return result;
  };
  return { scheduler, place };
}

Deno.test("a session token brings the client back and names no endpoint", () => {
  const pool = testPool([{ name: "secret-pod-0" }, { name: "secret-pod-1" }, {}]);
  const { scheduler, place } = placer(affinityPlan({}), pool);
  const first = place();
  const [[name, token], ...more] = scheduler.responseHeaders(testView(), first, first.slot);
  deepStrictEqual([name, more], ["x-session-token", []]);
  equal(token.length, 22);
  ok(!Buffer.from(token, "base64url").toString("latin1").includes("pod"));
  for (let i = 0; i < 5; i++) equal(place({ headers: { "x-session-token": token } }).slot, first.slot);
});

Deno.test("a session token that was not given out binds nothing", () => {
  const pool = testPool([{}, {}]);
  const { place } = placer(affinityPlan({}), pool);
  const forged = [btoa("default/10.0.0.1:8000"), "10.0.0.1:8000", ""];
  for (const token of forged) {
    const slots = [0, 1].map(() => place({ headers: { "x-session-token": token } }).slot);
    deepStrictEqual(slots.sort(), [0, 1], token);
  }
});

Deno.test("session tokens hold across schedulers with one key and not with another", () => {
  const pool = testPool([{}, {}, {}]);
  const plan = affinityPlan({});
  const [a, b] = [1, 2].map((seed) => new Scheduler(plan, { table: pool.table, seed, sessionKey: key }));
  const other = new Scheduler(plan, { table: pool.table, seed: 1 });
  const placement = { slot: 1, fallbacks: [], profile: "default", matchedBlocks: 0, totalBlocks: 0 };
  const token = (scheduler: Scheduler) => scheduler.responseHeaders(testView(), placement, 1)[0][1];
  equal(token(a), token(b));
  ok(token(a) !== token(other));
});

Deno.test("a token for an endpoint that is no candidate any more is ignored", () => {
  const pool = testPool([{}, {}]);
  const { scheduler, place } = placer(affinityPlan({}), pool);
  const first = place();
  const token = scheduler.responseHeaders(testView(), first, first.slot)[0][1];
  pool.table.remove(first.slot);
  const rest = Uint16Array.of(1 - first.slot);
  equal(place({ headers: { "x-session-token": token } }, testNowMs, rest, 1).slot, 1 - first.slot);
  deepStrictEqual(scheduler.responseHeaders(testView(), first, first.slot), []);
});

Deno.test("session_id bindings stay until their time is up", () => {
  const pool = testPool([{}, {}, {}]);
  const { place } = placer(affinityPlan({ strategy: "session_id", sessionIdConfig: { evictionTtlSeconds: 10 } }), pool);
  const request = { headers: { "x-session-id": "s1" } };
  const first = place(request, 0).slot;
  equal(place(request, 9_000).slot, first);
  equal(place(request, 19_000).slot, first);
  ok(place(request, 29_001).slot !== first);
});

Deno.test("session_id bindings move when the endpoint is no candidate, and when the request moves", () => {
  const pool = testPool([{}, {}, {}]);
  const { scheduler, place } = placer(affinityPlan({ strategy: "session_id" }), pool);
  const request = { headers: { "x-session-id": "s1" } };
  const first = place(request).slot;
  const others = Uint16Array.from([0, 1, 2].filter((slot) => slot !== first));
  const second = place(request, testNowMs, others, 2);
  ok(second.slot !== first);
  equal(place(request).slot, second.slot);
  scheduler.moved(testView(request), second, first, testNowMs);
  equal(place(request).slot, first);
  deepStrictEqual(scheduler.responseHeaders(testView(request), second, first), []);
});

Deno.test("session_id bindings do not carry over to an endpoint that reuses the slot", () => {
  const pool = testPool([{}, {}]);
  const plugin = testPlugin("session-affinity-scorer", { strategy: "session_id" }, pool);
  const request = { headers: { "x-session-id": "s1" } };
  plugin.moved!(testView(request), "default", 1, testNowMs);
  deepStrictEqual(scoresOf(plugin, pool, request), [0, 1]);
  const { host: _, ...rest } = pool.table.meta(1);
  pool.table.remove(1);
  equal(pool.table.add({ ...rest, host: "10.9.9.9", id: "10.9.9.9:8000" }, EndpointState.Ready), 1);
  deepStrictEqual(scoresOf(plugin, pool, request), [0, 0]);
});

Deno.test("session ids come from the first source present, long ones included", () => {
  const pool = testPool([{}, {}]);
  const set = new PluginSet(
    [
      {
        type: "session-affinity-filter",
        parameters: {
          strategy: "session_id",
          sessionIdConfig: { sources: [{ header: "X-Chat" }, { attribute: "SessionID", producer: "jar" }] },
        },
      },
      { name: "jar", type: "session-id-producer", parameters: { cookieName: "sid" } },
    ],
    builtIn,
    ["plugins"],
  );
  const plugin = set.all()[0].create!({ table: pool.table, seed: 1, sessionKey: key });
  const long = "x".repeat(10_000);
  plugin.moved!(testView({ headers: { cookie: `a=b; sid=${long}; c=d` } }), "default", 1, testNowMs);
  deepStrictEqual(keptBy(plugin, pool, { headers: { cookie: `sid=${long}` } }), [1]);
  deepStrictEqual(keptBy(plugin, pool, { headers: { cookie: `sid=${long}y` } }), [0, 1]);
  deepStrictEqual(keptBy(plugin, pool, { headers: { "x-chat": "other", cookie: `sid=${long}` } }), [0, 1]);
  deepStrictEqual(keptBy(plugin, pool, {}), [0, 1]);
});

Deno.test("session affinity keeps to its profile", () => {
  const pool = testPool([{}, {}]);
  const plugin = testPlugin("session-affinity-filter", { strategy: "session_id", profileName: "decode" }, pool);
  const request = { headers: { "x-session-id": "s1" } };
  plugin.moved!(testView(request), "decode", 1, testNowMs);
  deepStrictEqual(keptBy(plugin, pool, request), [0, 1]);
  const tokens = testPlugin("session-affinity-filter", { profileName: "decode" }, pool);
  deepStrictEqual(tokens.responseHeaders!(testView(), "default", 1), []);
  equal(tokens.responseHeaders!(testView(), "decode", 1).length, 1);
});
