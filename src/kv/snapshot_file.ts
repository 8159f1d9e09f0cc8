/** The snapshot file: written beside its name and then moved there, so that a reader never sees half of one. */
import { sizeDelimitedDecodeStream, sizeDelimitedEncode } from "@bufbuild/protobuf/wire";
import { warmpathSnapshot } from "../proto/mod.ts";
import { type SnapshotMessage, SnapshotReader } from "./snapshot.ts";

/** Longest message taken in; a message of ours is about 160 kB. */
const messageBytesMax = 16 << 20;

/** Writes the file at once or not at all. Returns its bytes. */
export async function writeSnapshotFile(path: string, messages: AsyncIterable<SnapshotMessage>): Promise<number> {
  const unfinished = `${path}.${crypto.randomUUID()}.part`;
  let bytes = 0;
  try {
    const file = await Deno.open(unfinished, { write: true, createNew: true, mode: 0o600 });
    const writer = file.writable.getWriter();
    try {
      for await (const message of messages) {
        const encoded = sizeDelimitedEncode(warmpathSnapshot.SnapshotMessageSchema, message);
        await writer.write(encoded as Uint8Array<ArrayBuffer>);
        bytes += encoded.length;
      }
      await file.sync();
    } finally {
      await writer.close();
    }
    await Deno.rename(unfinished, path);
  } catch (error) {
    await Deno.remove(unfinished).catch(() => undefined);
    throw error;
  }
  return bytes;
}

/** Gives the file's messages to `reader`. False when there is no file. Throws SnapshotError for one that cannot be used. */
export async function readSnapshotFile(path: string, reader: SnapshotReader): Promise<boolean> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
  const messages = sizeDelimitedDecodeStream(warmpathSnapshot.SnapshotMessageSchema, file.readable, {
    readMaxBytes: messageBytesMax,
  });
  for await (const message of messages) reader.read(message);
  reader.end();
  return true;
}
