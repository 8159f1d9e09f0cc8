// Strings, numbers, literals and white space of RFC 8259. Every function takes an address and returns the address after
// what it read, 0 after an error. The body ends in zero bytes, so that no loop tests for the end.
import {
  errorControl,
  errorDigit,
  errorEscape,
  errorHex,
  errorLiteral,
  errorStringEnd,
  errorUtf8,
  fail,
  State,
} from "./layout";

const quote: u8 = 0x22;
const backslash: u8 = 0x5c;

// @ts-ignore: decorator
@inline
export function skipSpace(p: usize): usize {
  let c = load<u8>(p);
  if (c > 0x20) return p;
  while (c == 0x20 || c == 0x0a || c == 0x0d || c == 0x09) c = load<u8>(++p);
  return p;
}

/** Lanes that need a look: quote, backslash, control characters, and bytes from 0x80 on, which are negative. */
// @ts-ignore: decorator
@inline
function special(v: v128): v128 {
  return v128.or(
    v128.or(i8x16.lt_s(v, i8x16.splat(0x20)), i8x16.eq(v, i8x16.splat(0x22))),
    i8x16.eq(v, i8x16.splat(0x5c)),
  );
}

/** First byte from `p` on that is not plain ASCII string content. */
// @ts-ignore: decorator
@inline
function skipPlain(p: usize): usize {
  let mask = i8x16.bitmask(special(v128.load(p)));
  if (mask == 0) {
    p += 16;
    // The sentinel is special, so that a block of 64 that starts inside the body never runs past it unseen.
    while (true) {
      const a = special(v128.load(p));
      const b = special(v128.load(p, 16));
      const c = special(v128.load(p, 32));
      const d = special(v128.load(p, 48));
      if (v128.any_true(v128.or(v128.or(a, b), v128.or(c, d)))) break;
      p += 64;
    }
    mask = i8x16.bitmask(special(v128.load(p)));
    while (mask == 0) {
      p += 16;
      mask = i8x16.bitmask(special(v128.load(p)));
    }
  }
  return p + ctz(mask);
}

/** Reads string content from after the opening quote; sets `shrink`. Returns the address after the closing quote. */
export function scanString(s: State, p: usize, end: usize): usize {
  s.shrink = 0;
  while (true) {
    p = skipPlain(p);
    const c = load<u8>(p);
    if (c == quote) return p + 1;
    if (c == backslash) {
      do {
        p = scanEscape(s, p);
        if (!p) return 0;
      } while (load<u8>(p) == backslash);
    } else if (c >= 0x80) {
      p = scanUtf8(p);
      if (load<u8>(p) >= 0x80) return fail(s, errorUtf8, p);
    } else {
      return fail(s, p >= end ? errorStringEnd : errorControl, p);
    }
  }
}

/** Skips well-formed UTF-8 beyond ASCII; stops at the first ASCII byte or at the first byte of a malformed sequence. */
function scanUtf8(p: usize): usize {
  while (true) {
    const w = load<u32>(p);
    if ((w & 0xc0c0f0) == 0x8080e0) {
      // E0 needs a second byte from A0 on, ED one up to 9F (no surrogates).
      const bits = w & 0x200f;
      if (bits == 0 || bits == 0x200d) return p;
      p += 3;
    } else if ((w & 0xc0e0) == 0x80c0) {
      if (!(w & 0x1e)) return p;
      p += 2;
    } else if ((w & 0xc0c0c0f8) == 0x808080f0) {
      // F0 needs a second byte from 90 on, F4 one up to 8F; F5 and above are no lead bytes.
      const lead = w & 0x07;
      const bits = w & 0x3000;
      if (lead == 0 ? bits == 0 : lead >= 4 && (lead > 4 || bits != 0)) return p;
      p += 4;
    } else {
      return p;
    }
  }
}

/** Reads one escape, a surrogate pair as one, from its backslash. */
function scanEscape(s: State, p: usize): usize {
  const c = load<u8>(p, 1);
  if (c != 0x75) {
    // " \ / b f n r t
    const known = c == 0x22 || c == 0x5c || c == 0x2f || c == 0x62 || c == 0x66 || c == 0x6e || c == 0x72 || c == 0x74;
    if (!known) return fail(s, errorEscape, p + 1);
    s.shrink += 1;
    return p + 2;
  }
  const unit = hex4(p + 2);
  if (unit < 0) return fail(s, errorHex, p + 2);
  if (unit < 0x80) s.shrink += 5;
  else if (unit < 0x800) s.shrink += 4;
  else if ((unit & 0xfc00) == 0xd800 && (hexEscape(p + 6) & 0xfc00) == 0xdc00) {
    s.shrink += 8;
    return p + 12;
  } else s.shrink += 3;
  return p + 6;
}

/** The unit a `\uXXXX` at `p` stands for; 0 when there is none. */
// @ts-ignore: decorator
@inline
export function hexEscape(p: usize): i32 {
  if (load<u16>(p) != 0x755c) return 0;
  const unit = hex4(p + 2);
  return unit < 0 ? 0 : unit;
}

/** Value of four hexadecimal digits, -1 when one is none. */
// @ts-ignore: decorator
@inline
export function hex4(p: usize): i32 {
  return hexDigit(load<u8>(p)) << 12 | hexDigit(load<u8>(p, 1)) << 8 | hexDigit(load<u8>(p, 2)) << 4 |
    hexDigit(load<u8>(p, 3));
}

// @ts-ignore: decorator
@inline
function hexDigit(c: u32): i32 {
  const digit = c - 0x30;
  if (digit < 10) return digit;
  const letter = (c | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : -1;
}

// @ts-ignore: decorator
@inline
export function isDigit(c: u32): bool {
  return c - 0x30 < 10;
}

/** Reads a number from its sign or first digit. */
export function scanNumber(s: State, p: usize): usize {
  if (load<u8>(p) == 0x2d) p++;
  if (!isDigit(load<u8>(p))) return fail(s, errorDigit, p);
  if (load<u8>(p) == 0x30) p++;
  else p = skipDigits(p);
  if (load<u8>(p) == 0x2e) {
    p++;
    if (!isDigit(load<u8>(p))) return fail(s, errorDigit, p);
    p = skipDigits(p);
  }
  if ((load<u8>(p) | 0x20) == 0x65) {
    p++;
    const sign = load<u8>(p);
    if (sign == 0x2b || sign == 0x2d) p++;
    if (!isDigit(load<u8>(p))) return fail(s, errorDigit, p);
    p = skipDigits(p);
  }
  return p;
}

// @ts-ignore: decorator
@inline
export function skipDigits(p: usize): usize {
  while (isDigit(load<u8>(p))) p++;
  return p;
}

/** Reads `true`, `false` or `null` from its first letter. */
export function scanLiteral(s: State, p: usize): usize {
  const word = load<u32>(p);
  if (word == 0x65757274 || word == 0x6c6c756e) return p + 4;
  if (word == 0x736c6166 && load<u8>(p, 4) == 0x65) return p + 5;
  return fail(s, errorLiteral, p);
}
