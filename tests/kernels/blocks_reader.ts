// A reader on another thread: matches a path of which slot 0 always holds all, and slot 1 none or its first blocks.
import { parentPort } from "node:worker_threads";

export interface BlocksReaderJob {
  readonly memory: WebAssembly.Memory;
  readonly tree: number;
  /** Scratch of this reader: the path, then the answer. */
  readonly scratch: number;
  readonly path: BigUint64Array;
  /** Blocks slot 1 holds when it holds any. */
  readonly some: number;
  readonly slots: number;
  readonly rounds: number;
}

export interface BlocksReaderReport {
  /** Answers that no moment between two writes gives. */
  readonly torn: number;
  /** Matches by whether slot 1 held nothing or some. */
  readonly seen: number[];
}

parentPort!.once("message", async (job: BlocksReaderJob) => {
  const { memory, tree, scratch, path, some, slots, rounds } = job;
  const binary = await Deno.readFile(new URL("../../src/hotpath/warmpath.wasm", import.meta.url));
  const instance = await WebAssembly.instantiate(await WebAssembly.compile(binary), { env: { memory } });
  const blocksMatch = instance.exports.blocksMatch as (...args: number[]) => number;
  new BigUint64Array(memory.buffer, scratch, path.length).set(path);
  const out = scratch + path.length * 8;
  const answer = new Int32Array(memory.buffer, out, slots * 5);
  const report = { torn: 0, seen: [0, 0] };
  parentPort!.postMessage("started");
  for (let round = 0; round < rounds; round++) {
    // Less than 0: the writer left no quiet moment.
    if (blocksMatch(tree, scratch, path.length, out, slots) < 0) continue;
    const whole = answer[0] === path.length && answer[slots] === path.length;
    if (!whole || (answer[1] !== 0 && answer[1] !== some)) report.torn++;
    else report.seen[answer[1] === 0 ? 0 : 1]++;
  }
  parentPort!.postMessage(report);
});
