import { deepStrictEqual, equal } from "node:assert/strict";
import { endpointMeta, EndpointTable, FeedState, KvTier, RecordRing } from "../core/mod.ts";
import { ClaimsInbox, type ClaimsTarget, PrefixClaims } from "./claims.ts";
import { emptyTree } from "./tree_testing.ts";

const hashes = BigUint64Array.of(1n, 2n, 3n);

function rig(ticketsMax?: number) {
  const said: string[] = [];
  const target: ClaimsTarget = {
    claim: (slot, blocks, depth, predictedMs) => {
      said.push(`claim ${slot} ${depth}+[${blocks.hashes}] ${blocks.blockTokens} ${blocks.exact} ${predictedMs}`);
      return { confirm: () => said.push(`confirm ${slot}`), withdraw: () => said.push(`withdraw ${slot}`) };
    },
    reported: (slot, prediction, cached, live) => said.push(`reported ${slot} ${prediction.tokens} ${cached} ${live}`),
  };
  const tree = emptyTree();
  const table = new EndpointTable(4);
  for (let port = 1; port <= 3; port++) table.add(endpointMeta({ host: "h", port }));
  const ring = new RecordRing(64);
  let rung = 0;
  const claims = new PrefixClaims(tree, table, 16, ring, () => rung++);
  const inbox = new ClaimsInbox(target, table, ticketsMax);
  const speculate = (slot: number, predictedMs?: number) => {
    const blocks = { hashes, blockTokens: 16, exact: true };
    return claims.speculate(slot, blocks, claims.match(blocks), { predictedMs });
  };
  const drain = () => ring.drain((kind, numbers, found) => void inbox.take(kind, numbers, found));
  return { said, table, tree, inbox, speculate, drain, rung: () => rung };
}

Deno.test("claims arrive with all that was known, and their ends once", () => {
  const { said, table, inbox, speculate, drain, rung } = rig();
  table.feedState[1] = FeedState.Live;
  const first = speculate(1, 250), second = speculate(2);
  first.confirm();
  first.withdraw();
  second.withdraw();
  second.confirm();
  first.reported(32);
  equal(drain(), 5);
  deepStrictEqual(said, [
    "claim 1 0+[1,2,3] 16 true 250",
    "claim 2 0+[1,2,3] 16 true undefined",
    "confirm 1",
    "withdraw 2",
    "reported 1 0 32 true",
  ]);
  equal(inbox.open, 0);
  equal(rung(), 5);
});

Deno.test("blocks that a LIVE feed tells of are not claimed; where anything else is known of them, all are", () => {
  const { said, table, tree, speculate, drain } = rig();
  tree.hold(1, KvTier.Gpu, hashes.subarray(0, 2));
  tree.hold(2, KvTier.Gpu, hashes.subarray(0, 2));
  table.feedState[1] = FeedState.Live;
  table.feedState[2] = FeedState.Suspect;
  for (const slot of [1, 2]) speculate(slot);
  tree.claim(1, hashes.subarray(2));
  speculate(1);
  drain();
  deepStrictEqual(said, [
    "claim 1 2+[3] 16 true undefined",
    "claim 2 0+[1,2,3] 16 true undefined",
    "claim 1 0+[1,2,3] 16 true undefined",
  ]);
});

Deno.test("what was said of an endpoint that is gone does not touch the next one at its slot", () => {
  const { said, table, inbox, speculate, drain } = rig();
  const ticket = speculate(0);
  table.remove(0);
  table.add(endpointMeta({ host: "h", port: 9 }));
  ticket.confirm();
  ticket.reported(16);
  drain();
  deepStrictEqual([said, inbox.open], [[], 0]);
  speculate(1);
  table.remove(1);
  drain();
  deepStrictEqual([said, inbox.open], [[], 0], "nor at a slot that is free");
});

Deno.test("a claim that found no room in the ring has no end either", () => {
  const { said, speculate, drain } = rig();
  const tickets = Array.from({ length: 20 }, () => speculate(0));
  drain();
  const claims = said.length;
  said.length = 0;
  for (const ticket of tickets) ticket.withdraw();
  drain();
  equal(said.length, claims);
});

Deno.test("abandon() withdraws what an edge that is gone had claimed; beyond the limit the oldest claim ends", () => {
  const { said, inbox, speculate, drain } = rig(2);
  for (const slot of [0, 1, 2]) speculate(slot);
  drain();
  deepStrictEqual([said.filter((line) => line.startsWith("withdraw")), inbox.open], [["withdraw 0"], 2]);
  inbox.abandon();
  deepStrictEqual([said.filter((line) => line.startsWith("withdraw")).length, inbox.open], [3, 0]);
});
