import { BlockTree, instantiate } from "../hotpath/mod.ts";
import { hashSeedOf } from "../kv/mod.ts";

/** A block tree with a memory of its own. `hashSeed` as in the routers' configuration. */
export async function openBlockTree(slots: number, bytes: number, hashSeed: string): Promise<BlockTree> {
  const sizes = { endpoints: slots, blockTreeBytes: bytes, bodyBytesMax: 0, prefixTokensMax: 0 };
  const tree = new BlockTree(await instantiate(sizes, 0), slots, hashSeedOf(hashSeed));
  tree.init(bytes);
  return tree;
}
