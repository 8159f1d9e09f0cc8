// The hash kernel in TypeScript, for differential tests.

export const mask = 0xffff_ffff_ffff_ffffn;
export const p1 = 0x9e3779b185ebca87n;
export const p2 = 0xc2b2ae3d27d4eb4fn;
export const p3 = 0x165667b19e3779f9n;
export const p4 = 0x85ebca77c2b2ae63n;
const p5 = 0x27d4eb2f165667c5n;

export const rotl = (x: bigint, by: bigint) => ((x << by) | (x >> (64n - by))) & mask;
const mul = (a: bigint, b: bigint) => (a * b) & mask;
const add = (a: bigint, b: bigint) => (a + b) & mask;
const round = (lane: bigint, input: bigint) => mul(rotl(add(lane, mul(input, p2)), 31n), p1);

/** XXH64, as published by Yann Collet. */
export function xxh64Twin(bytes: Uint8Array, seed: bigint): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  let hash: bigint;
  if (bytes.length >= 32) {
    const lanes = [add(add(seed, p1), p2), add(seed, p2), seed & mask, add(seed, mask + 1n - p1)];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let i = 0; i < 4; i++) lanes[i] = round(lanes[i], view.getBigUint64(at + 8 * i, true));
    }
    hash = [1n, 7n, 12n, 18n].reduce((sum, by, i) => add(sum, rotl(lanes[i], by)), 0n);
    for (const lane of lanes) hash = add(mul(hash ^ round(0n, lane), p1), p4);
  } else {
    hash = add(seed, p5);
  }
  hash = add(hash, BigInt(bytes.length));
  for (; at + 8 <= bytes.length; at += 8) {
    hash = add(mul(rotl(hash ^ round(0n, view.getBigUint64(at, true)), 27n), p1), p4);
  }
  if (at + 4 <= bytes.length) {
    hash = add(mul(rotl(hash ^ mul(BigInt(view.getUint32(at, true)), p1), 23n), p2), p3);
    at += 4;
  }
  for (; at < bytes.length; at++) hash = mul(rotl(hash ^ mul(BigInt(bytes[at]), p5), 11n), p1);
  hash = mul(hash ^ (hash >> 33n), p2);
  hash = mul(hash ^ (hash >> 29n), p3);
  return hash ^ (hash >> 32n);
}

/** One chained hash a block, as `hashBlocks` of the kernel. */
export function hashBlocksTwin(bytes: Uint8Array, blockBytes: number, seed: bigint, root: bigint): bigint[] {
  const hashes: bigint[] = [];
  const pair = new BigUint64Array(2);
  for (let at = 0; at < bytes.length; at += blockBytes) {
    pair[0] = xxh64Twin(bytes.subarray(at, at + blockBytes), seed);
    pair[1] = hashes.at(-1) ?? root;
    hashes.push(xxh64Twin(new Uint8Array(pair.buffer), 0n));
  }
  return hashes;
}
