/** Closes what may be closed already: the runtime throws then, and closing is all that was wanted. */
export function closeQuietly(it: { close(): void }): void {
  try {
    it.close();
  } catch {
    // Gone already.
  }
}
