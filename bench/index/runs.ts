/** The same traffic for the tree of runs, which knows paths of chained hashes and no engine hashes. */
import { KvTier } from "../../src/core/mod.ts";
import type { BlockTree, PrefixTree } from "../../src/hotpath/mod.ts";
import { blockTokens, promptTokens, type Source, type Traffic } from "./traffic.ts";

interface Step {
  readonly slot: number;
  readonly kind: "store" | "remove";
  readonly path: BigUint64Array;
  /** Blocks of the path that were there before, or that stay. */
  readonly keep: number;
}

/** Chained hashes of a prompt that ends with `source`. */
export function runPath(hasher: BlockTree, source: Source): BigUint64Array {
  return hasher.chain({ tokens: promptTokens(source), blockTokens, lora: "" });
}

export class RunBatch {
  readonly #steps: readonly Step[];

  private constructor(steps: readonly Step[], readonly operations: number) {
    this.#steps = steps;
  }

  /** At least `operations` block changes of the traffic to come. */
  static of(traffic: Traffic, operations: number, hasher: BlockTree): RunBatch {
    const steps: Step[] = [];
    let done = 0;
    while (done < operations) {
      const paths = new Map<Source, BigUint64Array>();
      for (const { kind, slot, source, from, count } of traffic.next()) {
        done += count;
        let path = paths.get(source);
        if (!path) paths.set(source, path = runPath(hasher, source));
        const before = source.system?.blocks ?? 0;
        steps.push({ slot, kind, path: path.subarray(0, before + from + count), keep: before + from });
      }
    }
    return new RunBatch(steps, done);
  }

  apply(tree: PrefixTree): void {
    for (const { slot, kind, path, keep } of this.#steps) {
      if (kind === "store") tree.insert(slot, path, false);
      else tree.withdraw(slot, path, keep);
    }
  }

  /** The same for the block tree, by chained hash: neither tokens nor engine hashes. */
  applyByHash(tree: BlockTree): void {
    for (const { slot, kind, path, keep } of this.#steps) {
      const part = path.subarray(keep);
      if (kind === "store") tree.hold(slot, KvTier.Gpu, part);
      else tree.release(slot, KvTier.Gpu, part);
    }
  }
}
