import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { BoundedLabels, LruMap } from "./bounded.ts";
import { concatBytes, writeAll } from "./bytes.ts";
import { closeQuietly } from "./close.ts";
import { ConfigError, reasonOf, RouterError } from "./errors.ts";
import { bracketed, unbracketed } from "./host.ts";
import { cachedTokens, type PrefixMatch, type RequestView, uncachedTokens } from "./request.ts";

Deno.test("LruMap forgets the least recently used entry and never grows beyond its capacity", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.tuple(fc.boolean(), fc.nat(8))), (capacity, steps) => {
      const evicted: number[] = [];
      const map = new LruMap<number, number>(capacity, (key) => evicted.push(key));
      let order: number[] = [];
      for (const [write, key] of steps) {
        if (!write && !order.includes(key)) equal(map.get(key), undefined);
        else {
          if (write) map.set(key, key);
          else equal(map.get(key), key);
          order = [...order.filter((other) => other !== key), key];
          if (order.length > capacity) equal(evicted.at(-1), order.shift());
        }
        deepStrictEqual([...map.entries()].map(([known]) => known), order);
      }
    }),
  );
});

Deno.test("BoundedLabels keeps the first names and calls the rest other; peek() learns none", () => {
  const labels = new BoundedLabels(2, ["pinned"]);
  deepStrictEqual(
    ["peeked", "a", "b", "a", "pinned"].map((name, i) => i === 0 ? labels.peek(name) : labels.label(name)),
    ["other", "a", "other", "a", "pinned"],
  );
});

Deno.test("RouterError.from() keeps its own and hides what is foreign", () => {
  const own = new RouterError("bad-request", "no");
  equal(RouterError.from(own), own);
  const foreign = RouterError.from(new TypeError("secret path"));
  deepStrictEqual([foreign.outcome, foreign.message.includes("secret"), (foreign.cause as Error).message], [
    "internal-error",
    false,
    "secret path",
  ]);
});

Deno.test("ConfigError says where, which key and what was expected", () => {
  equal(new ConfigError("w.yaml:3", "a.b", "must be x").message, "w.yaml:3: a.b: must be x");
  equal(new ConfigError("--port", "", "must be x").message, "--port: must be x");
});

Deno.test("cachedTokens() never claims the last token of a prompt", () => {
  const view = (promptTokens: number) => ({ promptTokens }) as RequestView;
  const match: PrefixMatch = { blocks: new Int32Array([0, 1, 3]), total: 3, blockTokens: 64 };
  deepStrictEqual([0, 1, 2].map((slot) => cachedTokens(view(150), match, slot)), [0, 64, 149]);
  deepStrictEqual([0, 1, 2].map((slot) => uncachedTokens(view(150), match, slot)), [150, 86, 1]);
  equal(cachedTokens(view(0), match, 2), 0);
});

Deno.test("concatBytes() joins parts and does not copy a single one", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 9 }), { maxLength: 5 }), (parts) => {
    deepStrictEqual([...concatBytes(parts)], parts.flatMap((part) => [...part]));
  }));
  const one = new Uint8Array([1]);
  equal(concatBytes([one]), one);
});

Deno.test("bracketed() puts IPv6 in brackets once and leaves names and IPv4 alone", () => {
  const hosts = ["::1", "[::1]", "10.0.0.1", "vllm-0.svc"];
  deepStrictEqual(hosts.map(bracketed), ["[::1]", "[::1]", "10.0.0.1", "vllm-0.svc"]);
});

Deno.test("unbracketed() takes IPv6 out of its brackets and leaves what has none alone", () => {
  const hosts = ["::1", "[::1]", "10.0.0.1", "vllm-0.svc"];
  deepStrictEqual(hosts.map(unbracketed), ["::1", "::1", "10.0.0.1", "vllm-0.svc"]);
});

Deno.test("writeAll() writes every byte once, however little is taken at a time", async () => {
  const taken: number[] = [];
  const stream = {
    write: (bytes: Uint8Array) => {
      taken.push(...bytes.subarray(0, 2));
      return Promise.resolve(Math.min(2, bytes.length));
    },
  };
  await writeAll(stream, new Uint8Array());
  await writeAll(stream, Uint8Array.of(1, 2, 3, 4, 5));
  deepStrictEqual(taken, [1, 2, 3, 4, 5]);
});

Deno.test("closeQuietly() closes, and passes over that it was closed", () => {
  let closed = 0;
  const it = {
    close: () => {
      if (closed++ > 0) throw new Error("closed");
    },
  };
  closeQuietly(it);
  closeQuietly(it);
  equal(closed, 2);
});

Deno.test("reasonOf() says what a failure says, or its name when it says nothing", () => {
  deepStrictEqual([new Error("gone"), new TypeError(""), "text", undefined].map(reasonOf), [
    "gone",
    "TypeError",
    "text",
    "undefined",
  ]);
});
