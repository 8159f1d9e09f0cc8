import { equal, ok, throws } from "node:assert/strict";
import { layoutMemory, type Region } from "./layout.ts";

const sizes = { endpoints: 1024, blockTreeBytes: 1_000_001, bodyBytesMax: 3, prefixTokensMax: 17 };

Deno.test("layoutMemory() places regions apart, on 64-byte lines, within its pages", () => {
  const { pages, ...regions } = layoutMemory(sizes, 77);
  let end = 65_536;
  for (const { offset, bytes } of Object.values(regions) as Region[]) {
    equal(offset % 64, 0);
    ok(offset >= end);
    end = offset + bytes;
  }
  ok(end <= pages * 65_536 && end > (pages - 1) * 65_536);
  ok(regions.blockTree.bytes >= 1_000_001 && regions.endpointTable.bytes >= 77);
});

Deno.test("layoutMemory() refuses more than WebAssembly can address", () => {
  throws(() => layoutMemory({ ...sizes, blockTreeBytes: 2 ** 32 }, 77), /limit is 4 GiB/);
});
