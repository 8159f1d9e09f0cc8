import { deepStrictEqual, equal, notEqual, ok } from "node:assert/strict";
import { endpointMeta, EndpointTable } from "../core/mod.ts";
import { Hotpath } from "./hotpath.ts";
import { instantiate } from "./load.ts";

const sizes = { endpoints: 16, blockTreeBytes: 65_536, bodyBytesMax: 1024, prefixTokensMax: 1024 };

Deno.test("load() gives an endpoint table in a region that holds all of it, ledgers included", async () => {
  const shared = { ...sizes, isolates: 3 };
  const hotpath = await Hotpath.load(shared, 1);
  const last = await Hotpath.attach(hotpath.shared, shared, 1, 2);
  const { table } = hotpath;
  for (let port = 0; port < 16; port++) equal(table.add(endpointMeta({ host: "h", port })), port);
  table.feedState.fill(255);
  for (let slot = 0; slot < 16; slot++) last.table.inflight(slot, -1, -1, -1);
  deepStrictEqual(hotpath.blockTree.stats().pairs, 0, "its last column ends before the tree");
  equal(EndpointTable.bytes(16, 3), hotpath.instance.layout.endpointTable.bytes);
});

Deno.test("attach() shares the table and the tree, and gives each isolate a scratch of its own", async () => {
  const shared = { ...sizes, isolates: 2 };
  const one = await Hotpath.load(shared, 7), two = await Hotpath.attach(one.shared, shared, 7, 1);
  const identity = { model: "m", salt: "", blockTokens: 16 };
  const [first, second] = ["a", "b"].map((letter) =>
    new TextEncoder().encode(JSON.stringify({ model: "m", prompt: letter.repeat(800) }))
  );
  ok(one.scanner.scan(first, "completions").ok && two.scanner.scan(second, "completions").ok);
  const hashes = one.hashPrompt(one.scanner.canonicalise(), identity);
  notEqual(two.hashPrompt(two.scanner.canonicalise(), identity)[0], hashes[0], "the other's body is not in between");
  one.blockTree.hold(3, 0, hashes);
  equal(two.blockTree.match(hashes).blocks[3], hashes.length);
  one.table.add(endpointMeta({ host: "h", port: 1 }));
  two.table.inflight(0, 1, 20, 30);
  deepStrictEqual([one.table.requests[0], one.table.prefillTokens[0], one.table.decodeTokens[0]], [1, 20, 30]);
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
