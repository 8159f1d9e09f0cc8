import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextKey, type HandlerContext } from "@connectrpc/connect";
import { smgCommon } from "../proto/mod.ts";
import { hashToInt } from "./kv/dialects.ts";
import type { SimKvEvent } from "./kv/events.ts";
import type { KvFeed, KvMessage } from "./kv/kv_feed.ts";

/** Sends the headers of the answer before its first message. */
export const headersNow = createContextKey<() => void>(() => {}, { description: "headersNow" });

/** Messages that wait for a slow client; a client slower than that is cut off. */
const backlogMax = 10_000;

/**
 * The engine's bridge from its own ZMQ feed, as its servicer has it: live batches of one rank, whatever number the client
 * asks from. The headers tell that the subscription is in force. Tier, extra keys and the adapter's name are not told.
 */
export async function* bridgeEvents(
  feed: KvFeed | undefined,
  { signal, values }: HandlerContext,
): AsyncGenerator<smgCommon.KvEventBatch> {
  if (feed === undefined) throw new ConnectError("KV events are not enabled", Code.Unimplemented);
  const backlog: KvMessage[] = [];
  let wake = () => {};
  let overrun = false;
  const unlisten = feed.listen((message) => {
    if (backlog.length < backlogMax) backlog.push(message);
    else overrun = true;
    wake();
  });
  values.get(headersNow)();
  const gone = () => wake();
  signal.addEventListener("abort", gone, { once: true });
  let eventId = 0n;
  try {
    while (!signal.aborted) {
      for (let message = backlog.shift(); message !== undefined; message = backlog.shift()) {
        if (overrun) throw new ConnectError("The client reads too slowly", Code.ResourceExhausted);
        yield create(smgCommon.KvEventBatchSchema, {
          sequenceNumber: BigInt(message.seq),
          timestamp: message.batch.timestampS,
          dpRank: message.batch.rank,
          events: message.batch.events.map((event) => bridgedEvent(event, feed, eventId++)),
        });
      }
      if (!signal.aborted) await new Promise<void>((resolve) => wake = resolve);
    }
  } finally {
    unlisten();
    signal.removeEventListener("abort", gone);
  }
}

function bridgedEvent(
  event: SimKvEvent,
  feed: KvFeed,
  eventId: bigint,
): MessageInitShape<typeof smgCommon.KvCacheEventSchema> {
  const toInt = (hash: Uint8Array) => BigInt.asIntN(64, hashToInt(feed.source.blockHash, hash));
  if (event.kind === "cleared") return { eventId, data: { case: "cleared", value: {} } };
  const hashes = event.hashes.map(toInt);
  if (event.kind === "removed") return { eventId, data: { case: "removed", value: { blockHashes: hashes } } };
  const { blockSize, tokens, adapterId, parent } = event;
  const blocks = hashes.map((blockHash, i) => ({
    blockHash,
    tokenIds: [...tokens.subarray(i * blockSize, (i + 1) * blockSize)],
    blockSize,
    loraId: adapterId === undefined ? undefined : BigInt(adapterId),
  }));
  return { eventId, data: { case: "stored", value: { blocks, parentBlockHash: parent && toInt(parent) } } };
}
