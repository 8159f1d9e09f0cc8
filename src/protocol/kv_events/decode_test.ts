import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { KvTier, Prng } from "../../core/mod.ts";
import { decodeKvBatch, KvBatchError } from "./decode.ts";
import { MsgpackError } from "./msgpack.ts";
import type { KvBatch, KvEvent } from "./types.ts";

const pack = (value: unknown) => encode(value, { useBigInt64: true });

const removed = (hash: number): unknown => ["BlockRemoved", [hash]];
const removedEvent = (hash: number): KvEvent => ({
  kind: "removed",
  tier: KvTier.Gpu,
  hashes: BigUint64Array.of(BigInt(hash)),
});

Deno.test("decodeKvBatch() throws KvBatchError when there is no list of events", () => {
  const payloads = [null, 5, "x", [], [1.5], [1.5, null], [1.5, 7], {}, { ts: 1.5 }, { ts: 1.5, events: 4 }, { 1: [] }];
  for (const value of payloads) throws(() => decodeKvBatch(pack(value), 0), KvBatchError);
  throws(() => decodeKvBatch(new Uint8Array(0), 0), KvBatchError);
  throws(() => decodeKvBatch(Uint8Array.of(0xc1), 0), KvBatchError);
  throws(
    () => decodeKvBatch(pack([1.5, 7]), 0),
    (error: Error) => error instanceof KvBatchError && error.cause instanceof MsgpackError,
  );
});

Deno.test("decodeKvBatch() takes an envelope's parts in any order, and others beside them", () => {
  const batch = { extra: [1, 2], data_parallel_rank: 3, events: [removed(1)], ts: 2.5 };
  deepStrictEqual(decodeKvBatch(pack(batch), 9), { seq: 9, timestamp: 2.5, rank: 3, events: [removedEvent(1)] });
  const longer = decodeKvBatch(pack([2.5, [removed(1)], 3, "new", { more: 1 }]), 9);
  deepStrictEqual(longer, { seq: 9, timestamp: 2.5, rank: 3, events: [removedEvent(1)] });
});

Deno.test("decodeKvBatch() leaves out a timestamp or rank of another type", () => {
  deepStrictEqual(decodeKvBatch(pack([null, [], -1]), 0), { seq: 0, timestamp: 0, events: [] });
  deepStrictEqual(decodeKvBatch(pack([NaN, [], "0"]), 0), { seq: 0, timestamp: 0, events: [] });
});

Deno.test("decodeKvBatch() keeps what precedes a cut and counts the cut once", () => {
  const payload = pack([1.5, [removed(1), removed(2), removed(3)], 4]);
  const eventBytes = pack(removed(1)).length;
  const listAt = 11;
  for (let length = listAt; length < payload.length; length++) {
    const whole = Math.min(3, Math.floor((length - listAt) / eventBytes));
    deepStrictEqual(decodeKvBatch(payload.subarray(0, length), 0), {
      seq: 0,
      timestamp: 1.5,
      events: [1, 2, 3].slice(0, whole).map(removedEvent),
      skipped: { malformed: 1 },
    });
  }
});

Deno.test("decodeKvBatch() counts what follows the envelope, and a bin's document", () => {
  const payload = pack([1.5, [removed(1)]]);
  const longer = new Uint8Array(payload.length + 3);
  longer.set(payload);
  deepStrictEqual(decodeKvBatch(longer, 0).skipped, { malformed: 1 });

  const inner = pack(removed(2));
  const bins = [inner, Uint8Array.of(...inner, 0), inner.subarray(0, 5), new Uint8Array(0), pack(7), pack(pack(1))];
  const batch = decodeKvBatch(pack([1.5, bins]), 0);
  deepStrictEqual(batch.events, [removedEvent(2), removedEvent(2)]);
  deepStrictEqual(batch.skipped, { malformed: 5 });
});

Deno.test("decodeKvBatch() reads a map's fields in any order", () => {
  const event = { medium: "CPU", block_hashes: [1, 2], token_ids: [7, 8], unknown: { a: [1] }, block_size: 1 };
  const batch = decodeKvBatch(pack([1.5, [{ ...event, type: "BlockStored" }]]), 0);
  deepStrictEqual(batch.events, [{
    kind: "stored",
    tier: KvTier.Cpu,
    hashes: BigUint64Array.of(1n, 2n),
    tokens: Uint32Array.of(7, 8),
    blockTokens: 1,
  }]);
});

Deno.test("decodeKvBatch() drops the adapter's name once, so that a salt of the same name stays", () => {
  const event = ["BlockStored", [1, 2], null, [7, 8], 1, 1, "GPU", "l", [["l", "l"], ["l"]]];
  const [stored] = decodeKvBatch(pack([1.5, [event]]), 0).events;
  deepStrictEqual(stored.kind === "stored" && stored.extras, [["l"], undefined]);
});

Deno.test("decodeKvBatch() cuts extra keys with the short last page", () => {
  const event = ["BlockStored", [1, 2], null, [7, 8, 9], 2, null, "GPU", null, [["a"], ["b"]]];
  const { events: [stored], skipped } = decodeKvBatch(pack([1.5, [event]]), 0);
  deepStrictEqual(stored.kind === "stored" && [...stored.hashes], [1n]);
  deepStrictEqual(stored.kind === "stored" && stored.extras, [["a"]]);
  deepStrictEqual(skipped, { "partial-page": 1 });
});

Deno.test("decodeKvBatch() takes an adapter's number 0 and an empty name for the base model", () => {
  const [stored] = decodeKvBatch(pack([1.5, [["BlockStored", [1], null, [7], 1, 0, "GPU", ""]]]), 0).events;
  deepStrictEqual("lora" in stored || "loraId" in stored, false);
});

// --- Random events, written in each dialect that can say them, read back. ---

interface Model {
  readonly stored: boolean;
  readonly hashes: readonly bigint[];
  readonly parent?: bigint;
  readonly blockTokens: number;
  readonly tokens: readonly number[];
  readonly cpu: boolean;
  readonly lora?: string;
  readonly images?: readonly (readonly string[])[];
  readonly salt?: string;
  readonly group?: number;
}

const hash = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n });
const model: fc.Arbitrary<Model> = fc.record({
  stored: fc.boolean(),
  hashes: fc.array(hash, { minLength: 1, maxLength: 5 }),
  parent: fc.option(hash, { nil: undefined }),
  blockTokens: fc.constantFrom(0, 1, 2, 16),
  seed: fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 80, maxLength: 80 }),
  cpu: fc.boolean(),
  lora: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
  image: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
  salt: fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
  group: fc.option(fc.nat(300), { nil: undefined }),
}).map(({ seed, image, ...rest }) => ({
  ...rest,
  tokens: seed.slice(0, rest.blockTokens * rest.hashes.length),
  // Images on the odd blocks.
  images: image === undefined ? undefined : rest.hashes.map((_, i) => i % 2 ? [`${image}${i}`] : []),
}));

function signed(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

function digest(value: bigint): Uint8Array {
  const bytes = new Uint8Array(32).fill(0xee);
  new DataView(bytes.buffer).setBigUint64(24, value);
  return bytes;
}

/** How vLLM tells images, salt and adapter. */
function vllmExtras({ hashes, images, salt, lora, parent }: Model, tuples: boolean): unknown {
  const blocks = hashes.map((_, i) => [
    ...(lora ? [lora] : []),
    ...(images?.[i] ?? []).map((image) => tuples ? [image, i] : image),
    ...(salt && i === 0 && !parent ? [salt] : []),
  ]);
  return blocks.some((block) => block.length) ? blocks.map((block) => block.length ? block : null) : null;
}

const medium = ({ cpu }: Model) => cpu ? "CPU" : "GPU";

function vllmArray(hashOf: (value: bigint) => unknown, tuples: boolean): (event: Model) => unknown {
  return (event) => {
    const { stored, hashes, parent, tokens, blockTokens, lora, group = null } = event;
    if (!stored) return ["BlockRemoved", hashes.map(hashOf), medium(event), group];
    const parentHash = parent ? hashOf(parent) : null;
    const extras = vllmExtras(event, tuples);
    const loraId = lora ? 1 : null;
    const head = ["BlockStored", hashes.map(hashOf), parentHash, tokens, blockTokens, loraId, medium(event)];
    return [...head, lora ?? null, extras, group, null, null];
  };
}

function vllmMap(event: Model): unknown {
  const { stored, hashes, parent, tokens, blockTokens, lora, group } = event;
  const common = {
    block_hashes: hashes.map(digest),
    medium: medium(event),
    ...(group !== undefined && { group_idx: group }),
  };
  if (!stored) return { type: "BlockRemoved", ...common };
  const extras = vllmExtras(event, true);
  return {
    type: "BlockStored",
    parent_block_hash: parent ? digest(parent) : null,
    token_ids: tokens,
    block_size: blockTokens,
    lora_id: null,
    lora_name: lora ?? null,
    ...common,
    ...(extras !== null && { extra_keys: extras }),
  };
}

function sglangArray(event: Model): unknown {
  const { stored, hashes, parent, tokens, blockTokens, salt } = event;
  if (!stored) return ["BlockRemoved", hashes.map(signed), medium(event)];
  const parentHash = parent ? signed(parent) : null;
  const head = ["BlockStored", hashes.map(signed), parentHash, tokens, blockTokens, null, medium(event)];
  return salt ? [...head, { cache_salt: salt, session_id: "s" }] : head;
}

function sglangMap(event: Model): unknown {
  const { stored, hashes, parent, tokens, blockTokens, salt, lora } = event;
  const common = { block_hashes: hashes.map(signed), medium: medium(event) };
  if (!stored) return { type: "BlockRemoved", ...common };
  return {
    type: "BlockStored",
    parent_block_hash: parent ? signed(parent) : null,
    token_ids: tokens,
    block_size: blockTokens,
    ...common,
    ...(lora && { lora_name: lora }),
    ...(salt && { cache_salt: salt }),
  };
}

/** What the event means; `can` are the things that the dialect has words for. */
function meaning(event: Model, can: { lora: boolean; images: boolean; salt: boolean; group: boolean }): KvEvent {
  const { stored, parent, blockTokens, tokens, lora, group } = event;
  const tier = event.cpu ? KvTier.Cpu : KvTier.Gpu;
  const hashes = BigUint64Array.from(event.hashes);
  const groupOf = can.group && group !== undefined ? { group: { index: group } } : {};
  if (!stored) return { kind: "removed", tier, hashes, ...groupOf };
  const loraOf = can.lora && lora ? { lora } : {};
  const common = { kind: "stored", tier, hashes, tokens: Uint32Array.from(tokens), blockTokens } as const;
  if (blockTokens === 0) return { ...common, ...loraOf, ...groupOf };
  const extras = event.hashes.map((_, i) => {
    const strings = [
      ...(can.images ? event.images?.[i] ?? [] : []),
      ...(can.salt && event.salt && i === 0 && !parent ? [event.salt] : []),
    ];
    return strings.length ? strings : undefined;
  });
  return { ...common, ...loraOf, ...groupOf, ...(parent && { parent }), ...(extras.some(Boolean) && { extras }) };
}

const all = { lora: true, images: true, salt: true, group: true };
const dialects = {
  "vLLM arrays, digests, tuples": { write: vllmArray(digest, true), can: all },
  "vLLM arrays, integers, strings": { write: vllmArray((value) => value, false), can: all },
  "vLLM maps": { write: vllmMap, can: all },
  "SGLang arrays": { write: sglangArray, can: { lora: false, images: false, salt: true, group: false } },
  "SGLang maps": { write: sglangMap, can: { lora: true, images: false, salt: true, group: false } },
};

const envelopes: ((events: unknown[]) => unknown)[] = [
  (events) => [1.5, events, 2],
  (events) => ({ ts: 1.5, events, data_parallel_rank: 2 }),
  (events) => [1.5, events.map(pack), 2],
];

for (const [name, { write, can }] of Object.entries(dialects)) {
  Deno.test(`decodeKvBatch() reads back random events in ${name}`, () => {
    fc.assert(
      fc.property(fc.array(model, { maxLength: 6 }), fc.constantFrom(...envelopes), (events, envelope) => {
        const expected: KvBatch = {
          seq: 7,
          timestamp: 1.5,
          rank: 2,
          events: events.map((event) => meaning(event, can)),
        };
        deepStrictEqual(decodeKvBatch(pack(envelope(events.map(write))), 7), expected);
      }),
      { seed: 5, numRuns: 150 },
    );
  });
}

// --- Damaged batches. ---

/** Elements and characters of all events of a batch. */
function sizeOf({ events }: KvBatch): number {
  let size = events.length;
  for (const event of events) {
    if (event.kind === "cleared") continue;
    size += event.hashes.length;
    if (event.kind !== "stored") continue;
    size += event.tokens.length + (event.lora?.length ?? 0);
    for (const strings of event.extras ?? []) for (const text of strings ?? []) size += text.length;
  }
  return size;
}

const damaged = fc.record({
  events: fc.array(model, { minLength: 1, maxLength: 4 }),
  dialect: fc.constantFrom(...Object.values(dialects)),
  envelope: fc.constantFrom(...envelopes),
});

/** First bytes that make the most of a place: every type, the widest lengths. */
const heads = [0xc0, 0xc1, 0xc4, 0xc6, 0xc9, 0xcb, 0xcf, 0xd3, 0xdb, 0xdc, 0xdd, 0xdf, 0x9f, 0x8f, 0xbf, 0x80, 0x90];

/** Changes 1 to 4 bytes behind the first `kept`, and cuts every fourth batch. */
function damage(original: Uint8Array, kept: number, prng: Prng): Uint8Array {
  const length = prng.below(4) === 0 ? prng.below(original.length) : original.length;
  const payload = original.slice(0, length);
  for (let edits = 1 + prng.below(4); edits > 0 && length > kept; edits--) {
    const byte = prng.below(2) === 0 ? heads[prng.below(heads.length)] : prng.below(256);
    payload[kept + prng.below(length - kept)] = byte;
  }
  return payload;
}

Deno.test("decodeKvBatch() throws nothing but KvBatchError, and gives no more than the bytes can hold, for 20,000 damaged batches", () => {
  let decoded = 0, refused = 0;
  const prng = new Prng(12);
  for (const { events, dialect, envelope } of fc.sample(damaged, { seed: 11, numRuns: 1000 })) {
    const original = pack(envelope(events.map(dialect.write)));
    for (let round = 0; round < 20; round++) {
      // Half of the batches keep their head, so that the damage lies in the events.
      const payload = damage(original, round % 2 * 11, prng);
      try {
        const batch = decodeKvBatch(payload, 0);
        ok(sizeOf(batch) <= payload.length);
        decoded++;
      } catch (error) {
        ok(error instanceof KvBatchError, String(error));
        refused++;
      }
    }
  }
  equal(decoded + refused, 20_000);
  ok(decoded > 10_000 && refused > 500, `${decoded} decoded, ${refused} refused`);
});

Deno.test("decodeKvBatch() ends a batch at a length that lies, and keeps what precedes it", () => {
  const list = (last: number[]) =>
    Uint8Array.of(...pack([1.5, []]).subarray(0, 10), 0x92, ...pack(removed(1)), ...last);
  const heads = [[0xdd, 255, 255, 255, 255], [0xdf, 255, 255, 255, 255], [0xc6, 255, 255, 255, 255]];
  const claims = [...heads, [...pack(["BlockStored", [1], null, 7]).subarray(0, -1), 0xdd, 0, 0, 0, 9, 1]];
  for (const claim of claims) {
    const { events, skipped } = decodeKvBatch(list(claim), 0);
    deepStrictEqual([events, skipped], [[removedEvent(1)], { malformed: 1 }]);
  }
});

Deno.test("decodeKvBatch() gives a batch up after 4,096 malformed events", () => {
  const bad = new Array(4095).fill([]);
  deepStrictEqual(decodeKvBatch(pack([1.5, [...bad, removed(1)], 2]), 0), {
    seq: 0,
    timestamp: 1.5,
    rank: 2,
    events: [removedEvent(1)],
    skipped: { malformed: 4095 },
  });
  deepStrictEqual(decodeKvBatch(pack([1.5, [removed(1), ...bad, [], removed(2)], 2]), 0), {
    seq: 0,
    timestamp: 1.5,
    events: [removedEvent(1)],
    skipped: { malformed: 4097 },
  });
});
