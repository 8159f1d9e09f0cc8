import { Buffer } from "node:buffer";
import { createHash, timingSafeEqual } from "node:crypto";

/**
 * SHA-256 of a secret as 64 hex digits. One character is one byte, as in a header's value: the hash is what `sha256sum`
 * prints of the bytes that came. What is random enough to be a key needs no slower hash.
 */
export function secretHash(secret: string): string {
  return createHash("sha256").update(Buffer.from(secret, "latin1")).digest("hex");
}

/** Whether two hashes are equal; takes the same time wherever they differ. */
export function sameHash(a: string, b: string): boolean {
  return a.length === b.length && timingSafeEqual(Buffer.from(a, "latin1"), Buffer.from(b, "latin1"));
}
