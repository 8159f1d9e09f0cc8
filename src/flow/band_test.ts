import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { bandDefaults } from "../config/mod.ts";
import { Bands, Held } from "./band.ts";
import { flowConfig } from "./flow_testing.ts";
import type { FlowAsk } from "./types.ts";

const ask = { promptTokens: 10, outputTokens: 5, bodyBytes: 7 } as FlowAsk;

Deno.test("Held counts requests, prompt and output tokens, and bytes; a limit is reached, not passed", () => {
  const held = new Held();
  held.add(ask, 1);
  held.add(ask, 1);
  deepStrictEqual([held.requests, held.tokens, held.bytes], [2, 30, 14]);
  const exceeds = [{ maxRequests: 3 }, { maxTokens: 45 }, { maxBytes: 21 }, { maxRequests: 2 }, { maxTokens: 44 }, {
    maxBytes: 20,
  }, {}].map((limits) => held.exceeds(limits, ask));
  deepStrictEqual(exceeds, [false, false, false, true, true, true, false]);
  equal(held.exceeds({ maxRequests: 2 }, ask, 1.5), false);
  const left = held.without(held, held);
  deepStrictEqual([left.requests, held.requests], [-2, 2]);
});

Deno.test("Bands are made when their priority is first asked for, highest first, with what is configured for them", () => {
  const low = { ...bandDefaults, maxRequests: 1 }, named = { ...bandDefaults, priority: 7, maxRequests: 2 };
  const bands = new Bands(flowConfig({ bands: [named], defaultNegativeBand: low }));
  for (const priority of [3, -2, 9, 3]) bands.of(priority);
  deepStrictEqual(bands.list.map(({ priority }) => priority), [9, 7, 3, 0, -2]);
  deepStrictEqual(bands.list.map(({ config }) => config.maxRequests), [5000, 2, 5000, 5000, 1]);
  bands.use(flowConfig({ bands: [{ ...named, priority: 3 }] }));
  deepStrictEqual(bands.list.map(({ config }) => config.maxRequests), [5000, 5000, 2, 5000, 5000]);
});

Deno.test("a priority too many joins the next band below, never one above where there is one below", () => {
  const bands = new Bands(flowConfig());
  for (let i = 1; i <= 200; i++) bands.of(-2 * i);
  equal(bands.list.length, 64);
  deepStrictEqual([bands.of(-3).priority, bands.of(5).priority, bands.of(-999).priority], [-4, 0, -126]);
});

Deno.test("a domain remembers the tenants that wait and some thousand others", () => {
  const domain = new Bands(flowConfig()).of(0).domain("m");
  const first = domain.tenant("waits");
  first.queues.push({ tenant: first } as typeof first.queues[number]);
  for (let i = 0; i < 10_000; i++) domain.tenant(`t${i}`);
  ok(domain.tenants.size <= 4097, `${domain.tenants.size}`);
  deepStrictEqual([domain.tenant("waits") === first, domain.tenants.has("t0"), domain.tenants.has("t9999")], [
    true,
    false,
    true,
  ]);
});

Deno.test("a domain is owed its share once for each dispatch, and no more than two are saved up", () => {
  const domain = new Bands(flowConfig()).of(0).domain("m");
  domain.owe(0.6, 1);
  domain.owe(0.6, 1);
  deepStrictEqual([domain.credit, domain.owed], [0.6, 0]);
  for (let dispatch = 2; dispatch < 9; dispatch++) domain.owe(0.6, dispatch);
  equal(domain.owed, 2);
});
