// A reader on another thread: scores by forests of which all leaves of one are alike.
import { parentPort } from "node:worker_threads";
import { Hotpath, type MemorySizes, type SharedHotpath } from "../../src/hotpath/mod.ts";

export interface ForestReaderJob {
  readonly shared: SharedHotpath;
  readonly sizes: MemorySizes;
  readonly rounds: number;
  /** Trees of every forest. */
  readonly trees: number;
  /** Leaves of the forests. */
  readonly leaves: readonly number[];
  readonly margin: number;
}

export interface ForestReaderReport {
  /** Rows of a sum that no forest gives. */
  readonly torn: number;
  /** Scorings by each forest, and by none. */
  readonly seen: number[];
}

parentPort!.once("message", async ({ shared, sizes, rounds, trees, leaves, margin }: ForestReaderJob) => {
  const { forests } = await Hotpath.attach(shared, sizes, 1, 1);
  const rows = sizes.endpoints;
  const sums = [...leaves.map((leaf) => margin + trees * leaf), margin];
  const report = { torn: 0, seen: sums.map(() => 0) };
  forests.columns.forEach((column, at) => column.forEach((_, row) => column[row] = (row * 7 + at) % 9));
  for (const target of [0, 1] as const) forests.margins(target).fill(margin);
  parentPort!.postMessage("started");
  for (let round = 0; round < rounds; round++) {
    forests.score(rows);
    for (const target of [0, 1] as const) {
      const out = forests.out(target, 0);
      const which = sums.indexOf(out[0]);
      if (which >= 0) report.seen[which]++;
      for (let row = 0; row < rows; row++) if (which < 0 || out[row] !== sums[which]) report.torn++;
    }
  }
  parentPort!.postMessage(report);
});
