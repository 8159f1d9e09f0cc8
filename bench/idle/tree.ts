/** A tree for benchmarks, with the seed of an agent that was given none. */
import { openBlockTree } from "../../src/agent/mod.ts";
import type { BlockTree } from "../../src/hotpath/mod.ts";

export function openTree(slots: number): Promise<BlockTree> {
  return openBlockTree(slots, 64 << 20, "");
}
