// Block hashes: a prompt's bytes to one chained hash a block.
import { xxh64At, xxh64Pair } from "./xxh64";

/** XXH64 of `length` bytes at `at`. */
export function xxh64(at: usize, length: u32, seed: u64): u64 {
  return xxh64At(at, length, seed);
}

/**
 * Writes one u64 a block of `blockBytes` to `out` (a last, shorter block included) and returns the number:
 *   content_i = XXH64(block_i, seed),  h_i = XXH64(LE64(content_i) ‖ LE64(h_{i-1})),  h_{-1} = root.
 * With seed 0 and root XXH64(model ‖ salt) these are llm-d's approximate-prefix hashes. Content does not depend on the
 * chain, so that the processor overlaps the blocks.
 */
export function hashBlocks(at: usize, length: u32, blockBytes: u32, seed: u64, root: u64, out: usize): u32 {
  let chain = root;
  let blocks: u32 = 0;
  for (let done: u32 = 0; done < length; blocks++) {
    const size = min(blockBytes, length - done);
    chain = xxh64Pair(xxh64At(at + done, size, seed), chain);
    store<u64>(out + (<usize>blocks << 3), chain);
    done += size;
  }
  return blocks;
}
