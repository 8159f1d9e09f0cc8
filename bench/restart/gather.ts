/** A router's knowledge of its endpoints, gathered as for another router, and how long that holds the event loop. */
import { setImmediate } from "node:timers";
import { endpointMeta, KvTier, Prng, systemClock } from "../../src/core/mod.ts";
import { memoryDefaults } from "../../src/config/defaults.ts";
import { Hotpath } from "../../src/hotpath/mod.ts";
import { Caches, type FeedSink, type FeedSource } from "../../src/kv/mod.ts";

/** An agent that has told its whole cache and is silent from then on. */
class SilentAgent implements FeedSource {
  readonly kind = "agent";
  readonly address = "bench";
  readonly #hashes: BigUint64Array;

  constructor(hashes: BigUint64Array) {
    this.#hashes = hashes;
  }

  run(sink: FeedSink, _from: unknown, signal: AbortSignal): Promise<void> {
    sink.connected("bench");
    sink.snapshotBegin({ epoch: "bench", seq: 1 });
    sink.snapshotPart({ seq: 1, timestamp: 0, events: [{ kind: "held", tier: KvTier.Gpu, hashes: this.#hashes }] });
    sink.snapshotEnd();
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  }
}

/** Milliseconds of the longest stretch in which nothing else ran, over `rounds` snapshots of a tree of the default size. */
export async function gatherHeldMs(endpoints: number, blocks: number, rounds: number): Promise<number> {
  const hotpath = await Hotpath.load({
    endpoints,
    blockTreeBytes: memoryDefaults.prefixTreeBytes,
    bodyBytesMax: 1 << 20,
    prefixTokensMax: 1 << 17,
  }, 0);
  const table = hotpath.table;
  const prng = new Prng(3);
  const caches = new Caches({
    tree: hotpath.blockTree,
    table,
    clock: systemClock,
    rng: prng,
    source: () => new SilentAgent(randomHashes(prng, blocks)),
  }, { blockTokens: 64 });
  for (let port = 1; port <= endpoints; port++) caches.slotAdded(table.add(endpointMeta({ host: "h", port })));
  await turn();
  let longestMs = 0;
  // The first time compiles what the others run.
  for (let round = -1; round < rounds; round++) {
    const heldMs = await heldWhile(caches.snapshot());
    if (round >= 0) longestMs = Math.max(longestMs, heldMs);
  }
  await caches.stop();
  return longestMs;
}

/** Reads all of it; milliseconds of the longest stretch between two turns of the event loop. */
async function heldWhile(messages: AsyncIterable<unknown>): Promise<number> {
  let done = false, longestMs = 0;
  const reading = (async () => {
    for await (const _message of messages);
    done = true;
  })();
  for (let before = performance.now(); !done;) {
    await turn();
    const now = performance.now();
    longestMs = Math.max(longestMs, now - before);
    before = now;
  }
  await reading;
  return longestMs;
}

function randomHashes(prng: Prng, count: number): BigUint64Array {
  return new BigUint64Array(Uint32Array.from({ length: 2 * count }, () => prng.below(2 ** 32)).buffer);
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
