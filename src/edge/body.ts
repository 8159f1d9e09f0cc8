import { concatBytes, RouterError } from "../core/mod.ts";

/**
 * Reads a request body of at most `bytesMax` bytes. A declared length over the limit is refused before a byte is read;
 * an undeclared one as soon as it passes it. Throws `RouterError`.
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array | undefined> {
  if (request.body === null) return undefined;
  const declared = request.headers.get("content-length");
  if (declared !== null && Number(declared) > bytesMax) throw tooLarge(bytesMax);
  try {
    // With a length the runtime reads straight into one buffer; without, the bound has to be watched.
    if (declared !== null) return new Uint8Array(await request.arrayBuffer());
    return await readCounted(request.body, bytesMax);
  } catch (error) {
    if (error instanceof RouterError) throw error;
    throw new RouterError("bad-request", "The request body ended early", { cause: error });
  }
}

async function readCounted(body: ReadableStream<Uint8Array>, bytesMax: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    if (size > bytesMax) throw tooLarge(bytesMax);
    parts.push(part);
  }
  return concatBytes(parts);
}

function tooLarge(bytesMax: number): RouterError {
  return new RouterError("body-too-large", `The request body is larger than ${bytesMax} bytes`);
}
