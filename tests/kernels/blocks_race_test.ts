import { equal, ok } from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { KvTier } from "../../src/core/mod.ts";
import { Hotpath } from "../../src/hotpath/mod.ts";
import { checkBlocks } from "./blocks_invariants.ts";
import type { BlocksReaderJob, BlocksReaderReport } from "./blocks_reader.ts";

Deno.test("a reader on another thread sees whole states only while the writer stores, removes, clears and sweeps", async () => {
  const slots = 8, some = 20;
  const hotpath = await Hotpath.load(
    { endpoints: slots, blockTreeBytes: 1 << 19, bodyBytesMax: 16_384, prefixTokensMax: 64 },
    1,
  );
  const { memory, layout } = hotpath.instance;
  const tree = hotpath.blockTree;
  const blockTokens = 4;
  const tokens = Uint32Array.from({ length: 300 * blockTokens }, (_, i) => i);
  const path = tree.chain({ tokens, blockTokens, lora: "" });
  tree.hold(0, KvTier.Gpu, path);

  const worker = new Worker(new URL("./blocks_reader.ts", import.meta.url));
  const { promise, resolve, reject } = Promise.withResolvers<BlocksReaderReport>();
  const started = Promise.withResolvers<void>();
  worker.on("message", (data) => data === "started" ? started.resolve() : resolve(data));
  worker.on("error", reject);
  const scratch = Math.ceil(layout.body.offset / 64) * 64;
  const job: BlocksReaderJob = { memory, tree: layout.blockTree.offset, scratch, path, some, slots, rounds: 100_000 };
  worker.postMessage(job);
  await started.promise;
  let report: BlocksReaderReport | undefined;
  promise.then((value) => report = value);
  let writes = 0;
  while (!report) {
    // An odd number, so that the pauses between batches show both states.
    for (let i = 0; i < 101; i++, writes++) {
      if (writes % 2) tree.clear(1);
      else tree.hold(1, KvTier.Cpu, path.subarray(0, some));
      // The others change the holders of leading parts of the path, and bring blocks of their own.
      const slot = 2 + writes % 6;
      const length = 10 + writes % 200;
      const own = tokens.subarray(0, length * blockTokens).map((token, at) => at < length * 2 ? token : token + writes);
      const hashes = BigUint64Array.from({ length }, (_, at) => BigInt(writes * 1000 + at));
      tree.store(slot, { tier: KvTier.Gpu, hashes, tokens: own, blockTokens, lora: "" });
      tree.remove(slot, KvTier.Gpu, hashes.subarray(length >> 1));
      if (writes % 10 === 0) tree.clear(2 + (writes / 10) % 6);
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  await worker.terminate();
  equal(report.torn, 0);
  ok(report.seen[0] > 0 && report.seen[1] > 0, `both states were seen: ${report.seen}`);
  ok(writes > 200, "the writer was at work");
  equal(tree.stats().evicted, 0);
  checkBlocks(memory.buffer, layout.blockTree.offset);
});
