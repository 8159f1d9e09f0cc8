// The canonical prompt: what two requests share exactly as far as their prompts agree. Each span opens with its kind's
// byte, which no UTF-8 text holds. A media part is that byte, zeros up to a multiple of 4, and words: its token count, then
// as many times the low half of its content's XXH64. Token ids are words with no byte before them.
import { xxh64At } from "../hash/xxh64";
import {
  groupBytes,
  groupCutAt,
  groupsAt,
  groupSpanEndAt,
  groupSpanStartAt,
  kindEscaped,
  kindMedia,
  kindMediaShift,
  kindTokens,
  rankCount,
  tokenListSeparator,
} from "./layout";
import { mediaTokens } from "./prompt";
import { isDigit } from "./text";
import { unescape } from "./unescape";

/**
 * Writes the prompt of the groups in `ranks` (a bit each) of the last scan to `out`, at most `outMax` bytes, a multiple of
 * 4. Zeros follow up to the next multiple of 4; up to 16 bytes after `out + outMax` are overwritten. Returns the bytes
 * written, without these zeros.
 */
export function canonicalPrompt(body: usize, record: usize, spans: usize, ranks: u32, out: usize, outMax: u32): u32 {
  const limit = out + outMax;
  let o = out;
  for (let rank: u32 = 0; rank < <u32>rankCount; rank++) {
    if (!(ranks >> rank & 1)) continue;
    const group = record + groupsAt + <usize>rank * groupBytes;
    const last = load<u32>(group + groupSpanEndAt);
    for (let i = load<u32>(group + groupSpanStartAt); i < last && o < limit; i++) {
      o = writeSpan(body, spans + <usize>i * 12, out, o, limit);
    }
    if (load<u32>(group + groupCutAt)) break;
  }
  if (o < limit) memory.fill(o, 0, (out - o) & 3);
  return <u32>(o - out);
}

function writeSpan(body: usize, span: usize, out: usize, o: usize, limit: usize): usize {
  const start = body + load<u32>(span);
  const end = body + load<u32>(span, 4);
  const kind = load<u32>(span, 8);
  if (kind == kindTokens) return writeTokens(start, end, out, o, limit);
  store<u8>(o++, kind);
  if ((kind & 255) == kindMedia) return writeMedia(start, end, kind >> kindMediaShift, out, o, limit);
  if (kind & kindEscaped) return unescape(start, end, o, limit);
  const length = min(end - start, limit - o);
  memory.copy(o, start, length);
  return o + length;
}

/** Writes the ids of a list; a separator stands before every list but the first. */
function writeTokens(p: usize, end: usize, out: usize, o: usize, limit: usize): usize {
  if (o != out) o = writeWord(o, tokenListSeparator, limit);
  while (o < limit) {
    while (p < end && !isDigit(load<u8>(p))) p++;
    if (p >= end) break;
    let value: u32 = 0;
    while (isDigit(load<u8>(p))) value = value * 10 + (load<u8>(p++) - 0x30);
    // A fraction of zeros belongs to the id before it.
    if (load<u8>(p) == 0x2e) do p++; while (isDigit(load<u8>(p)));
    o = writeWord(o, value, limit);
  }
  return o;
}

function writeMedia(start: usize, end: usize, type: u32, out: usize, o: usize, limit: usize): usize {
  while ((o - out) & 3 && o < limit) store<u8>(o++, 0);
  const bytes = <u32>(end - start);
  const count = mediaTokens(type, bytes);
  o = writeWord(o, <u32>count, limit);
  const hash = <u32>xxh64At(start, bytes, 0);
  for (let i: u32 = 0; i < <u32>count && o < limit; i++) o = writeWord(o, hash, limit);
  return o;
}

// @ts-ignore: decorator
@inline
function writeWord(o: usize, value: u32, limit: usize): usize {
  if (o >= limit) return limit;
  store<u32>(o, value);
  return o + 4;
}
