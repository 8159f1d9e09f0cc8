// A reader on another thread: matches two paths of which slot 0 holds exactly one at any time, and counts its answers.
import { parentPort } from "node:worker_threads";

export interface ReaderJob {
  readonly memory: WebAssembly.Memory;
  readonly tree: number;
  /** Scratch of this reader. */
  readonly hashes: number;
  readonly matches: number;
  readonly paths: readonly BigUint64Array[];
  readonly rounds: number;
}

export interface ReaderReport {
  /** Answers that no moment between two writes gives. */
  readonly torn: number;
  /** Matches of each path. */
  readonly hits: number[];
}

parentPort!.once("message", async (data: ReaderJob) => {
  const { memory, tree, hashes, matches, paths, rounds } = data;
  const binary = await Deno.readFile(new URL("../../src/hotpath/warmpath.wasm", import.meta.url));
  const instance = await WebAssembly.instantiate(await WebAssembly.compile(binary), { env: { memory } });
  const treeMatch = instance.exports.treeMatch as (...args: number[]) => number;
  const input = new BigUint64Array(memory.buffer, hashes, paths[0].length);
  const output = new Int32Array(memory.buffer, matches, 1);
  const report = { torn: 0, hits: paths.map(() => 0) };
  parentPort!.postMessage("started");
  for (let round = 0; round < rounds; round++) {
    const which = round % paths.length;
    input.set(paths[which]);
    // Less than 0: the writer left no quiet moment.
    if (treeMatch(tree, hashes, input.length, matches, 1) < 0) continue;
    if (output[0] === input.length) report.hits[which]++;
    else if (output[0] !== 0) report.torn++;
  }
  parentPort!.postMessage(report);
});
