/** Events made ready beforehand, so that only the tree's work is measured. */
import { KvTier } from "../../src/core/mod.ts";
import type { BlockTree } from "../../src/hotpath/mod.ts";
import { blockTokens, fillHashes, fillTokens, type Traffic, type TrafficEvent } from "./traffic.ts";

interface Ready {
  readonly slot: number;
  readonly hashes: BigUint64Array;
  readonly parent?: bigint;
  /** Absent: these blocks are removed. */
  readonly tokens?: Uint32Array;
}

export class Batch {
  readonly #events: Ready[];
  /** Blocks stored and removed. */
  readonly operations: number;

  constructor(readonly events: readonly TrafficEvent[]) {
    this.operations = events.reduce((sum, { count }) => sum + count, 0);
    this.#events = events.map(ready);
  }

  /** At least `operations` of the traffic to come; `kinds` of them only. */
  static of(traffic: Traffic, operations: number): Batch {
    const events: TrafficEvent[] = [];
    for (let count = 0; count < operations;) {
      for (const event of traffic.next()) {
        events.push(event);
        count += event.count;
      }
    }
    return new Batch(events);
  }

  /** Applies all of it; returns how many blocks changed. */
  apply(tree: BlockTree): number {
    let changed = 0;
    for (const { slot, hashes, parent, tokens } of this.#events) {
      if (!tokens) tree.remove(slot, KvTier.Gpu, hashes);
      else tree.store(slot, { tier: KvTier.Gpu, hashes, parent, tokens, blockTokens, lora: "" });
      changed += tree.changed.length;
    }
    return changed;
  }
}

function ready(event: TrafficEvent): Ready {
  const { kind, slot, source, from, count } = event;
  const hashes = new BigUint64Array(count);
  fillHashes(new Uint32Array(hashes.buffer), 0, event);
  if (kind === "remove") return { slot, hashes };
  const tokens = new Uint32Array(count * blockTokens);
  fillTokens(tokens, 0, source, from, count);
  const parent = from > 0
    ? hashOf(slot, source, from - 1)
    : source.system && hashOf(slot, source.system, source.system.blocks - 1);
  return { slot, hashes, parent, tokens };
}

/** An engine's hash of one block. */
export function hashOf(slot: number, source: TrafficEvent["source"], block: number): bigint {
  const hash = new BigUint64Array(1);
  fillHashes(new Uint32Array(hash.buffer), 0, { slot, source, from: block, count: 1 });
  return hash[0];
}
