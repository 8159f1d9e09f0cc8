// The request scan: one pass over a JSON body that validates it (RFC 8259, UTF-8, bounded nesting) and notes the fields the
// router needs and the spans of the prompt. See layout.ts for the memory, rules.ts for what matters where.
import {
  errorByteOrderMark,
  errorTop,
  fail,
  phaseValue,
  sentinelBytes,
  State,
  stateAt,
  stateOf,
} from "./layout";
import { skipSpace } from "./text";
import { walk } from "./walk";

export { canonicalPrompt } from "./canonical";

/**
 * Scans the `length` bytes at `body`, after which `sentinelBytes` are overwritten. Fills the record at `record` and up to
 * `spansMax` spans at `spans`. Returns 1 when the body is a JSON object, else 0 with the error in the record.
 */
export function scanRequest(
  body: usize,
  length: u32,
  api: u32,
  record: usize,
  spans: usize,
  spansMax: u32,
): u32 {
  memory.fill(body + length, 0, sentinelBytes);
  memory.fill(record, 0, stateAt + offsetof<State>());
  const s = stateOf(record);
  s.body = body;
  s.record = record;
  s.spans = spans;
  s.spansMax = spansMax;
  s.api = api;
  s.phase = phaseValue;
  if ((load<u32>(body) & 0xffffff) == 0xbfbbef) {
    fail(s, errorByteOrderMark, body);
    return 0;
  }
  const p = skipSpace(body);
  if (load<u8>(p) != 0x7b) {
    fail(s, errorTop, p);
    return 0;
  }
  return walk(s, p, body + length) ? 1 : 0;
}
