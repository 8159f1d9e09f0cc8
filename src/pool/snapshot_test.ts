import { deepStrictEqual, equal } from "node:assert/strict";
import { endpointMeta, EndpointState, EndpointTable, Reservation } from "../core/mod.ts";
import { snapshotEndpoint } from "./snapshot.ts";

const healthy = {
  check: { kind: "none" },
  up: 2,
  down: 0,
  lastError: "long ago",
} as const;

Deno.test("snapshotEndpoint() says null, not zero, for what is not known", () => {
  const table = new EndpointTable(2);
  const slot = table.add(endpointMeta({ host: "h", port: 1, name: "pod", labels: { role: "decode" } }));
  const seen = snapshotEndpoint(table, slot, 5, {});
  deepStrictEqual([seen.load, seen.cache, seen.health, seen.scrape, seen.lastError], [null, null, null, null, null]);
  deepStrictEqual([seen.id, seen.name, seen.url, seen.state], ["h:1", "pod", "http://h:1", "starting"]);
});

Deno.test("snapshotEndpoint() is plain data with load, age, in-flight work and models", () => {
  const table = new EndpointTable(2);
  const slot = table.add(endpointMeta({ host: "h", port: 1, models: [{ id: "m" }] }), EndpointState.Ready);
  table.waiting[slot] = 3;
  table.running[slot] = 4;
  table.kvUsage[slot] = 0.5;
  table.sampleAtMs[slot] = 100;
  table.cacheBlocks[slot] = 10;
  table.cacheBlockTokens[slot] = 16;
  table.meta(slot).adapters = { running: new Set(["a"]), waiting: new Set(), max: 2 };
  table.meta(slot).attributes.set("watts", 300);
  new Reservation(table, slot, { prefillTokens: 7, decodeTokens: 9 });
  const seen = JSON.parse(JSON.stringify(snapshotEndpoint(table, slot, 150, { health: healthy })));
  deepStrictEqual(seen.load, { waiting: 3, running: 4, kvUsageRatio: 0.5, ageMs: 50 });
  deepStrictEqual(seen.cache, { blocks: 10, blockTokens: 16 });
  deepStrictEqual(seen.inFlight, { requests: 1, prefillTokens: 7, decodeTokens: 9 });
  deepStrictEqual(seen.adapters, { running: ["a"], waiting: [], max: 2 });
  deepStrictEqual([seen.models, seen.attributes, seen.totalRequests], [[{ id: "m" }], { watts: 300 }, 1]);
});

Deno.test("snapshotEndpoint() shows the error of now, health before scraping before models", () => {
  const table = new EndpointTable(1);
  const slot = table.add(endpointMeta({ host: "h", port: 1 }));
  const scrape = { scrapes: 1, errors: 1, intervalMs: 50, lastError: "no page" };
  const errorOf = (watch: Parameters<typeof snapshotEndpoint>[3]) => snapshotEndpoint(table, slot, 0, watch).lastError;
  equal(errorOf({ health: healthy }), null);
  equal(errorOf({ health: { ...healthy, down: 1, lastError: "refused" }, scrape, modelsError: "no list" }), "refused");
  equal(errorOf({ health: healthy, scrape, modelsError: "no list" }), "no page");
  equal(errorOf({ modelsError: "no list" }), "no list");
});
