import { equal, ok } from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { Hotpath } from "../../src/hotpath/mod.ts";
import { checkTree } from "./tree_invariants.ts";
import type { ReaderJob, ReaderReport } from "./tree_reader.ts";

Deno.test("a reader on another thread sees whole states only while the writer splits, trims and evicts", async () => {
  const blocks = 300;
  const hotpath = await Hotpath.load(
    { endpoints: 4, prefixTreeBytes: 32_768, bodyBytesMax: 8192, prefixTokensMax: 16 * blocks },
    1,
  );
  const { memory, layout } = hotpath.instance;
  const tree = hotpath.prefixTree;
  const path = (first: bigint) => BigUint64Array.from({ length: blocks }, (_, i) => first + BigInt(i * 7919));
  const paths = [path(1n << 40n), path(1n << 50n)];
  // Room for one path: each insert drops the other in the same step.
  tree.setCapacity(0, blocks);
  for (let slot = 1; slot < 4; slot++) tree.setCapacity(slot, 1000);
  tree.insert(0, paths[0], true);

  const worker = new Worker(new URL("./tree_reader.ts", import.meta.url));
  const { promise, resolve, reject } = Promise.withResolvers<ReaderReport>();
  const started = Promise.withResolvers<void>();
  worker.on("message", (data) => data === "started" ? started.resolve() : resolve(data));
  worker.on("error", reject);
  const job: ReaderJob = {
    memory,
    tree: layout.prefixTree.offset,
    hashes: layout.body.offset,
    matches: layout.body.offset + blocks * 8,
    paths,
    rounds: 100_000,
  };
  worker.postMessage(job);
  await started.promise;
  let report: ReaderReport | undefined;
  promise.then((value) => report = value);
  let writes = 0;
  while (!report) {
    // An odd number, so that the pauses between batches show both states.
    for (let i = 0; i < 201; i++, writes++) {
      tree.insert(0, paths[writes % 2], true);
      // Other slots share leading parts, so that runs are split, and bring blocks of their own, so that memory is short.
      const shared = paths[writes % 2].slice(0, 20 + writes % 200);
      for (let j = shared.length - 10; j < shared.length; j++) shared[j] ^= BigInt(writes) << 8n;
      tree.insert(1 + writes % 3, shared, true);
      if (writes % 50 === 0) tree.clearSlot(1 + writes % 3);
    }
    await new Promise((resolve) => setTimeout(resolve));
  }
  await worker.terminate();
  equal(report.torn, 0);
  ok(report.hits[0] > 0 && report.hits[1] > 0, `both states were seen: ${report.hits}`);
  ok(writes > 200 && tree.stats().trimmedBlocks > blocks, "the writer was at work");
  checkTree(memory.buffer, layout.prefixTree.offset);
});
