// Content of a valid JSON string to the UTF-8 it stands for.
import { hex4, hexEscape } from "./text";

/** Copies bytes up to the next backslash, `end`, or until `limit`; may write up to 16 bytes past `limit`. */
// @ts-ignore: decorator
@inline
function copyPlain(p: usize, end: usize, o: usize, limit: usize): usize {
  const start = p;
  while (p < end && o < limit) {
    const v = v128.load(p);
    v128.store(o, v);
    const mask = i8x16.bitmask(i8x16.eq(v, i8x16.splat(0x5c)));
    if (mask) return p + ctz(mask) - start;
    p += 16;
    o += 16;
  }
  return p - start;
}

/**
 * Writes [p, end) unescaped to `o`, up to `limit`, and returns the address after the last byte. A lone surrogate becomes
 * U+FFFD. Up to 16 bytes past `limit` are overwritten.
 */
export function unescape(p: usize, end: usize, o: usize, limit: usize): usize {
  while (p < end && o < limit) {
    if (load<u8>(p) != 0x5c) {
      const room = limit - o;
      const left = end - p;
      const length = copyPlain(p, end, o, limit);
      const taken = length < left ? length : left;
      if (taken >= room) return limit;
      p += taken;
      o += taken;
      continue;
    }
    const c: u32 = load<u8>(p, 1);
    if (c != 0x75) {
      store<u8>(o++, simpleEscape(c));
      p += 2;
      continue;
    }
    let point: u32 = hex4(p + 2);
    p += 6;
    if ((point & 0xf800) == 0xd800) {
      const low: u32 = point < 0xdc00 && p < end ? hexEscape(p) : 0;
      if ((low & 0xfc00) == 0xdc00) {
        point = 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff);
        p += 6;
      } else {
        point = 0xfffd;
      }
    }
    o = writeUtf8(o, point);
  }
  return o < limit ? o : limit;
}

function simpleEscape(c: u32): u32 {
  switch (c) {
    case 0x62: return 0x08;
    case 0x66: return 0x0c;
    case 0x6e: return 0x0a;
    case 0x72: return 0x0d;
    case 0x74: return 0x09;
    default: return c;
  }
}

/** Writes a code point as UTF-8: one store of four bytes, of which the first ones count. */
function writeUtf8(o: usize, point: u32): usize {
  if (point < 0x80) {
    store<u8>(o, point);
    return o + 1;
  }
  if (point < 0x800) {
    store<u16>(o, 0x80c0 | point >> 6 | (point & 0x3f) << 8);
    return o + 2;
  }
  if (point < 0x10000) {
    store<u32>(o, 0x8080e0 | point >> 12 | (point >> 6 & 0x3f) << 8 | (point & 0x3f) << 16);
    return o + 3;
  }
  store<u32>(
    o,
    0x808080f0 | point >> 18 | (point >> 12 & 0x3f) << 8 | (point >> 6 & 0x3f) << 16 | (point & 0x3f) << 24,
  );
  return o + 4;
}
