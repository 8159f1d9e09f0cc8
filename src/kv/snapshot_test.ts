import { deepStrictEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { type HeldBlock, HeldBlocks } from "../hotpath/mod.ts";
import {
  type KnownEndpoint,
  SnapshotError,
  type SnapshotMessage,
  snapshotMessages,
  SnapshotReader,
} from "./snapshot.ts";
import { readSnapshotFile, writeSnapshotFile } from "./snapshot_file.ts";

const seedCheck = 0xfedc_ba98_7654_3210n;

function known(id: string, held: Iterable<HeldBlock>): KnownEndpoint {
  const checkpoint = {
    epoch: "e",
    seq: 2 ** 40 + 7,
    timestamp: 1_760_000_000.25,
    firstTimestamp: 1_750_000_000.5,
    whole: true,
    mirror: { blockTokens: 16, groups: { chosen: 1, kinds: [[0, "mamba"], [1, "full_attention"]] as const } },
  };
  return { id, feed: "zmq", checkpoint, blocks: HeldBlocks.from(held) };
}

const block = fc.record({
  hash: fc.bigInt(1n, 2n ** 64n - 1n),
  engineHash: fc.option(fc.bigInt(1n, 2n ** 64n - 1n), { nil: undefined }),
  tiers: fc.tuple(fc.nat(63), fc.nat(63), fc.nat(63), fc.nat(63)),
});

function readAll(messages: readonly SnapshotMessage[]) {
  const taken: KnownEndpoint[] = [];
  const reader = new SnapshotReader(seedCheck, (endpoint) => taken.push(endpoint));
  for (const message of messages) reader.read(message);
  reader.end();
  return taken;
}

const plain = (endpoints: readonly KnownEndpoint[]) =>
  endpoints.map(({ blocks, ...rest }) => ({ ...rest, blocks: [...blocks] }));

Deno.test("SnapshotReader gives back what snapshotMessages() was given", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(block, { maxLength: 40 }), { maxLength: 4 }), async (pools) => {
      const endpoints = pools.map((held, i) => known(`host:${i}`, held));
      deepStrictEqual(
        plain(readAll(await Array.fromAsync(snapshotMessages(seedCheck, 5, endpoints)))),
        plain(endpoints),
      );
    }),
    { seed: 3, numRuns: 50 },
  );
});

Deno.test("snapshotMessages() cuts an endpoint of many blocks into messages of bounded size", async () => {
  const held = Array.from({ length: 20_000 }, (_, i): HeldBlock => ({ hash: BigInt(i + 1), tiers: [1, 0, 0, 0] }));
  const messages = await Array.fromAsync(snapshotMessages(seedCheck, 5, [known("a:1", held)]));
  deepStrictEqual(messages.map(({ message }) => message.case), [
    "header",
    "endpoint",
    "blocks",
    "blocks",
    "blocks",
    "end",
  ]);
  equal([...readAll(messages)[0].blocks].length, 20_000);
});

Deno.test("SnapshotReader refuses other seeds, unequal columns and what is cut off, and keeps whole endpoints", async () => {
  const held: HeldBlock[] = [{ hash: 1n, engineHash: 2n, tiers: [1, 0, 0, 0] }];
  const messages = await Array.fromAsync(snapshotMessages(seedCheck, 5, [known("a:1", held), known("b:1", held)]));
  const foreign = await Array.fromAsync(snapshotMessages(1n, 5, []));
  throws(() => readAll(foreign), /hashSeed/);
  throws(() => readAll(messages.slice(1)), SnapshotError);
  throws(() => readAll([...messages, messages[1]]), SnapshotError);
  const taken: string[] = [];
  const reader = new SnapshotReader(seedCheck, ({ id }) => taken.push(id));
  for (const message of messages.slice(0, -1)) reader.read(message);
  throws(() => reader.end(), SnapshotError);
  deepStrictEqual(taken, ["a:1"]);
  const bad = structuredClone(messages[2]);
  if (bad.message.case === "blocks") bad.message.value.hashes = new Uint8Array(7);
  throws(() => readAll([...messages.slice(0, 2), bad]), SnapshotError);
});

Deno.test("the snapshot file is read back, is absent without harm, and is refused when cut off or foreign", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "cache.snapshot");
    const held = Array.from({ length: 9000 }, (_, i): HeldBlock => ({
      hash: BigInt(i + 1) << 40n,
      engineHash: BigInt(i + 7),
      tiers: [1, 2, 0, 0],
    }));
    const endpoints = [known("a:1", held), known("b:1", [])];
    const bytes = await writeSnapshotFile(path, snapshotMessages(seedCheck, 5, endpoints));
    ok(bytes < 21 * 9000, `${bytes} bytes`);
    deepStrictEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["cache.snapshot"]);
    const taken: KnownEndpoint[] = [];
    const read = (from: string) => readSnapshotFile(from, new SnapshotReader(seedCheck, (known) => taken.push(known)));
    equal(await read(path), true);
    deepStrictEqual(plain(taken), plain(endpoints));
    equal(await read(join(folder, "none")), false);
    const whole = await Deno.readFile(path);
    await Deno.writeFile(path, whole.subarray(0, whole.length - 100));
    await rejects(read(path));
    await Deno.writeFile(path, crypto.getRandomValues(new Uint8Array(5000)));
    await rejects(read(path));
    const failing = (async function* () {
      yield* snapshotMessages(seedCheck, 5, endpoints);
      throw new Error("the tree is gone");
    })();
    await rejects(writeSnapshotFile(path, failing), /the tree is gone/);
    deepStrictEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["cache.snapshot"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
