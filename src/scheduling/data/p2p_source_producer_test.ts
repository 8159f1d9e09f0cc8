import { deepStrictEqual, ok } from "node:assert/strict";
import { testContext, type TestEndpoint, testPlugin, testPool, type TestRequest } from "../testing.ts";
import { isDecorator } from "../types.ts";

/** Hosts of the sources named for requests to endpoint `slot`; one request an id. */
function sources(
  endpoints: readonly TestEndpoint[],
  { slot = 0, ids = ["r"], ...params }: { slot?: number; ids?: readonly string[]; minCachedTokenDelta?: number } = {},
): (string | undefined)[] {
  const pool = testPool(endpoints);
  const plugin = testPlugin("p2p-source-producer", params, pool);
  ok(isDecorator(plugin));
  return ids.map((id) => {
    const request: TestRequest = { id, totalBlocks: 20, blockTokens: 64 };
    const headers = plugin.requestHeaders(testContext(pool, request), slot, pool.slots, pool.n);
    ok(headers.length <= 1 && headers.every(([name]) => name === "x-kv-cache-source-host-port"));
    return headers[0]?.[1];
  });
}

Deno.test("p2p-source-producer names the endpoint that holds more of the prompt than the chosen one", () => {
  deepStrictEqual(sources([{ matched: 3 }, { matched: 9 }, { matched: 7 }]), ["10.0.0.2:8000"]);
  deepStrictEqual(sources([{ matched: 3 }, { matched: 9 }, { matched: 7 }], { slot: 1 }), [undefined]);
  deepStrictEqual(sources([{ matched: 3 }, { matched: 3 }]), [undefined]);
  deepStrictEqual(sources([{}]), [undefined]);
});

Deno.test("p2p-source-producer asks for as many tokens more as minCachedTokenDelta says", () => {
  const endpoints = [{ matched: 3 }, { matched: 9 }];
  deepStrictEqual(sources(endpoints, { minCachedTokenDelta: 6 * 64 }), ["10.0.0.2:8000"]);
  deepStrictEqual(sources(endpoints, { minCachedTokenDelta: 6 * 64 + 1 }), [undefined]);
});

Deno.test("p2p-source-producer counts a source's GPU, CPU and routed blocks, and all of the chosen endpoint's", () => {
  deepStrictEqual(sources([{ matched: 3 }, { matched: 9, tiers: [2, 3, 4, 0] }, { matched: 3, tiers: [0, 1, 0, 0] }]), [
    "10.0.0.2:8000",
  ]);
  deepStrictEqual(sources([{ matched: 6, tiers: [0, 0, 6, 0] }, { matched: 9, tiers: [2, 3, 0, 4] }]), [undefined]);
});

Deno.test("p2p-source-producer passes over another rank of the chosen server", () => {
  const ranks = [{ matched: 3, host: "a", port: 1 }, { matched: 9, host: "a", port: 1, rank: 1 }];
  deepStrictEqual(sources(ranks), [undefined]);
  deepStrictEqual(sources([...ranks, { matched: 4, host: "b", port: 1 }]), ["b:1"]);
});

Deno.test("p2p-source-producer draws among holders within a block by their queues, alike for equal requests", () => {
  const endpoints = [{}, { matched: 10, waiting: 0 }, { matched: 9, waiting: 3 }, { matched: 8 }];
  const ids = Array.from({ length: 2000 }, (_, i) => `request-${i}`);
  const drawn = sources(endpoints, { ids });
  deepStrictEqual(sources(endpoints, { ids }), drawn);
  const share = drawn.filter((source) => source === "10.0.0.2:8000").length / ids.length;
  ok(drawn.every((source) => source === "10.0.0.2:8000" || source === "10.0.0.3:8000"));
  // Weights 1 and 1/4: 0.8 expected, standard deviation 0.009.
  ok(Math.abs(share - 0.8) < 0.04, String(share));
});
