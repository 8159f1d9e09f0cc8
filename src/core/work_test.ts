import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { endpointMeta, EndpointState } from "./endpoint.ts";
import { EndpointTable } from "./endpoint_table.ts";
import type { PrefixMatch, RequestView } from "./request.ts";
import { loadTokens, promptTokensAhead, tierLoadSharesDefault, workTokens } from "./work.ts";

const view = (promptTokens: number) => ({ promptTokens }) as RequestView;

/** A match at slot 1 of two; `tiers`: GPU, CPU, disk, shared. */
function matched(blocks: number, tiers?: readonly number[], pending?: number): PrefixMatch {
  return {
    blocks: Int32Array.of(0, blocks),
    total: 100,
    blockTokens: 64,
    ...(tiers && { tiers: Int32Array.of(0, 0, 0, 0, ...tiers) }),
    ...(pending !== undefined && { pendingTokens: Int32Array.of(-1, pending) }),
  };
}

Deno.test("promptTokensAhead() is what has no first byte, or less where a feed tells it to be computed", () => {
  const table = new EndpointTable(2);
  for (const port of [1, 2]) table.add(endpointMeta({ host: "h", port }), EndpointState.Ready);
  table.prefillTokens.set([300, 900]);
  equal(promptTokensAhead(table, matched(0), 1), 900);
  equal(promptTokensAhead(table, matched(0, undefined, 500), 1), 500);
  equal(promptTokensAhead(table, matched(0, undefined, 0), 1), 0);
  equal(promptTokensAhead(table, matched(0, undefined, 5000), 1), 900, "never more than what has no first byte");
  equal(promptTokensAhead(table, matched(0, undefined, 0), 0), 300, "this endpoint has no feed");
});

Deno.test("loadTokens() weighs what is held off the GPU by its tier, at most as if it were not held", () => {
  const shares = { cpu: 0.1, disk: 0.5, shared: 3 };
  equal(loadTokens(matched(10), 1, shares), 0, "nothing is known of tiers");
  equal(loadTokens(matched(10, [10, 0, 0, 0]), 1, shares), 0);
  equal(loadTokens(matched(10, [1, 4, 2, 3]), 1, shares), 64 * (0.4 + 1 + 3));
  equal(loadTokens(matched(10, [1, 4, 2, 3]), 0, shares), 0, "the other endpoint holds none");
});

Deno.test("workTokens() is what must be computed, and what is loaded by its share", () => {
  const shares = tierLoadSharesDefault;
  equal(workTokens(view(1000), matched(0), 1, shares), 1000);
  equal(workTokens(view(1000), matched(10), 1, shares), 360);
  equal(workTokens(view(1000), matched(10, [6, 4, 0, 0]), 1, shares), 360 + 256 * 0.05);
  // Never the whole prompt: an engine always computes the last token.
  equal(workTokens(view(640), matched(10), 1, shares), 1);
  deepStrictEqual([workTokens(view(0), matched(10), 1, shares), workTokens(view(1), matched(10), 1, shares)], [0, 1]);
});

Deno.test("workTokens() is between nothing and the prompt, and no more where more is held or held nearer", () => {
  const tiers = fc.tuple(fc.nat(20), fc.nat(20), fc.nat(20), fc.nat(20));
  const share = fc.double({ min: 0, max: 2, noNaN: true });
  const shares = fc.record({ cpu: share, disk: share, shared: share });
  fc.assert(fc.property(fc.nat(4000), tiers, shares, (promptTokens, held, shares) => {
    const blocks = held.reduce((sum, count) => sum + count, 0);
    const work = workTokens(view(promptTokens), matched(blocks, held), 1, shares);
    ok(work >= 0 && work <= promptTokens);
    const [gpu, cpu, disk, shared] = held;
    const nearer = workTokens(view(promptTokens), matched(blocks, [gpu + cpu, 0, disk, shared]), 1, shares);
    ok(nearer <= work + 1e-9);
    const more = workTokens(view(promptTokens), matched(blocks + 1, [gpu + 1, cpu, disk, shared]), 1, shares);
    ok(more <= work + 1e-9);
  }));
});
