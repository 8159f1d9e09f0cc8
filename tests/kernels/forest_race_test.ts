import { equal, ok } from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { chain, forestOf, full, type Sketch } from "../../src/hotpath/forest_fixture.ts";
import { type ForestTarget, Hotpath, packForest } from "../../src/hotpath/mod.ts";
import type { ForestReaderJob, ForestReaderReport } from "./forest_reader.ts";

const trees = 24, margin = 0.25;
/** Of other shapes, so that a mixture of two leads anywhere. */
const shapes: readonly ((leaf: number) => Sketch)[] = [
  (leaf) => full(6, leaf),
  (leaf) => chain(30, leaf),
  (leaf) => ({ feature: 1, codes: [0, 3, 900], left: full(3, leaf), right: chain(12, leaf) }),
  (leaf) => leaf,
];

Deno.test("a reader on another thread scores by whole forests only while they are replaced without pause", async () => {
  const sizes = {
    endpoints: 96,
    blockTreeBytes: 0,
    bodyBytesMax: 64,
    prefixTokensMax: 64,
    forestBytes: 1 << 17,
    isolates: 2,
  };
  const hotpath = await Hotpath.load(sizes, 1);
  const leaves = shapes.map((_, i) => i + 1);
  const packed = shapes.map((shape, i) =>
    packForest(forestOf(...Array.from({ length: trees }, () => shape(leaves[i]))), [3, 8])
  );
  const publish = (target: ForestTarget, which: number) =>
    hotpath.forests.publish(target, packed[which % shapes.length]);
  for (const target of [0, 1] as const) publish(target, 0);

  const worker = new Worker(new URL("./forest_reader.ts", import.meta.url));
  const { promise, resolve, reject } = Promise.withResolvers<ForestReaderReport>();
  const started = Promise.withResolvers<void>();
  worker.on("message", (data) => data === "started" ? started.resolve() : resolve(data));
  worker.on("error", reject);
  const job: ForestReaderJob = { shared: hotpath.shared, sizes, rounds: 5000, trees, leaves, margin };
  worker.postMessage(job);
  await started.promise;
  let report: ForestReaderReport | undefined;
  promise.then((value) => report = value);
  let publications = 0;
  while (!report) {
    for (let i = 0; i < 42; i++) publish((publications & 1) as ForestTarget, publications++ >> 1);
    await new Promise((resolve) => setTimeout(resolve));
  }
  await worker.terminate();
  equal(report.torn, 0);
  ok(report.seen.slice(0, shapes.length).every((times) => times > 0), `every forest was seen: ${report.seen}`);
  ok(publications > 200, "the writer was at work");
});
