import { RouterError } from "../core/mod.ts";
import type { BodyBudget } from "./body_budget.ts";
import type { ClientBody } from "./http/request.ts";

/** A body whose length nobody declared begins with this much room. */
const firstBytes = 16_384;

/** A body is charged to the budget in such steps as it arrives: what a client only declares holds no memory of others. */
const stepBytes = 262_144;

/** A body that was read, and the memory it holds until `release`. */
export interface ReadBody {
  /** Undefined for a body of no bytes. */
  readonly bytes: Uint8Array | undefined;
  release(): void;
}

/**
 * Reads a request body of at most `bytesMax` bytes, into one buffer of its size. What is too large, or has no room in the
 * budget, is refused before it is read where its length is declared, else as soon as it grows so far. Throws `RouterError`.
 */
export async function readBody(body: ClientBody, bytesMax: number, budget: BodyBudget): Promise<ReadBody> {
  const { length } = body;
  if (length === 0) return { bytes: undefined, release() {} };
  if (length !== undefined && length > bytesMax) throw tooLarge(bytesMax);
  const share = budget.take(Math.min(length ?? firstBytes, stepBytes), length);
  try {
    const bytes = length === undefined
      ? await readGrowing(body, bytesMax, (size) => share.grow(size))
      : await readExactly(body, length, (size) => share.grow(size));
    return { bytes: bytes.length > 0 ? bytes : undefined, release: () => share.release() };
  } catch (error) {
    share.release();
    if (error instanceof RouterError) throw error;
    throw new RouterError("bad-request", "The request body ended early", { cause: error });
  }
}

async function readExactly(body: ClientBody, length: number, grow: (size: number) => void): Promise<Uint8Array> {
  // The system gives pages as they are written to, so that a length costs nothing by itself.
  const bytes = new Uint8Array(length);
  let charged = Math.min(length, stepBytes);
  for (let at = 0; at < length;) {
    if (at >= charged) grow(charged = Math.min(length, at + stepBytes));
    const n = await body.readInto(at === 0 ? bytes : bytes.subarray(at));
    if (n === 0) throw new Error("The body is shorter than declared");
    at += n;
  }
  return bytes;
}

async function readGrowing(body: ClientBody, bytesMax: number, grow: (size: number) => void): Promise<Uint8Array> {
  let bytes = new Uint8Array(firstBytes), size = 0;
  for (;;) {
    if (size === bytes.length) {
      const next = bytes.length * 2;
      // While it is copied both are held.
      grow(bytes.length + next);
      const larger = new Uint8Array(next);
      larger.set(bytes);
      bytes = larger;
      grow(next);
    }
    const n = await body.readInto(bytes.subarray(size));
    if (n === 0) return bytes.subarray(0, size);
    size += n;
    if (size > bytesMax) throw tooLarge(bytesMax);
  }
}

function tooLarge(bytesMax: number): RouterError {
  return new RouterError("body-too-large", `The request body is larger than ${bytesMax} bytes`);
}
