// Memory of one scan, in bytes from the record's address (`scanRecordBytes` in all):
//
//   0          512     768   1024          4096             8192
//   ├──────────┼───────┼─────┼─────────────┼────────────────┤
//   │ record   │ State │ key │ RankFrame×8 │ Frame×512      │
//   └──────────┴───────┴─────┴─────────────┴────────────────┘
//
// The record is what the door reads. A span is 12 bytes: start u32, end u32 (offsets in the body), kind u32.
// Every address is passed in; nothing here is managed, and no global is written.
export * from "../../src/hotpath/scan_layout";
import { nestingAt, rankFramesAt, stateAt } from "../../src/hotpath/scan_layout";

/** What one scan knows between two bytes. Lies at `stateAt` of the record. */
@unmanaged
export class State {
  body: usize;
  record: usize;
  spans: usize;
  spansMax: u32;
  api: u32;
  /** What comes next: a value, a key, or what may follow a value. */
  phase: u32;
  /** Open arrays and objects. */
  depth: u32;
  /** Rule of the value that comes next. */
  rule: u32;
  /** Bytes that unescaping the last string saves; 0 when it has no escape. */
  shrink: u32;
  spanCount: u32;
  /** Spans before this one belong to whole items of the prompt. */
  itemStart: u32;
  /** 1 once a span found no room: from then on text is counted only. */
  full: u32;
  // Running totals and findings of the top-level field being read.
  textBytes: u32;
  mediaParts: u32;
  mediaTokens: f64;
  tokens: u32;
  shape: u32;
  problem: u32;
  problemAt: usize;
}

/** An open array or object. For an array `rule` is that of its elements, for an object its own. */
@unmanaged
export class Frame {
  rule: u32;
  start: u32;
}

/** Totals at a field's begin while it is read, then what the field added. */
@unmanaged
export class Slot {
  spanStart: u32;
  spanEnd: u32;
  textBytes: u32;
  mediaParts: u32;
  mediaTokens: f64;
}

/** An open object whose fields matter: its fields' spans by rank. `slotsMax` slots follow. */
@unmanaged
export class RankFrame {
  /** Rank of the field being read; `rankNone` outside one. */
  rank: u32;
  rule: u32;
  field: u32;
  /** Ranks met so far, one bit each. */
  seen: u32;
  /** 0 once fields came out of rank order or twice. */
  ordered: u32;
  spanStart: u32;
  /** Offset of the value being read. */
  valueStart: u32;
}

export const rankNone: u32 = 255;
/** Deepest level of an object that matters: an image in a tool's result in a message. Deeper ones are not looked into. */
export const rankDepthMax: u32 = 8;
export const slotsMax: u32 = 10;
export const rankFrameBytes: usize = 32 + 10 * 24;
/** Frame rule flag: the frame is an object. */
export const objectFlag: u32 = 0x100;

export const phaseValue: u32 = 0;
export const phaseKey: u32 = 1;
export const phaseAfter: u32 = 2;

// @ts-ignore: decorator
@inline
export function stateOf(record: usize): State {
  return changetype<State>(record + stateAt);
}

/** Frame of the container at `depth`, 1 for the request object. */
// @ts-ignore: decorator
@inline
export function frameOf(s: State, depth: u32): Frame {
  return changetype<Frame>(s.record + nestingAt + ((depth - 1) << 3));
}

/** Rank frame of the object at `depth`, at most `rankDepthMax`. */
// @ts-ignore: decorator
@inline
export function rankFrameOf(s: State, depth: u32): RankFrame {
  return changetype<RankFrame>(s.record + rankFramesAt + (<usize>depth - 1) * rankFrameBytes);
}

// @ts-ignore: decorator
@inline
export function slotOf(frame: RankFrame, rank: u32): Slot {
  return changetype<Slot>(changetype<usize>(frame) + 32 + <usize>rank * 24);
}

/** Notes a syntax error and returns 0, the "no address" of every scanning function. */
export function fail(s: State, code: i32, at: usize): usize {
  store<u32>(s.record, code);
  store<u32>(s.record, <u32>(at - s.body), 4);
  return 0;
}

/** Notes the first problem of the field being read. */
export function problem(s: State, code: i32, at: usize): void {
  if (s.problem) return;
  s.problem = code;
  s.problemAt = at;
}
