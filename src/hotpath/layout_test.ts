import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { forestBufferAt, layoutMemory, type Region } from "./layout.ts";

const sizes = { endpoints: 1024, blockTreeBytes: 1_000_001, bodyBytesMax: 3, prefixTokensMax: 17 };

Deno.test("layoutMemory() places regions apart, on 64-byte lines, within its pages", () => {
  for (const forestBytes of [undefined, 1001]) {
    const { pages, ...regions } = layoutMemory({ ...sizes, forestBytes }, 77);
    let end = 65_536;
    for (const { offset, bytes } of Object.values(regions) as Region[]) {
      equal(offset % 64, 0);
      ok(offset >= end);
      end = offset + bytes;
    }
    ok(end <= pages * 65_536 && end > (pages - 1) * 65_536);
    ok(regions.blockTree.bytes >= 1_000_001 && regions.endpointTable.bytes >= 77);
  }
});

Deno.test("layoutMemory() keeps room for four forests, and for no row without them", () => {
  const { forests, rows } = layoutMemory({ ...sizes, forestBytes: 1001 }, 77);
  ok(forests.bytes >= 4 * 1001 && forestBufferAt(1001, 1, 1) + 1001 <= forests.bytes);
  // 32 features, and a margin and four outputs of both targets.
  ok(rows.bytes >= sizes.endpoints * 4 * (32 + 2 + 8));
  const without = layoutMemory(sizes, 77);
  deepStrictEqual([without.forests.bytes, without.rows.bytes], [0, 0]);
});

Deno.test("layoutMemory() refuses more than WebAssembly can address", () => {
  throws(() => layoutMemory({ ...sizes, blockTreeBytes: 2 ** 32 }, 77), /limit is 4 GiB/);
});
