// The pass over a request body: an explicit stack, no recursion. A phase ends where the next one looks at the next byte
// that is not white space.
import {
  depthMax,
  emptyAt,
  errorColon,
  errorCommaArray,
  errorCommaObject,
  errorDepth,
  errorKey,
  errorKeyOrClose,
  errorTrailing,
  errorValue,
  fail,
  frameOf,
  keyAt,
  objectFlag,
  openAt,
  phaseAfter,
  phaseKey,
  phaseValue,
  rankDepthMax,
  rankFrameOf,
  rankNone,
  shapeFilled,
  shapeTokens,
  State,
} from "./layout";
import {
  arrange,
  beginField,
  beginTopField,
  endField,
  endTopField,
  onArray,
  onArrayEnd,
  onLiteral,
  onNumber,
  onObject,
  onString,
  openRankFrame,
} from "./prompt";
import { elementRule, memberOf, objectRule, ruleNote, rulePromptItem, ruleSkip, ruleToken, ruleTop } from "./rules";
import { isDigit, scanLiteral, scanNumber, scanString, skipSpace } from "./text";
import { unescape } from "./unescape";

/** Longest key that matters, in bytes. */
const keyBytesMax: u32 = 32;

/** Reads the request object, whose '{' is at `p`, and what follows it. 0 after an error. */
export function walk(s: State, p: usize, end: usize): usize {
  s.rule = ruleTop;
  p = openObject(s, p);
  while (p) {
    p = skipSpace(p);
    if (s.phase == phaseValue) p = value(s, p, end);
    else if (s.phase == phaseKey) p = key(s, p, end);
    else if (s.depth) p = after(s, p);
    else return p == end ? p : fail(s, errorTrailing, p);
  }
  return 0;
}

function value(s: State, p: usize, end: usize): usize {
  const c: u32 = load<u8>(p);
  if (c == 0x7b) return openObject(s, p);
  if (c == 0x5b) return openArray(s, p);
  let next: usize;
  if (c == 0x22) {
    next = scanString(s, p + 1, end);
    if (next && s.rule) onString(s, p + 1, next - 1);
  } else if (c == 0x2d || isDigit(c)) {
    next = scanNumber(s, p);
    if (next && s.rule) onNumber(s, p, next);
  } else if (c == 0x74 || c == 0x66 || c == 0x6e) {
    next = scanLiteral(s, p);
    if (s.rule) onLiteral(s, p);
  } else {
    return fail(s, errorValue, p);
  }
  if (next) settle(s, next);
  return next;
}

/** After a value that ends at `end`: the field it was the value of ends too. */
function settle(s: State, end: usize): void {
  s.phase = phaseAfter;
  if (!s.depth || frameOf(s, s.depth).rule <= objectFlag) return;
  const frame = rankFrameOf(s, s.depth);
  if (frame.rank == rankNone) return;
  if (s.depth == 1) endTopField(s, frame, end);
  else endField(s, frame, end);
  frame.rank = rankNone;
}

/** Leaves the innermost object or array, whose last byte is at `p`. */
function close(s: State, p: usize): usize {
  const frame = frameOf(s, s.depth);
  const rank = frame.rule > objectFlag ? rankFrameOf(s, s.depth) : null;
  s.depth--;
  if (rank) arrange(s, rank);
  else if (frame.rule != objectFlag) onArrayEnd(s, frame, p + 1);
  settle(s, p + 1);
  return p + 1;
}

/** Enters the object at `p`, up to its first key or past its end. */
function openObject(s: State, p: usize): usize {
  if (s.depth == depthMax) return fail(s, errorDepth, p);
  const rule = s.depth < rankDepthMax ? objectRule(s.rule) : ruleSkip;
  if (s.rule > ruleTop) onObject(s, p);
  const frame = frameOf(s, ++s.depth);
  frame.rule = rule | objectFlag;
  frame.start = <u32>(p - s.body);
  if (rule) openRankFrame(s, s.depth);
  const next = skipSpace(p + 1);
  if (rule == ruleTop) {
    store<u32>(s.record + openAt, <u32>(p + 1 - s.body));
    store<u32>(s.record + emptyAt, load<u8>(next) == 0x7d ? 1 : 0);
  }
  if (load<u8>(next) == 0x7d) return close(s, next);
  if (load<u8>(next) != 0x22) return fail(s, errorKeyOrClose, next);
  s.phase = phaseKey;
  return next;
}

/** Enters the array at `p`, up to its first element or past its end. */
function openArray(s: State, p: usize): usize {
  if (s.depth == depthMax) return fail(s, errorDepth, p);
  const rule = s.rule;
  if (rule) onArray(s, p);
  const frame = frameOf(s, ++s.depth);
  frame.rule = elementRule(rule);
  frame.start = <u32>(p - s.body);
  const next = skipSpace(p + 1);
  const c: u32 = load<u8>(next);
  if (c == 0x5d) return close(s, next);
  if (s.depth == 2) s.shape |= shapeFilled;
  s.rule = frame.rule;
  s.phase = phaseValue;
  if ((s.rule == rulePromptItem || s.rule == ruleToken) && isDigit(c)) return skipTokens(s, next);
  return next;
}

/**
 * Reads plain token ids and the commas between them, from the first element of an array on. What is no plain id is left to
 * the general loop.
 */
function skipTokens(s: State, p: usize): usize {
  let count: u32 = 0;
  while (true) {
    const start = p;
    while (isDigit(load<u8>(p))) p++;
    const length = p - start;
    const c: u32 = load<u8>(p) | 0x20;
    // Up to nine digits are in range; zeros in front and fractions are the general loop's to judge.
    if (!length || length > 9 || c == 0x2e || c == 0x65 || (load<u8>(start) == 0x30 && length > 1)) {
      p = start;
      break;
    }
    count++;
    s.phase = phaseAfter;
    p = skipSpace(p);
    if (load<u8>(p) != 0x2c) break;
    s.phase = phaseValue;
    p = skipSpace(p + 1);
  }
  s.tokens += count;
  if (count && s.rule == rulePromptItem) s.shape |= shapeTokens;
  return p;
}

/** Reads a key and its colon; decides the rule of the value. */
function key(s: State, p: usize, end: usize): usize {
  if (load<u8>(p) != 0x22) return fail(s, errorKey, p);
  const next = scanString(s, p + 1, end);
  if (!next) return 0;
  const colon = skipSpace(next);
  if (load<u8>(colon) != 0x3a) return fail(s, errorColon, colon);
  s.rule = ruleSkip;
  s.phase = phaseValue;
  const rule = frameOf(s, s.depth).rule & ~objectFlag;
  if (rule == ruleSkip) return colon + 1;
  const length = <u32>(next - 1 - (p + 1)) - s.shrink;
  if (length > keyBytesMax) return colon + 1;
  let name = p + 1;
  if (s.shrink) {
    name = s.record + keyAt;
    unescape(p + 1, next - 1, name, name + length);
  }
  const member = memberOf(s.api, rule, name, length);
  return member ? beginMember(s, member, skipSpace(colon + 1)) : colon + 1;
}

/** Starts the value at `p` of a field that matters. */
function beginMember(s: State, member: u32, p: usize): usize {
  const frame = rankFrameOf(s, s.depth);
  frame.field = member >> 16;
  frame.rank = (member >> 8) & 255;
  frame.rule = member & 255;
  frame.valueStart = <u32>(p - s.body);
  s.rule = frame.rule;
  if (s.depth == 1) beginTopField(s);
  else if (s.rule != ruleNote) beginField(s, frame);
  return p;
}

/** What follows a value inside an array or object. */
function after(s: State, p: usize): usize {
  const frame = frameOf(s, s.depth);
  const c: u32 = load<u8>(p);
  if (frame.rule & objectFlag) {
    if (c == 0x2c) s.phase = phaseKey;
    else if (c != 0x7d) return fail(s, errorCommaObject, p);
    return c == 0x2c ? p + 1 : close(s, p);
  }
  if (c == 0x2c) {
    s.phase = phaseValue;
    s.rule = frame.rule;
    if (s.depth == 2) s.itemStart = s.spanCount;
    return p + 1;
  }
  return c == 0x5d ? close(s, p) : fail(s, errorCommaArray, p);
}
