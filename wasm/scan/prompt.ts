// What a value adds to the prompt: spans in canonical order, and totals.
import {
  audioBytesPerToken,
  fieldIncludeUsage,
  fieldSamplingMaxNewTokens,
  fieldSamplingMaxTokens,
  fieldSamplingN,
  fieldsAt,
  fieldSamplingParams,
  fieldStreamOptions,
  Frame,
  groupBytes,
  groupCutAt,
  groupMediaPartsAt,
  groupMediaTokensAt,
  groupProblemAt,
  groupProblemOffsetAt,
  groupsAt,
  groupShapeAt,
  groupSpanEndAt,
  groupSpanStartAt,
  groupTextBytesAt,
  groupTokensAt,
  imageTokens,
  kindArguments,
  kindCall,
  kindEscaped,
  kindItem,
  kindMedia,
  kindMediaShift,
  kindResult,
  kindResultClose,
  kindResultOpen,
  kindRole,
  kindSystem,
  kindText,
  kindThinking,
  kindTokens,
  kindTools,
  mediaAudio,
  mediaImage,
  mediaVideo,
  problem,
  problemItem,
  problemToken,
  RankFrame,
  rankFrameOf,
  rankNone,
  shapeLists,
  shapeOther,
  shapeString,
  shapeStrings,
  shapeTokens,
  slotOf,
  slotsMax,
  State,
  tokenIdMax,
  videoTokens,
} from "./layout";
import {
  ruleArguments,
  ruleAudio,
  ruleAudioContent,
  ruleContent,
  ruleDocument,
  ruleDocuments,
  ruleImage,
  ruleImageContent,
  ruleInput,
  ruleMessage,
  ruleName,
  ruleNote,
  rulePart,
  rulePrompt,
  rulePromptItem,
  ruleResult,
  ruleResultPart,
  ruleRole,
  ruleSystem,
  ruleSystemPart,
  ruleSystemText,
  ruleText,
  ruleThinking,
  ruleToken,
  ruleTools,
  ruleVideo,
  ruleVideoContent,
} from "./rules";
import { isDigit } from "./text";

const spanSize: usize = 12;

/** Keeps a span. Once one finds no room, the item it belongs to and all that follows are left out. */
function emit(s: State, start: usize, end: usize, kind: u32): void {
  if (s.full) return;
  if (s.spanCount >= s.spansMax) {
    s.full = 1;
    s.spanCount = s.itemStart;
    return;
  }
  const span = s.spans + <usize>s.spanCount * spanSize;
  store<u32>(span, <u32>(start - s.body));
  store<u32>(span, <u32>(end - s.body), 4);
  store<u32>(span, kind, 8);
  s.spanCount++;
}

function text(s: State, start: usize, end: usize, kind: u32): void {
  s.textBytes += <u32>(end - start) - s.shrink;
  emit(s, start, end, s.shrink ? kind | kindEscaped : kind);
}

function media(s: State, start: usize, end: usize, type: u32): void {
  s.mediaParts++;
  s.mediaTokens += mediaTokens(type, <u32>(end - start));
  emit(s, start, end, kindMedia | (type << kindMediaShift));
}

/** Tokens a media part of `bytes` encoded bytes stands for. */
export function mediaTokens(type: u32, bytes: u32): f64 {
  if (type == mediaImage) return imageTokens;
  if (type == mediaVideo) return videoTokens;
  const tokens = bytes / audioBytesPerToken + (bytes % audioBytesPerToken ? 1 : 0);
  return tokens ? tokens : 1;
}

/** A string value with content [start, end) under the coming rule. */
export function onString(s: State, start: usize, end: usize): void {
  switch (s.rule) {
    case ruleRole: return text(s, start, end, kindRole);
    case ruleText:
    case ruleContent:
    case rulePart:
    case ruleInput:
    case ruleResultPart:
    case ruleDocuments:
    case ruleDocument: return text(s, start, end, kindText);
    case ruleSystem:
    case ruleSystemPart:
    case ruleSystemText: return text(s, start, end, kindSystem);
    case ruleResult: return text(s, start, end, kindResult);
    case ruleThinking: return text(s, start, end, kindThinking);
    case ruleName: return text(s, start, end, kindCall);
    case ruleArguments: return text(s, start, end, kindArguments);
    case ruleImage:
    case ruleImageContent: return media(s, start, end, mediaImage);
    case ruleAudio:
    case ruleAudioContent: return media(s, start, end, mediaAudio);
    case ruleVideo:
    case ruleVideoContent: return media(s, start, end, mediaVideo);
    case rulePrompt:
      s.shape |= shapeString;
      return text(s, start, end, kindText);
    case rulePromptItem:
      s.shape |= shapeStrings;
      return text(s, start, end, kindText);
    case ruleToken: return problem(s, problemToken, start - 1);
    case ruleMessage: return problem(s, problemItem, start - 1);
    default: return;
  }
}

/** A number in [start, end). */
export function onNumber(s: State, start: usize, end: usize): void {
  if (s.rule == rulePromptItem) s.shape |= shapeTokens;
  else if (s.rule == ruleMessage) return problem(s, problemItem, start);
  else if (s.rule != ruleToken) return;
  if (!isToken(start, end)) problem(s, problemToken, start);
  s.tokens++;
}

/** Whether the number is a token id: digits in range, perhaps with a fraction of zeros. */
function isToken(p: usize, end: usize): bool {
  let value: u64 = 0;
  while (isDigit(load<u8>(p))) {
    value = value * 10 + (load<u8>(p++) - 0x30);
    if (value > <u64>tokenIdMax) return false;
  }
  if (load<u8>(p) == 0x2e) do p++; while (load<u8>(p) == 0x30);
  return p == end;
}

/** `true`, `false` or `null`. */
export function onLiteral(s: State, start: usize): void {
  if (s.rule == rulePromptItem) s.shape |= shapeOther;
  else if (s.rule == ruleToken) problem(s, problemToken, start);
  else if (s.rule == ruleMessage) problem(s, problemItem, start);
}

/** An object that opens, before it counts as open. */
export function onObject(s: State, start: usize): void {
  if (s.rule == ruleMessage) emit(s, start, start, kindItem);
  else if (s.rule == rulePromptItem) s.shape |= shapeOther;
  else if (s.rule == ruleToken) problem(s, problemToken, start);
}

/** An array that opens, before it counts as open. */
export function onArray(s: State, start: usize): void {
  if (s.rule == ruleResult) emit(s, start, start, kindResultOpen);
  else if (s.rule == rulePromptItem) s.shape |= shapeLists;
  else if (s.rule == ruleToken) problem(s, problemToken, start);
  else if (s.rule == ruleMessage) problem(s, problemItem, start);
}

/** The array of `frame` that closed at `end`; it no longer counts as open. */
export function onArrayEnd(s: State, frame: Frame, end: usize): void {
  const start = s.body + frame.start;
  if (frame.rule == ruleResultPart) emit(s, end, end, kindResultClose);
  else if (frame.rule == ruleToken) emit(s, start, end, kindTokens);
  else if (frame.rule == rulePromptItem && s.shape & shapeTokens) emit(s, start, end, kindTokens);
}

/** Starts a field of the request object. */
export function beginTopField(s: State): void {
  s.itemStart = s.spanCount;
  s.textBytes = 0;
  s.mediaParts = 0;
  s.mediaTokens = 0;
  s.tokens = 0;
  s.shape = 0;
  s.problem = 0;
  const frame = rankFrameOf(s, 1);
  frame.spanStart = s.spanCount;
  // A field that comes again takes what its first value held along.
  if (frame.field == fieldStreamOptions) clearField(s, fieldIncludeUsage);
  if (frame.field == fieldSamplingParams) {
    clearField(s, fieldSamplingMaxTokens);
    clearField(s, fieldSamplingMaxNewTokens);
    clearField(s, fieldSamplingN);
  }
}

function clearField(s: State, field: i32): void {
  store<u64>(s.record + fieldsAt + (<usize>field << 3), 0);
}

function noteField(s: State, frame: RankFrame, end: usize): void {
  const at = s.record + fieldsAt + (<usize>frame.field << 3);
  store<u32>(at, frame.valueStart);
  store<u32>(at, <u32>(end - s.body), 4);
}

/** Notes the field of the request object whose value ended, and what it adds to the prompt. */
export function endTopField(s: State, frame: RankFrame, end: usize): void {
  noteField(s, frame, end);
  if (frame.rule < ruleTools) return;
  addRaw(s, frame, end);
  const group = s.record + groupsAt + <usize>frame.rank * groupBytes;
  store<u32>(group + groupSpanStartAt, frame.spanStart);
  store<u32>(group + groupSpanEndAt, s.spanCount);
  store<u32>(group + groupTextBytesAt, s.textBytes);
  store<u32>(group + groupMediaPartsAt, s.mediaParts);
  store<f64>(group + groupMediaTokensAt, s.mediaTokens);
  store<u32>(group + groupTokensAt, s.tokens);
  store<u32>(group + groupShapeAt, s.shape);
  store<u32>(group + groupProblemAt, s.problem);
  store<u32>(group + groupProblemOffsetAt, <u32>(s.problemAt - s.body));
  store<u32>(group + groupCutAt, s.full);
}

/** Adds a value that is kept as JSON text. */
function addRaw(s: State, frame: RankFrame, end: usize): void {
  const start = s.body + frame.valueStart;
  const first = load<u8>(start);
  if (first == 0x6e) return;
  if (frame.rule == ruleArguments && first == 0x22) return;
  if (frame.rule != ruleArguments && frame.rule != ruleTools) return;
  s.shrink = 0;
  text(s, start, end, frame.rule == ruleTools ? kindTools : kindArguments);
}

/** Starts a field of an inner object; what an earlier field of the same key added is taken back. */
export function beginField(s: State, frame: RankFrame): void {
  const bit: u32 = 1 << frame.rank;
  const slot = slotOf(frame, frame.rank);
  if (frame.seen & bit) {
    s.textBytes -= slot.textBytes;
    s.mediaParts -= slot.mediaParts;
    s.mediaTokens -= slot.mediaTokens;
    frame.ordered = 0;
  } else if (frame.seen > bit) {
    frame.ordered = 0;
  }
  frame.seen |= bit;
  slot.spanStart = s.spanCount;
  slot.textBytes = s.textBytes;
  slot.mediaParts = s.mediaParts;
  slot.mediaTokens = s.mediaTokens;
}

/** Ends a field of an inner object: its slot now says what it added. */
export function endField(s: State, frame: RankFrame, end: usize): void {
  if (frame.rule == ruleNote) return noteField(s, frame, end);
  addRaw(s, frame, end);
  const slot = slotOf(frame, frame.rank);
  slot.spanEnd = s.spanCount;
  slot.textBytes = s.textBytes - slot.textBytes;
  slot.mediaParts = s.mediaParts - slot.mediaParts;
  slot.mediaTokens = s.mediaTokens - slot.mediaTokens;
}

/** Brings the spans of a closed object's fields into rank order and drops those of overridden ones. */
export function arrange(s: State, frame: RankFrame): void {
  if (frame.ordered || s.full) return;
  let at = frame.spanStart;
  for (let rank: u32 = 0; rank < slotsMax; rank++) {
    if (!(frame.seen >> rank & 1)) continue;
    const slot = slotOf(frame, rank);
    const start = slot.spanStart;
    const length = slot.spanEnd - start;
    rotate(s, at, start, slot.spanEnd);
    for (let later = rank + 1; later < slotsMax; later++) {
      const other = slotOf(frame, later);
      if (!(frame.seen >> later & 1) || other.spanStart >= start) continue;
      other.spanStart += length;
      other.spanEnd += length;
    }
    at += length;
  }
  s.spanCount = at;
}

/** Moves spans [middle, end) before spans [start, middle). */
function rotate(s: State, start: u32, middle: u32, end: u32): void {
  if (start == middle || middle == end) return;
  reverse(s, start, middle);
  reverse(s, middle, end);
  reverse(s, start, end);
}

function reverse(s: State, start: u32, end: u32): void {
  let a = s.spans + <usize>start * spanSize;
  let b = s.spans + <usize>end * spanSize - spanSize;
  while (a < b) {
    const place = load<u64>(a);
    const kind = load<u32>(a, 8);
    store<u64>(a, load<u64>(b));
    store<u32>(a, load<u32>(b, 8), 8);
    store<u64>(b, place);
    store<u32>(b, kind, 8);
    a += spanSize;
    b -= spanSize;
  }
}

/** Starts the fields of the object at `depth`. */
export function openRankFrame(s: State, depth: u32): RankFrame {
  const frame = rankFrameOf(s, depth);
  frame.rank = rankNone;
  frame.seen = 0;
  frame.ordered = 1;
  frame.spanStart = s.spanCount;
  return frame;
}
