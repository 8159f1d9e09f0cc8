import { deepStrictEqual, equal, match } from "node:assert/strict";
import { createServer, type Http2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { type FeedState, feedStateNames, sleep, systemClock } from "../../core/mod.ts";
import { warmpathFeed } from "../../proto/mod.ts";
import type { KvBatch } from "../../protocol/mod.ts";
import { AgentSource } from "./agent.ts";
import { packHashes } from "./agent_wire.ts";
import type { FeedPosition, FeedSink } from "./types.ts";

type Init = MessageInitShape<typeof warmpathFeed.FeedMessageSchema>["message"];
type Script = (request: warmpathFeed.SubscribeRequest) => AsyncIterable<Init> | Iterable<Init>;

const hello = (epoch = "e1", seq = 0n): Init => ({ case: "hello", value: { epoch, seq, oldestSeq: 1n } });
const begin = (seq: bigint): Init => ({ case: "snapshotBegin", value: { epoch: "e1", seq } });
const end: Init = { case: "snapshotEnd", value: {} };
const blocks = (tier: number, ...hashes: bigint[]) => ({ tier, hashes: packHashes(BigUint64Array.from(hashes)) });
const part = (tier: number, ...hashes: bigint[]): Init => ({
  case: "snapshotPart",
  value: { blocks: blocks(tier, ...hashes) },
});
const delta = (seq: bigint, value: Omit<MessageInitShape<typeof warmpathFeed.DeltaSchema>, "seq"> = {}): Init => ({
  case: "delta",
  value: { ...value, seq } as MessageInitShape<typeof warmpathFeed.DeltaSchema>,
});

/** Notes the calls. */
class Notes implements FeedSink {
  readonly calls: unknown[] = [];
  connected = (epoch?: string) => void this.calls.push(["connected", epoch]);
  batch = (batch: KvBatch) => void this.calls.push(["batch", batch]);
  snapshotBegin = (position: FeedPosition) => void this.calls.push(["begin", position]);
  snapshotPart = (batch: KvBatch) => void this.calls.push(["part", batch.events]);
  snapshotEnd = () => void this.calls.push(["end"]);
  load = (sample: unknown) => void this.calls.push(["load", sample]);
  heartbeat = () => void this.calls.push(["heartbeat"]);
  upstreamState = (state: FeedState, reason: string) => void this.calls.push([feedStateNames[state], reason]);
}

/** Runs a source against an agent that says what `script` says; resolves with why the source ended. */
async function runAgainst(
  script: Script,
  from: FeedPosition = { epoch: "", seq: -1 },
  options: { silenceMs?: number; rank?: number } = {},
): Promise<{ notes: unknown[]; error: Error | undefined; requests: warmpathFeed.SubscribeRequest[] }> {
  const requests: warmpathFeed.SubscribeRequest[] = [];
  const sockets = new Set<Socket>();
  const server: Http2Server = createServer(connectNodeAdapter({
    routes: (router) =>
      router.service(warmpathFeed.FeedService, {
        async *subscribe(request) {
          requests.push(request);
          for await (const message of script(request)) yield create(warmpathFeed.FeedMessageSchema, { message });
        },
      }),
  }));
  server.on("connection", (socket: Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const sink = new Notes();
  const source = new AgentSource({ host: "127.0.0.1", port, seedCheck: 77n, ...options });
  const error = await source.run(sink, from, new AbortController().signal).then(() => undefined, (e) => e as Error);
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return { notes: sink.calls, error, requests };
}

Deno.test("AgentSource turns messages into calls in their order", async () => {
  const { notes, error, requests } = await runAgainst(
    () => [
      hello("e1", 7n),
      { case: "state", value: { state: warmpathFeed.State.SUSPECT, reason: "a gap" } },
      begin(7n),
      part(0, 1n, 0xffff_ffff_ffff_fff0n),
      end,
      delta(8n, { timestamp: 5.5, cleared: true, held: [blocks(1, 9n)], released: [blocks(3, 4n)] }),
      { case: "load", value: { running: 4, kvUsage: 0, waitingUncachedTokens: 9_000_000_000n } },
      { case: "heartbeat", value: {} },
    ],
    undefined,
    { rank: 3 },
  );
  deepStrictEqual(notes, [
    ["connected", "e1"],
    ["RESYNC", "the agent sends what was missed"],
    ["SUSPECT", "a gap"],
    ["begin", { epoch: "e1", seq: 7 }],
    ["part", [{ kind: "held", tier: 0, hashes: BigUint64Array.of(1n, 0xffff_ffff_ffff_fff0n) }]],
    ["end"],
    ["batch", {
      seq: 8,
      timestamp: 5.5,
      events: [
        { kind: "cleared" },
        { kind: "released", tier: 3, hashes: BigUint64Array.of(4n) },
        { kind: "held", tier: 1, hashes: BigUint64Array.of(9n) },
      ],
    }],
    ["load", {
      running: 4,
      waiting: undefined,
      kvUsage: 0,
      waitingUncachedTokens: 9_000_000_000,
      cacheBlocks: undefined,
      cacheBlockTokens: undefined,
    }],
    ["heartbeat"],
  ]);
  match(error!.message, /ended the subscription/);
  const { epoch, seq, seedCheck, client, rank } = requests[0];
  deepStrictEqual([epoch, seq, seedCheck, rank], ["", 0n, 77n, 3]);
  equal(client.length, 32);
});

Deno.test("AgentSource goes on from its position within the same life", async () => {
  const { notes, requests } = await runAgainst(() => [hello(), delta(5n), delta(6n)], { epoch: "e1", seq: 4 });
  deepStrictEqual([requests[0].epoch, requests[0].seq], ["e1", 4n]);
  deepStrictEqual(notes.slice(2), [5, 6].map((seq) => ["batch", { seq, timestamp: 0, events: [] }]));
});

const broken: Record<string, [script: Script, from: FeedPosition, message: RegExp]> = {
  "no hello": [() => [delta(1n)], { epoch: "", seq: -1 }, /did not begin with a hello/],
  "two hellos": [() => [hello(), hello()], { epoch: "", seq: -1 }, /must have one hello/],
  "a missing delta": [() => [hello(), delta(5n), delta(7n)], { epoch: "e1", seq: 4 }, /delta 6 must come next/],
  "deltas of another life": [() => [hello("e2"), delta(5n)], { epoch: "e1", seq: 4 }, /a snapshot must come next/],
  "a delta inside a snapshot": [() => [hello(), begin(4n), delta(5n)], { epoch: "", seq: -1 }, /a snapshot must/],
  "a part outside a snapshot": [() => [hello(), part(0, 1n)], { epoch: "", seq: -1 }, /part came outside/],
  "an end outside a snapshot": [() => [hello(), end], { epoch: "", seq: -1 }, /had not begun/],
  "half a hash": [
    () => [hello(), begin(4n), { case: "snapshotPart", value: { blocks: { tier: 0, hashes: new Uint8Array(12) } } }],
    { epoch: "", seq: -1 },
    /must be 8 bytes each: it sent 12/,
  ],
};

for (const [what, [script, from, message]] of Object.entries(broken)) {
  Deno.test(`AgentSource ends the link at ${what}`, async () => {
    match((await runAgainst(script, from)).error!.message, message);
  });
}

Deno.test("AgentSource counts blocks on a tier it does not know, and applies the rest", async () => {
  const unknown = { held: [blocks(9, 1n), blocks(2, 2n)] };
  const { notes } = await runAgainst(() => [hello(), delta(1n, unknown)], { epoch: "e1", seq: 0 });
  deepStrictEqual(notes.at(-1), ["batch", {
    seq: 1,
    timestamp: 0,
    events: [{ kind: "held", tier: 2, hashes: BigUint64Array.of(2n) }],
    skipped: { "unknown-medium": 1 },
  }]);
});

Deno.test("AgentSource gives the link up when nothing is heard", async () => {
  const { error } = await runAgainst(
    async function* () {
      yield hello();
      await sleep(systemClock, 400);
    },
    undefined,
    { silenceMs: 50 },
  );
  match(error!.message, /said nothing for 50 ms/);
});

Deno.test("AgentSource passes on why the agent refused", async () => {
  const refuse = (code: Code) => () => {
    throw new ConnectError("the hash seed differs", code);
  };
  const precondition = await runAgainst(refuse(Code.FailedPrecondition));
  match(
    precondition.error!.message,
    /^Cannot subscribe to the agent at http:\/\/127\.0\.0\.1:\d+: the hash seed differs$/,
  );
  const unavailable = await runAgainst(refuse(Code.Unavailable));
  match(unavailable.error!.message, /^The agent at http:.* is lost: the hash seed differs$/);
});

Deno.test("AgentSource takes an IPv6 address with and without brackets", () => {
  const address = (host: string, tls = false) => new AgentSource({ host, port: 9700, seedCheck: 0n, tls }).address;
  equal(address("::1"), "http://[::1]:9700");
  equal(address("[::1]", true), "https://[::1]:9700");
});

Deno.test("AgentSource resolves when it is told to stop, before and while it runs", async () => {
  const source = new AgentSource({ host: "127.0.0.1", port: 1, seedCheck: 0n });
  await source.run(new Notes(), { epoch: "", seq: -1 }, AbortSignal.abort());
  const stop = new AbortController();
  const running = source.run(new Notes(), { epoch: "", seq: -1 }, stop.signal);
  stop.abort();
  await running;
});
