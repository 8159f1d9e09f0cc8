import { concatBytes, RouterError } from "../core/mod.ts";

/**
 * Reads a request body of at most `bytesMax` bytes. A declared length over the limit is refused before a byte is read;
 * an undeclared one as soon as it passes it. Undefined for a body of no bytes. Throws `RouterError`.
 */
export async function readBody(
  headers: Headers,
  incoming: AsyncIterable<Uint8Array>,
  bytesMax: number,
): Promise<Uint8Array | undefined> {
  const declared = headers.get("content-length");
  if (declared !== null && Number(declared) > bytesMax) throw tooLarge(bytesMax);
  if (declared === null && !headers.has("transfer-encoding")) return undefined;
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of incoming) {
      size += part.length;
      if (size > bytesMax) throw tooLarge(bytesMax);
      // A plain view: `slice` of Node's Buffer would share the bytes where everyone expects a copy.
      parts.push(new Uint8Array(part.buffer, part.byteOffset, part.length));
    }
  } catch (error) {
    if (error instanceof RouterError) throw error;
    throw new RouterError("bad-request", "The request body ended early", { cause: error });
  }
  return size === 0 ? undefined : concatBytes(parts);
}

function tooLarge(bytesMax: number): RouterError {
  return new RouterError("body-too-large", `The request body is larger than ${bytesMax} bytes`);
}
