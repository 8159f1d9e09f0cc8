import { inflateRawSync } from "node:zlib";

/** Bytes that one file of an archive may have unpacked; a vocabulary of 262k tokens has 35 MB. */
const fileBytesMax = 256 * 2 ** 20;

/**
 * The files of a ZIP archive by their name without folders; stored and deflated ones. Names that `wanted` refuses are
 * not unpacked. Throws a `RangeError` for what is no archive of that kind.
 */
export function unzip(bytes: Uint8Array, wanted: (name: string) => boolean): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = directoryEnd(view);
  const files = new Map<string, Uint8Array>();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    expect(view, at, 0x02014b50, "a directory entry");
    const nameLength = view.getUint16(at + 28, true);
    const path = new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const name = path.slice(path.lastIndexOf("/") + 1);
    if (name !== "" && wanted(name)) {
      files.set(
        name,
        unpack(bytes, view, {
          name,
          method: view.getUint16(at + 10, true),
          packedBytes: view.getUint32(at + 20, true),
          plainBytes: view.getUint32(at + 24, true),
          header: view.getUint32(at + 42, true),
        }),
      );
    }
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return files;
}

interface Entry {
  readonly name: string;
  readonly method: number;
  readonly packedBytes: number;
  readonly plainBytes: number;
  readonly header: number;
}

/** Where the end record of the directory begins: within the last 64 KiB, as a comment may follow it. */
function directoryEnd(view: DataView): number {
  for (let at = view.byteLength - 22; at >= Math.max(0, view.byteLength - 22 - 0xffff); at--) {
    if (view.getUint32(at, true) === 0x06054b50) return at;
  }
  throw new RangeError("Cannot read the archive as it has no directory");
}

function expect(view: DataView, at: number, signature: number, what: string): void {
  if (view.getUint32(at, true) !== signature) throw new RangeError(`Cannot read the archive: no ${what} at byte ${at}`);
}

function unpack(bytes: Uint8Array, view: DataView, entry: Entry): Uint8Array {
  const { name, method, packedBytes, plainBytes, header } = entry;
  expect(view, header, 0x04034b50, "file");
  if (plainBytes > fileBytesMax) {
    throw new RangeError(`Cannot unpack ${name} as it may have ${fileBytesMax} bytes: current value is ${plainBytes}`);
  }
  const from = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
  const packed = bytes.subarray(from, from + packedBytes);
  const plain = method === 0 ? packed.slice() : method === 8 ? inflate(packed, plainBytes) : undefined;
  if (plain?.length !== plainBytes) throw new RangeError(`Cannot unpack ${name}: method ${method} or size is wrong`);
  return plain;
}

function inflate(packed: Uint8Array, plainBytes: number): Uint8Array {
  return new Uint8Array(inflateRawSync(packed, { maxOutputLength: Math.max(1, plainBytes) }));
}
