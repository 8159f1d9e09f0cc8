/** Recorded batches of every dialect; `generate.ts` says how they came about. */
import { deepStrictEqual } from "node:assert/strict";
import { kvTiers } from "../../../src/core/mod.ts";
import { decodeKvBatch, type KvEvent } from "../../../src/protocol/mod.ts";
import { recorded } from "./generate.ts";

interface Recorded {
  readonly name: string;
  readonly hex: string;
  readonly timestamp: number;
  readonly rank?: number;
  readonly events: readonly unknown[];
  readonly skipped?: unknown;
}

const batches: Recorded[] = JSON.parse(Deno.readTextFileSync(new URL("batches.json", import.meta.url)));

Deno.test("batches.json is what generate.ts writes", () => {
  deepStrictEqual(recorded(), batches);
});

/** An event as the recording spells it: tier by name, hashes in hexadecimal. */
function spelled(event: KvEvent): unknown {
  const spell = (key: string, value: unknown) => {
    if (key === "tier") return kvTiers[value as number];
    if (value instanceof BigUint64Array) return Array.from(value, (hash) => hash.toString(16));
    if (value instanceof Uint32Array) return Array.from(value);
    return typeof value === "bigint" ? value.toString(16) : value;
  };
  return JSON.parse(JSON.stringify(event, spell));
}

for (const { name, hex, ...expected } of batches) {
  Deno.test(`decodeKvBatch() reads ${name}`, () => {
    const payload = Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
    const { seq, events, ...batch } = decodeKvBatch(payload, 41);
    deepStrictEqual({ seq, ...batch, events: events.map(spelled) }, { seq: 41, ...expected });
  });
}
