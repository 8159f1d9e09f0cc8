/** `SubscribeKvEvents`, which vLLM and SGLang share: protobuf batches to batches. */
import { KvTier } from "../../core/mod.ts";
import type { smgCommon } from "../../proto/mod.ts";
import type { KvBatch, KvEvent, KvStored, SkipReason } from "../../protocol/mod.ts";

/** Tier of each cache level, in the order of their numbers. */
const levels: readonly KvTier[] = [KvTier.Gpu, KvTier.Cpu, KvTier.Disk, KvTier.Shared];

/**
 * Decodes one message. Blocks of one event that differ in tier, size or adapter become events of their own, each the
 * child of the block before it.
 */
export function grpcBatch(message: smgCommon.KvEventBatch): KvBatch {
  const events: KvEvent[] = [];
  const skipped: Partial<Record<SkipReason, number>> = {};
  const skip = (reason: SkipReason) => void (skipped[reason] = (skipped[reason] ?? 0) + 1);
  for (const { data } of message.events) {
    if (data.case === "stored") readStored(data.value, events, skip);
    else if (data.case === "removed") readRemoved(data.value, events, skip);
    else if (data.case === "cleared") events.push({ kind: "cleared" });
    else skip("unknown-event");
  }
  return {
    seq: Number(message.sequenceNumber),
    timestamp: message.timestamp,
    ...(message.dpRank !== undefined && { rank: message.dpRank }),
    events,
    ...(Object.keys(skipped).length > 0 && { skipped }),
  };
}

type Skip = (reason: SkipReason) => void;

/** Absent is the GPU; undefined for a level without a tier. */
function tierOfLevel(level: number | undefined): KvTier | undefined {
  return level === undefined ? KvTier.Gpu : levels[level];
}

function unsigned(hashes: readonly bigint[]): BigUint64Array {
  return new BigUint64Array(BigInt64Array.from(hashes).buffer);
}

function readRemoved(removed: smgCommon.KvBlocksRemoved, events: KvEvent[], skip: Skip): void {
  const tier = tierOfLevel(removed.cacheLevel);
  if (tier === undefined) return skip("unknown-medium");
  if (removed.blockHashes.length > 0) events.push({ kind: "removed", tier, hashes: unsigned(removed.blockHashes) });
}

function readStored({ blocks, parentBlockHash }: smgCommon.KvBlocksStored, events: KvEvent[], skip: Skip): void {
  let parent = parentBlockHash;
  for (let start = 0; start < blocks.length;) {
    let end = start + 1;
    while (end < blocks.length && isAlike(blocks[start], blocks[end])) end++;
    readRun(blocks.slice(start, end), parent, events, skip);
    parent = blocks[end - 1].blockHash;
    start = end;
  }
}

function isAlike(a: smgCommon.KvBlock, b: smgCommon.KvBlock): boolean {
  return a.cacheLevel === b.cacheLevel && a.loraId === b.loraId && a.blockSize === b.blockSize &&
    a.tokenIds.length === b.tokenIds.length;
}

/** Blocks that are alike, in chain order. */
function readRun(
  blocks: readonly smgCommon.KvBlock[],
  parent: bigint | undefined,
  events: KvEvent[],
  skip: Skip,
): void {
  const [{ cacheLevel, loraId, blockSize, tokenIds }] = blocks;
  const tier = tierOfLevel(cacheLevel);
  if (tier === undefined) return skip("unknown-medium");
  if (tokenIds.length !== 0 && tokenIds.length !== blockSize) return skip("malformed");
  const tokens = new Uint32Array(blocks.length * tokenIds.length);
  blocks.forEach((block, i) => tokens.set(block.tokenIds, i * tokenIds.length));
  const stored: KvStored = {
    kind: "stored",
    tier,
    hashes: unsigned(blocks.map(({ blockHash }) => blockHash)),
    ...(parent !== undefined && { parent: BigInt.asUintN(64, parent) }),
    tokens,
    blockTokens: tokenIds.length,
    ...(loraId !== undefined && { loraId: Number(loraId) }),
  };
  events.push(stored);
}
