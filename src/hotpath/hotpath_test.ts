import { deepStrictEqual, equal, notEqual, ok } from "node:assert/strict";
import { endpointMeta, EndpointTable } from "../core/mod.ts";
import { Hotpath } from "./hotpath.ts";
import { instantiate } from "./load.ts";

const sizes = { endpoints: 16, blockTreeBytes: 65_536, bodyBytesMax: 1024, prefixTokensMax: 1024 };

Deno.test("load() gives an endpoint table's region that holds the whole table", async () => {
  const hotpath = await Hotpath.load(sizes, 1);
  const { capacity, buffer, byteOffset } = hotpath.endpointTable;
  const table = new EndpointTable(capacity, buffer, byteOffset);
  for (let port = 0; port < 16; port++) equal(table.add(endpointMeta({ host: "h", port })), port);
  table.state.fill(255);
  table.waiting.fill(-1);
  deepStrictEqual(hotpath.blockTree.stats().pairs, 0, "its last column ends before the tree");
  equal(EndpointTable.bytes(16), hotpath.instance.layout.endpointTable.bytes);
});

Deno.test("load() gives an empty prefix tree, apart from every other instance's", async () => {
  const [one, other] = [await Hotpath.load(sizes, 1), await Hotpath.load(sizes, 2n)];
  const identity = { model: "m", salt: "", blockTokens: 16 };
  const prompt = new Uint8Array(640);
  const path = one.hashPrompt(prompt, identity);
  equal(one.blockTree.hold(3, 0, path), 10);
  equal(one.blockTree.match(path).blocks[3], 10);
  equal(other.blockTree.match(path).blocks[3], 0);
  notEqual(other.hashPrompt(prompt, identity)[0], path[0]);
});

Deno.test("instantiate() makes a memory that other isolates can map", async () => {
  const { memory, layout } = await instantiate(sizes, 64);
  ok(memory.buffer instanceof SharedArrayBuffer);
  equal(memory.buffer.byteLength, layout.pages * 65_536);
});

Deno.test("a scanned body's canonical prompt is hashed where it lies as it would be elsewhere", async () => {
  const hotpath = await Hotpath.load(sizes, 1);
  const body = JSON.stringify({ model: "m", messages: [{ role: "user", content: "a question ".repeat(30) }] });
  const scan = hotpath.scanner.scan(new TextEncoder().encode(body), "chat");
  ok(scan.ok);
  const canonical = hotpath.scanner.canonicalise();
  const copy = new Uint8Array(canonical);
  const identity = { model: "m", salt: "", blockTokens: 16 };
  const hashes = hotpath.hashPrompt(canonical, identity);
  ok(hashes.length >= 5);
  deepStrictEqual(hotpath.hashPrompt(copy, identity), hashes);
});
