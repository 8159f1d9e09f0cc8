import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import { type HeldBlock, HeldBlocks } from "../hotpath/mod.ts";
import { type KnownEndpoint, snapshotMessages, SnapshotReader } from "./snapshot.ts";
import { fetchSnapshot, snapshotService } from "./snapshot_rpc.ts";

const seedCheck = 42n;
const held = Array.from({ length: 30_000 }, (_, i): HeldBlock => ({ hash: BigInt(i + 1), tiers: [1, 0, 0, 0] }));

function endpoints(): KnownEndpoint[] {
  const mirror = { blockTokens: 16, groups: { kinds: [] } };
  const checkpoint = { epoch: "e", seq: 9, timestamp: 1, firstTimestamp: 0, whole: true, mirror };
  return [{ id: "a:1", feed: "agent", checkpoint, blocks: HeldBlocks.from(held) }];
}

async function withService(check: (url: string) => Promise<void>): Promise<void> {
  const service = snapshotService(seedCheck, () => snapshotMessages(seedCheck, 5, endpoints()));
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    (request) => service(request) ?? new Response("no such page", { status: 404 }),
  );
  try {
    await check(`http://127.0.0.1:${server.addr.port}`);
  } finally {
    await server.shutdown();
  }
}

Deno.test("fetchSnapshot() reads what another router's service tells", async () => {
  await withService(async (url) => {
    const taken: KnownEndpoint[] = [];
    await fetchSnapshot(
      url,
      seedCheck,
      new SnapshotReader(seedCheck, (known) => taken.push(known)),
      new AbortController().signal,
    );
    deepStrictEqual(taken.map(({ id, checkpoint, blocks }) => [id, checkpoint.seq, blocks.length]), [[
      "a:1",
      9,
      30_000,
    ]]);
  });
});

Deno.test("fetchSnapshot() rejects when seeds differ, when nobody listens, and when there is no such service", async () => {
  const reader = () => new SnapshotReader(7n, () => {});
  await withService(async (url) => {
    await rejects(fetchSnapshot(url, 7n, reader(), new AbortController().signal), /hashSeed/);
    const other = await fetch(`${url}/warmpath.snapshot.v1.SnapshotService/Other`, { method: "POST" });
    equal(other.status, 404);
    await other.body?.cancel();
  });
  await rejects(fetchSnapshot("http://127.0.0.1:1", seedCheck, reader(), new AbortController().signal));
});
