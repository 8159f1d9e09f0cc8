import { decodeKvBatch, type KvBatch } from "../../protocol/mod.ts";

/** The batch of one message; one without events, marked `unreadable`, when the payload cannot be decoded. */
export function batchOf({ payload, seq }: { readonly payload: Uint8Array; readonly seq: number }): KvBatch {
  try {
    return decodeKvBatch(payload, seq);
  } catch {
    return { seq, timestamp: 0, events: [], skipped: { malformed: 1 }, unreadable: true };
  }
}
