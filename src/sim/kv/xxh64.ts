const mask = 0xffff_ffff_ffff_ffffn;
const p1 = 0x9e3779b185ebca87n;
const p2 = 0xc2b2ae3d27d4eb4fn;
const p3 = 0x165667b19e3779f9n;
const p4 = 0x85ebca77c2b2ae63n;
const p5 = 0x27d4eb2f165667c5n;

const rotl = (x: bigint, bits: bigint) => ((x << bits) | (x >> (64n - bits))) & mask;
const round = (acc: bigint, lane: bigint) => rotl((acc + lane * p2) & mask, 31n) * p1 & mask;

/** XXH64 with seed 0. */
export function xxh64(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let hash = p5;
  if (bytes.length >= 32) {
    const acc = [(p1 + p2) & mask, p2, 0n, -p1 & mask];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let i = 0; i < 4; i++) acc[i] = round(acc[i], view.getBigUint64(at + i * 8, true));
    }
    hash = (rotl(acc[0], 1n) + rotl(acc[1], 7n) + rotl(acc[2], 12n) + rotl(acc[3], 18n)) & mask;
    for (const each of acc) hash = ((hash ^ round(0n, each)) * p1 + p4) & mask;
  }
  hash = (hash + BigInt(bytes.length)) & mask;
  for (; at + 8 <= bytes.length; at += 8) {
    hash = (rotl(hash ^ round(0n, view.getBigUint64(at, true)), 27n) * p1 + p4) & mask;
  }
  if (at + 4 <= bytes.length) {
    hash = (rotl(hash ^ (BigInt(view.getUint32(at, true)) * p1 & mask), 23n) * p2 + p3) & mask;
    at += 4;
  }
  for (; at < bytes.length; at++) hash = rotl(hash ^ (BigInt(bytes[at]) * p5 & mask), 11n) * p1 & mask;
  hash = (hash ^ (hash >> 33n)) * p2 & mask;
  hash = (hash ^ (hash >> 29n)) * p3 & mask;
  return hash ^ (hash >> 32n);
}

/** FNV-1a, 64 bit, in four 16-bit limbs: no BigInt a byte. */
export function fnv1a64(bytes: Uint8Array): bigint {
  let a = 0x2325, b = 0x8422, c = 0x9ce4, d = 0xcbf2;
  for (let i = 0; i < bytes.length; i++) {
    a ^= bytes[i];
    // The prime is 2^40 + 0x1b3: the first limb also lands 40 bits up.
    const t0 = a * 0x1b3;
    const t1 = b * 0x1b3 + (t0 >>> 16);
    const t2 = c * 0x1b3 + (t1 >>> 16) + ((a & 0xff) << 8);
    const t3 = d * 0x1b3 + (t2 >>> 16) + (a >>> 8) + ((b & 0xff) << 8);
    a = t0 & 0xffff;
    b = t1 & 0xffff;
    c = t2 & 0xffff;
    d = t3 & 0xffff;
  }
  return (BigInt(d) << 48n) | (BigInt(c) << 32n) | (BigInt(b) << 16n) | BigInt(a);
}
