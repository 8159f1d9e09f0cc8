import { deepStrictEqual } from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { smgCommon } from "../../proto/mod.ts";
import { grpcBatch } from "./grpc_events.ts";

type Event = NonNullable<MessageInitShape<typeof smgCommon.KvEventBatchSchema>["events"]>[number];

function read(...events: Event[]) {
  const { events: read, skipped } = grpcBatch(create(smgCommon.KvEventBatchSchema, { sequenceNumber: 3n, events }));
  return { events: read, skipped };
}

const block = (blockHash: bigint, tokenIds: number[], more: { loraId?: bigint; cacheLevel?: number } = {}) => ({
  blockHash,
  tokenIds,
  blockSize: tokenIds.length,
  ...more,
});

Deno.test("grpcBatch() splits blocks that differ in tier, adapter or size, each run the child of the one before", () => {
  const blocks = [
    block(1n, [1, 2]),
    block(2n, [3, 4]),
    block(3n, [5, 6], { loraId: 7n }),
    block(4n, [7, 8], { loraId: 7n, cacheLevel: 1 }),
    block(5n, [9], { loraId: 7n, cacheLevel: 1 }),
  ];
  const stored = { kind: "stored" as const };
  deepStrictEqual(read({ data: { case: "stored", value: { blocks } } }), {
    events: [
      {
        ...stored,
        tier: 0,
        hashes: BigUint64Array.of(1n, 2n),
        tokens: Uint32Array.of(1, 2, 3, 4),
        blockTokens: 2,
      },
      {
        ...stored,
        tier: 0,
        hashes: BigUint64Array.of(3n),
        parent: 2n,
        tokens: Uint32Array.of(5, 6),
        blockTokens: 2,
        loraId: 7,
      },
      {
        ...stored,
        tier: 1,
        hashes: BigUint64Array.of(4n),
        parent: 3n,
        tokens: Uint32Array.of(7, 8),
        blockTokens: 2,
        loraId: 7,
      },
      {
        ...stored,
        tier: 1,
        hashes: BigUint64Array.of(5n),
        parent: 4n,
        tokens: Uint32Array.of(9),
        blockTokens: 1,
        loraId: 7,
      },
    ],
    skipped: undefined,
  });
});

Deno.test("grpcBatch() leaves out and counts tiers, events and blocks that it cannot read", () => {
  const blocks = [block(1n, [1], { cacheLevel: 4 }), block(2n, [2]), { blockHash: 3n, tokenIds: [3, 4], blockSize: 3 }];
  const parent = { parent: 1n };
  deepStrictEqual(
    read(
      { data: { case: "stored", value: { blocks } } },
      { data: { case: "removed", value: { blockHashes: [1n], cacheLevel: -1 } } },
      {},
      { data: { case: "removed", value: { blockHashes: [-1n, 1n], cacheLevel: 3 } } },
      { data: { case: "removed", value: {} } },
      { data: { case: "stored", value: {} } },
    ),
    {
      events: [
        {
          kind: "stored",
          tier: 0,
          hashes: BigUint64Array.of(2n),
          ...parent,
          tokens: Uint32Array.of(2),
          blockTokens: 1,
        },
        { kind: "removed", tier: 3, hashes: BigUint64Array.of(2n ** 64n - 1n, 1n) },
      ],
      skipped: { "unknown-medium": 2, malformed: 1, "unknown-event": 1 },
    },
  );
});

Deno.test("grpcBatch() takes blocks without tokens as a location", () => {
  const blocks = [{ blockHash: 1n, blockSize: 16, cacheLevel: 2 }, { blockHash: 2n, blockSize: 16, cacheLevel: 2 }];
  deepStrictEqual(read({ data: { case: "stored", value: { blocks } } }).events, [
    { kind: "stored", tier: 2, hashes: BigUint64Array.of(1n, 2n), tokens: new Uint32Array(), blockTokens: 0 },
  ]);
});
