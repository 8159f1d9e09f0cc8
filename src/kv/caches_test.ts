import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { setImmediate } from "node:timers";
import { endpointMeta, EndpointTable, FeedState, KvTier, Prng, VirtualClock } from "../core/mod.ts";
import { Hotpath } from "../hotpath/mod.ts";
import { Caches } from "./caches.ts";
import { localClaims, type PrefixClaims } from "./claims.ts";
import type { FeedPosition, FeedSink, FeedSource } from "./feeds/types.ts";
import { type KnownEndpoint, SnapshotReader } from "./snapshot.ts";

/** A source that tells what the test says. */
class Script implements FeedSource {
  readonly address = "script";
  readonly from: FeedPosition[] = [];
  sink: FeedSink | undefined;

  constructor(readonly kind: FeedSource["kind"] = "agent") {}

  run(sink: FeedSink, from: FeedPosition, signal: AbortSignal): Promise<void> {
    this.sink = sink;
    this.from.push(from);
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
  }

  /** An agent's snapshot of so many hashes. */
  tell(hashes: BigUint64Array, epoch = "e", seq = 5): void {
    this.sink!.connected(epoch);
    this.sink!.snapshotBegin({ epoch, seq });
    this.sink!.snapshotPart({ seq, timestamp: 0, events: [{ kind: "held", tier: KvTier.Gpu, hashes }] });
    this.sink!.snapshotEnd();
  }
}

interface Rig {
  readonly clock: VirtualClock;
  readonly table: EndpointTable;
  readonly caches: Caches;
  readonly claims: PrefixClaims;
  readonly full: number[];
  add(port: number): number;
}

async function rig(
  sources: Readonly<Record<number, FeedSource | undefined>>,
  treeBytes = 1 << 20,
  clock = new VirtualClock(),
): Promise<Rig> {
  const sizes = {
    endpoints: 4,
    blockTreeBytes: treeBytes,
    bodyBytesMax: 64,
    prefixTokensMax: 65_536,
  };
  const hotpath = await Hotpath.load(sizes, 1);
  const table = hotpath.table;
  const full: number[] = [];
  const caches = new Caches({
    tree: hotpath.blockTree,
    table,
    clock,
    rng: new Prng(1),
    source: ({ port }) => sources[port],
    onFull: (pairs) => full.push(pairs),
  }, { blockTokens: 64 });
  const add = (port: number) => {
    const slot = table.add(endpointMeta({ host: "h", port }));
    caches.slotAdded(slot);
    return slot;
  };
  const claims = localClaims(caches, hotpath.blockTree, table, 64);
  return { clock, table, caches, claims, full, add };
}

const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

const tokens = (count: number) => Uint32Array.from({ length: count }, (_, i) => i + 1);

Deno.test("feedBlockTokens() is what feeds tell, what engines report until then, and 0 without a feed", async () => {
  const script = new Script();
  const { caches, claims, add } = await rig({ 1: script });
  const [fed, other] = [add(1), add(2)];
  const slots = (...all: number[]) => [Uint16Array.from(all), all.length] as const;
  equal(claims.feedBlockTokens(...slots(other)), 0);
  equal(claims.feedBlockTokens(...slots(fed, other)), 64, "the default, as nothing is known");
  caches.geometry(other, 100, 256);
  caches.geometry(fed, 100, 32);
  equal(claims.feedBlockTokens(...slots(fed, other)), 32);
  await settle();
  script.sink!.load({ cacheBlockTokens: 16 });
  equal(claims.feedBlockTokens(...slots(fed, other)), 16);
  caches.geometry(fed, 100, 128);
  equal(claims.feedBlockTokens(...slots(fed, other)), 16, "the feed goes before");
  caches.slotFreed(fed);
  equal(claims.feedBlockTokens(...slots(fed, other)), 0);
  await caches.stop();
});

Deno.test("speculate() gives tickets that compare what the engine reports with what its feed told", async () => {
  const script = new Script();
  const { caches, claims, add } = await rig({ 1: script });
  const slot = add(1);
  await settle();
  const hashes = claims.chain({ tokens: tokens(160), blockTokens: 16, lora: "" });
  script.tell(hashes.slice(0, 8));
  equal(caches.index.feedState(slot), FeedState.Live);
  const blocks = { hashes, blockTokens: 16, exact: true };
  const match = claims.match(blocks);
  equal(match.blocks[slot], 8);
  const ticket = claims.speculate(slot, blocks, match);
  ticket.reported(128);
  ticket.confirm();
  const { figures, blocks: held, feed } = caches.status(slot);
  deepStrictEqual([figures!.predictedTokens, figures!.actualTokens, figures!.under, figures!.over], [128, 128, 0, 0]);
  deepStrictEqual([held.gpu, held.routed], [8, 2]);
  equal(feed!.state, "LIVE");
  await caches.stop();
});

Deno.test("a snapshot gives another router the blocks and the position; it counts when the endpoint turns up", async () => {
  const script = new Script();
  const first = await rig({ 1: script });
  const slot = first.add(1);
  await settle();
  const hashes = first.claims.chain({ tokens: tokens(320), blockTokens: 16, lora: "" });
  script.tell(hashes, "life", 9);
  const messages = await Array.fromAsync(first.caches.snapshot());
  await first.caches.stop();

  const again = new Script();
  const second = await rig({ 1: again, 2: new Script("zmq") });
  const reader = second.caches.reader();
  for (const message of messages) reader.read(message);
  reader.end();
  equal(second.caches.unclaimed, 1);
  equal(second.add(1), slot);
  equal(second.caches.unclaimed, 0);
  equal(second.caches.status(slot).blocks.gpu, 20);
  equal(second.caches.index.feedState(slot), FeedState.Suspect, "until the agent has shown that nothing was missed");
  await settle();
  deepStrictEqual(again.from, [{ epoch: "life", seq: 9 }]);
  again.sink!.connected("life");
  again.sink!.upstreamState!(FeedState.Live, "");
  equal(second.caches.index.feedState(slot), FeedState.Live);
  await second.caches.stop();
});

Deno.test("a snapshot of another kind of feed, or of an endpoint without one, is left", async () => {
  const script = new Script();
  const first = await rig({ 1: script, 2: script });
  first.add(1);
  await settle();
  script.tell(first.claims.chain({ tokens: tokens(320), blockTokens: 16, lora: "" }));
  const messages = await Array.fromAsync(first.caches.snapshot());
  await first.caches.stop();
  for (const sources of [{ 1: new Script("zmq") }, {}]) {
    const other = await rig(sources);
    const reader: SnapshotReader = other.caches.reader();
    for (const message of messages) reader.read(message);
    const slot = other.add(1);
    equal(other.caches.status(slot).blocks.gpu, 0);
    equal(other.caches.index.feedState(slot), FeedState.Blind);
    await other.caches.stop();
  }
});

Deno.test("what was known of endpoints that never turn up is forgotten", async () => {
  const script = new Script();
  const first = await rig({ 1: script });
  first.add(1);
  await settle();
  script.tell(first.claims.chain({ tokens: tokens(320), blockTokens: 16, lora: "" }));
  const messages = await Array.fromAsync(first.caches.snapshot());
  await first.caches.stop();
  const second = await rig({ 1: script });
  const reader = second.caches.reader();
  for (const message of messages) reader.read(message);
  second.clock.advance(600_000);
  equal(second.caches.unclaimed, 0);
  await second.caches.stop();
});

Deno.test("a full memory is told of, once a minute", async () => {
  const script = new Script();
  const { caches, add, clock, full } = await rig({ 1: script }, 65_536);
  add(1);
  await settle();
  const many = (from: number) => BigUint64Array.from({ length: 8000 }, (_, i) => BigInt(from + i) << 20n);
  script.tell(many(1));
  clock.advance(300);
  equal(full.length, 1);
  ok(full[0] > 1000);
  script.sink!.batch({ seq: 6, timestamp: 1, events: [{ kind: "held", tier: KvTier.Gpu, hashes: many(10_000) }] });
  clock.advance(1000);
  equal(full.length, 1);
  clock.advance(60_000);
  equal(full.length, 2);
  await caches.stop();
});

/** Every look at it finds 3 ms later: a turn is over at the second question. */
class HastyClock extends VirtualClock {
  #looks = 0;

  override now(): number {
    return super.now() + 3 * this.#looks++;
  }
}

Deno.test("snapshot() has an endpoint's blocks and position of one moment, whatever is told meanwhile", async () => {
  const script = new Script();
  // Sparse enough to be read in many parts.
  const { caches, add } = await rig({ 1: script }, 64 << 20, new HastyClock());
  add(1);
  await settle();
  script.tell(BigUint64Array.from({ length: 3000 }, (_, i) => BigInt(i + 1)));
  let done = false, seq = 5, waited = 0;
  const reading = Array.fromAsync(caches.snapshot()).finally(() => done = true);
  while (!done) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    const hashes = BigUint64Array.of(BigInt(3000 - seq));
    script.sink!.batch({ seq: ++seq, timestamp: 0, events: [{ kind: "released", tier: KvTier.Gpu, hashes }] });
    waited = Math.max(waited, caches.status(0).feed!.held);
  }
  ok(waited > 5, `${waited} batches waited`);
  const known: KnownEndpoint[] = [];
  const reader = new SnapshotReader(caches.seedCheck, (endpoint) => known.push(endpoint));
  for (const message of await reading) reader.read(message);
  reader.end();
  equal(3000 - known[0].blocks.length, known[0].checkpoint.seq - 5);
  equal(caches.status(0).blocks.gpu, 3000 - (seq - 5), "what waited was applied");
  await caches.stop();
});
