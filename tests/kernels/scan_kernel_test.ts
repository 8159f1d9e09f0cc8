import { Buffer } from "node:buffer";
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import type { Api } from "../../src/core/mod.ts";
import { instantiate } from "../../src/hotpath/load.ts";
import { Scanner } from "../../src/hotpath/scan.ts";
import { scanTwin } from "../../src/hotpath/scan_twin.ts";
import { anyValue, bodyBytes, Members, mutate, plainMessages, request, type Value } from "./scan_bodies.ts";

const sizes = { endpoints: 8, blockTreeBytes: 65_536, bodyBytesMax: 4 << 20, prefixTokensMax: 131_072 };
const scanner = new Scanner(await instantiate(sizes, 64));
const seed = 20260;

/** Fields that are there; an absent one and an undefined one are the same. */
function present(result: object): object {
  return Object.fromEntries(Object.entries(result).filter(([, value]) => value !== undefined));
}

/** Kernel and twin agree about a body. Returns whether it is usable. */
function agree(body: Uint8Array, api: Api): boolean {
  const twin = scanTwin(body, api);
  const result = scanner.scan(body, api);
  const shown = () => `${api} ${JSON.stringify(new TextDecoder().decode(body))}`;
  if (result.ok) {
    deepStrictEqual(present(result), present(twin.result), shown());
    const canonical = scanner.canonicalise();
    equal(canonical.length, Math.min(twin.canonical.length, sizes.prefixTokensMax * 4), shown());
    equal(Buffer.compare(canonical, twin.canonical.subarray(0, canonical.length)), 0, shown());
  } else {
    ok(!twin.result.ok, shown());
    equal(result.param, twin.result.param, shown());
    if (result.param !== undefined) equal(result.offset, twin.result.offset, shown());
    equal(scanner.canonicalise().length, 0);
  }
  return result.ok;
}

Deno.test("scan() gives what the twin gives on requests of every dialect, and most of them are usable", () => {
  let usable = 0;
  let runs = 0;
  fc.assert(
    fc.property(request, ({ api, body }) => {
      runs++;
      if (agree(body, api)) usable++;
    }),
    { seed, numRuns: 4000 },
  );
  ok(usable > runs * 0.4, `${usable} of ${runs} usable`);
  ok(usable < runs * 0.99, `${usable} of ${runs} usable`);
});

Deno.test("scan() accepts the objects that JSON.parse accepts among arbitrary JSON", () => {
  fc.assert(
    fc.property(anyValue, fc.integer(), (value, writer) => {
      const body = bodyBytes(value, writer);
      equal(agree(body, "passthrough"), value instanceof Members);
    }),
    { seed, numRuns: 3000 },
  );
});

Deno.test("scan() accepts what JSON.parse accepts among damaged requests", () => {
  let usable = 0;
  fc.assert(
    fc.property(request, fc.integer(), ({ api, body }, damage) => {
      if (agree(mutate(body, damage), api)) usable++;
    }),
    { seed, numRuns: 8000 },
  );
  ok(usable > 400, `${usable} usable`);
});

Deno.test("scan() accepts no other UTF-8 than a fatal TextDecoder, at every place in a vector register", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 70 }),
      fc.array(
        fc.oneof(fc.integer({ min: 0x7e, max: 0xff }), fc.constantFrom(0xe0, 0xed, 0xf0, 0xf4, 0x80, 0x9f, 0xa0)),
        {
          minLength: 1,
          maxLength: 6,
        },
      ),
      fc.integer({ min: 0, max: 20 }),
      (before, bytes, after) => {
        const head = `{"model":"${"m".repeat(before)}`;
        const tail = `${"n".repeat(after)}"}`;
        agree(Uint8Array.from([...Buffer.from(head), ...bytes, ...Buffer.from(tail)]), "passthrough");
      },
    ),
    { seed, numRuns: 6000 },
  );
});

Deno.test("scan() ends at the body's end whatever an earlier body left behind it", () => {
  fc.assert(
    fc.property(request, fc.nat(), ({ api, body }, cut) => {
      scanner.scan(body, api);
      agree(body.subarray(0, cut % (body.length + 1)), api);
    }),
    { seed, numRuns: 1500 },
  );
});

/** Canonical bytes of a chat with these messages, spelled as `writer` has it. */
function chatBytes(messages: readonly Value[], writer: number): Uint8Array {
  const result = scanner.scan(bodyBytes(new Members([["messages", messages]]), writer), "chat");
  ok(result.ok);
  return scanner.canonicalise().slice();
}

Deno.test("canonicalise() keeps a conversation's bytes at the front when messages are added", () => {
  fc.assert(
    fc.property(plainMessages, plainMessages, fc.integer(), fc.integer(), (first, more, one, other) => {
      const shorter = chatBytes(first, one);
      const longer = chatBytes([...first, ...more], other);
      ok(longer.length > shorter.length);
      deepStrictEqual(longer.slice(0, shorter.length), shorter);
    }),
    { seed, numRuns: 1000 },
  );
});

/** A value's text with lone surrogates replaced, as the canonical prompt has them. */
function spelled(value: Value): string {
  if (typeof value === "string") return JSON.stringify(value.toWellFormed());
  if (value instanceof Members) return `{${value.list.map(([key, member]) => `${key}:${spelled(member)}`).join()}}`;
  return Array.isArray(value) ? `[${value.map(spelled).join()}]` : String(value);
}

Deno.test("canonicalise() gives equal bytes for equal conversations and different ones for different ones", () => {
  const seen = new Map<string, string>();
  const pool = fc.constantFrom("", "a", "b", "ab", "\u0000", "\u00f9", "a\u0001");
  const message = fc.tuple(pool, pool, fc.array(fc.tuple(pool, pool), { maxLength: 2 })).map(([role, content, calls]) =>
    new Members([
      ["role", role],
      ["content", content],
      [
        "tool_calls",
        calls.map(([name, args]) => new Members([["function", new Members([["name", name], ["arguments", args]])]])),
      ],
    ])
  );
  const conversations = fc.oneof(plainMessages, fc.array(message, { minLength: 1, maxLength: 3 }));
  fc.assert(
    fc.property(conversations, fc.integer(), (messages, writer) => {
      const bytes = chatBytes(messages, writer);
      deepStrictEqual(chatBytes(messages, writer + 1), bytes);
      const key = Buffer.from(bytes).toString("latin1");
      equal(seen.get(key) ?? spelled(messages), spelled(messages));
      seen.set(key, spelled(messages));
    }),
    { seed, numRuns: 2000 },
  );
});
