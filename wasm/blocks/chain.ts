// The chained hash of tokens: a state that each token moves on, so that equal prefixes have equal hashes however they
// are cut into blocks. The step is the four-byte step of XXH64, that of extra strings its eight-byte step.

const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;

/** The state after `count` tokens, u32 at `tokens`. */
export function extend(state: u64, tokens: usize, count: u32): u64 {
  for (const end = tokens + (<usize>count << 2); tokens < end; tokens += 4) {
    state = rotl<u64>(state ^ (<u64>load<u32>(tokens) * P1), 23) * P2 + P3;
  }
  return state;
}

/** The state after an extra string of hash `word`. */
export function mixWord(state: u64, word: u64): u64 {
  return rotl<u64>(state ^ (rotl<u64>(word * P2, 31) * P1), 27) * P1 + P4;
}
