/** Server-sent events as they come: where one ends, and what of one says something. */

/** End of the event that begins at `from`, the empty line included; 0 while it has not ended. */
export function eventEnd(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(0x0a, from); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    const next = bytes[at + 1] === 0x0d ? at + 2 : at + 1;
    if (bytes[next] === 0x0a) return next + 1;
  }
  return 0;
}

/** Whether a field of an event's JSON is as good as absent: engines write such values out. */
export function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
}
