import type { ByteSpan, RequestScan } from "./scan_result.ts";

/** New bytes for a stretch of a body; a stretch of length 0 inserts. */
export interface BodyEditSpan extends ByteSpan {
  readonly text: string | Uint8Array;
}

const encoder = new TextEncoder();

/** `body` with its spans replaced. Edits may come in any order and must not overlap; those at one place keep their order. */
export function spliceBody(body: Uint8Array, edits: readonly BodyEditSpan[]): Uint8Array {
  const parts = edits.map(({ start, end, text }) => ({
    start,
    end,
    bytes: typeof text === "string" ? encoder.encode(text) : text,
  })).sort((a, b) => a.start - b.start);
  let length = body.length;
  let last = 0;
  for (const { start, end, bytes } of parts) {
    if (start < last || end < start || end > body.length) {
      throw new RangeError(
        `Cannot splice the body as edits must lie apart within its ${body.length} bytes: current value is ${start}..${end}`,
      );
    }
    length += bytes.length - (end - start);
    last = end;
  }
  const out = new Uint8Array(length);
  let from = 0;
  let to = 0;
  for (const { start, end, bytes } of parts) {
    out.set(body.subarray(from, start), to);
    to += start - from;
    out.set(bytes, to);
    to += bytes.length;
    from = end;
  }
  out.set(body.subarray(from), to);
  return out;
}

/** Adds a member at the start of the object that opens before `at`. Only one may be added to an object without members. */
function insertMember(at: number, empty: boolean, member: string): BodyEditSpan {
  return { start: at, end: at, text: empty ? member : `${member},` };
}

/** The edit that makes `model` the one asked for, whether the body names one or not. */
export function modelEdit(scan: RequestScan, model: string): BodyEditSpan {
  const text = JSON.stringify(model);
  if (scan.modelSpan) return { ...scan.modelSpan, text };
  return insertMember(scan.open, scan.empty, `"model":${text}`);
}

/** The edit that asks for usage at the end of a stream; other members of `stream_options` stay as they are. */
export function includeUsageEdit(scan: RequestScan): BodyEditSpan {
  const { streamOptionsSpan: options, includeUsageSpan: flag } = scan;
  if (flag) return { ...flag, text: "true" };
  if (!options) return insertMember(scan.open, scan.empty, '"stream_options":{"include_usage":true}');
  if (scan.streamOptionsEmpty) return { ...options, text: '{"include_usage":true}' };
  return insertMember(options.start + 1, false, '"include_usage":true');
}
