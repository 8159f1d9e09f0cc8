/**
 * What was learned, as bytes: fits and corrections by endpoint, rows to train on, the models. The next life of the router
 * predicts by it from its first request.
 *
 *   "WPL1" · SHA-256 of the rest · u32 length of the head, little endian · the head, JSON · float32 rows of each target ·
 *   model file of each target
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { type Clock, concatBytes, type EndpointTable } from "../core/mod.ts";
import { columns, targets, Tpot, Ttft } from "./features.ts";
import type { Governor } from "./governor.ts";
import type { Learner, SlotKnowledge } from "./learner.ts";
import { ForestKind, High, type LatencyState, Median, Model, Prior } from "./state.ts";

const magic = "WPL1";
const digestBytes = 32;
/** Numbers of a row: its columns, label, age in milliseconds. */
const rowNumbers = columns.length + 2;
/** Of a file that is taken in. */
export const snapshotBytesMax = 256 << 20;
/** Endpoints known that may not have come yet. */
const unclaimedMax = 4096;

const numbers = z.array(z.number());
const fits = z.object({ ttft: numbers, tpot: numbers });
const quantilePair = z.tuple([z.number(), z.number()]);
const count = z.int().min(0);

const headSchema = z.object({
  columns: z.array(z.string()),
  outputTokens: z.number().positive(),
  pool: fits,
  /** By endpoint id. */
  endpoints: z.record(z.string(), z.object({ fits, biases: z.array(numbers) })),
  /** By target, source and quantile. */
  offsets: z.tuple([z.tuple([quantilePair, quantilePair]), z.tuple([quantilePair, quantilePair])]),
  rows: z.tuple([count, count]),
  /** Bytes of the model files; 0: none. */
  models: z.tuple([count, count]),
  /** Whether they are residuals. */
  residual: z.tuple([z.boolean(), z.boolean()]),
  /** Whether they were better than the prior. */
  inForce: z.tuple([z.boolean(), z.boolean()]),
});
type Head = z.infer<typeof headSchema>;

/** A snapshot that cannot be used. */
export class LatencySnapshotError extends Error {
  override readonly name = "LatencySnapshotError";
}

export interface SnapshotParts {
  readonly learner: Learner;
  readonly governor: Governor;
  readonly state: LatencyState;
  readonly table: EndpointTable;
  readonly clock: Clock;
}

export function encodeSnapshot({ learner, governor, state, table, clock }: SnapshotParts): Uint8Array {
  const nowMs = clock.now();
  const rows = targets.map((_, target) => rowsOf(learner, target, nowMs));
  const models = targets.map((_, target) => governor.champion(target)?.file ?? new Uint8Array());
  const offsets = (target: number) =>
    ([Prior, Model] as const).map((source) => [Median, High].map((quantile) => state.offset(target, source, quantile)));
  const residual = (target: number) => governor.champion(target)?.kind === ForestKind.Residual;
  const head = {
    columns,
    outputTokens: state.outputTokens,
    pool: learner.fits.dumpPool(),
    endpoints: Object.fromEntries([...table.slots()].map((slot) => [table.meta(slot).id, learner.dumpSlot(slot)])),
    offsets: [offsets(Ttft), offsets(Tpot)],
    rows: rows.map(({ length }) => length / rowNumbers),
    models: models.map(({ length }) => length),
    residual: [residual(Ttft), residual(Tpot)],
    inForce: [state.source(Ttft) === Model, state.source(Tpot) === Model],
  };
  const text = new TextEncoder().encode(JSON.stringify(head));
  const body = concatBytes([
    new Uint8Array(Uint32Array.of(text.length).buffer),
    text,
    ...rows.map((row) => new Uint8Array(row.buffer)),
    ...models,
  ]);
  return concatBytes([new TextEncoder().encode(magic), digest(body), body]);
}

function digest(bytes: Uint8Array): Uint8Array {
  return createHash("sha256").update(bytes).digest();
}

function rowsOf(learner: Learner, target: number, nowMs: number): Float32Array {
  const reservoir = learner.reservoir(target), held = learner.heldBack(target);
  const out = new Float32Array((reservoir.size + held.length) * rowNumbers);
  let at = 0;
  const put = (row: ArrayLike<number>, label: number, atMs: number) => {
    for (let c = 0; c < columns.length; c++) out[at++] = row[c];
    out[at++] = label;
    out[at++] = nowMs - atMs;
  };
  reservoir.each(put);
  for (const { row, label, base, atMs } of held) put(row, label - base, atMs);
  return out;
}

/** What a snapshot says of endpoints, for those that come later. */
export class RememberedEndpoints {
  readonly #known: Map<string, SlotKnowledge>;

  /** By endpoint id. */
  constructor(endpoints: Readonly<Record<string, SlotKnowledge>>) {
    this.#known = new Map(Object.entries(endpoints).slice(0, unclaimedMax));
  }

  /** An endpoint has a slot: what is known of it, once. */
  claim(id: string): SlotKnowledge | undefined {
    const known = this.#known.get(id);
    this.#known.delete(id);
    return known;
  }
}

/**
 * Takes over a snapshot; models predict at once, endpoints are remembered until they come. A model that cannot be read any more
 * is told of by the governor and left. Rejects with `LatencySnapshotError`, having taken over nothing, for bytes that are none,
 * are damaged, or are of another router's columns.
 */
export async function decodeSnapshot(bytes: Uint8Array, parts: SnapshotParts): Promise<RememberedEndpoints> {
  const { learner, governor, state, clock } = parts;
  const { head, at } = readHead(bytes);
  const nowMs = clock.now();
  let from = at;
  learner.fits.restorePool(head.pool);
  state.outputTokens = head.outputTokens;
  for (const [target, count] of head.rows.entries()) {
    // Copied: the rows begin at any byte.
    const rows = new Float32Array(bytes.slice(from, from += count * rowNumbers * 4).buffer);
    for (let i = 0; i < count; i++) {
      const row = rows.subarray(i * rowNumbers, i * rowNumbers + columns.length);
      const [label, ageMs] = rows.subarray(i * rowNumbers + columns.length, (i + 1) * rowNumbers);
      learner.reservoir(target).add(row, label, nowMs - ageMs);
    }
    state.told(target, count);
    for (const quantile of [Median, High]) {
      state.setOffset(target, Prior, quantile, head.offsets[target][Prior][quantile]);
    }
  }
  for (const [target, length] of head.models.entries()) {
    const file = bytes.slice(from, from += length);
    if (length > 0) await governor.goOn(target, file, head.offsets[target][Model], head.residual[target]);
    if (!head.inForce[target]) state.setSource(target as 0 | 1, Prior);
  }
  return new RememberedEndpoints(head.endpoints);
}

function readHead(bytes: Uint8Array): { readonly head: Head; readonly at: number } {
  const fail = (why: string) => new LatencySnapshotError(`Cannot use the snapshot of predicted latency: ${why}`);
  const begin = magic.length + digestBytes;
  if (bytes.length < begin + 4 || new TextDecoder().decode(bytes.subarray(0, magic.length)) !== magic) {
    throw fail("it is none");
  }
  const whole = digest(bytes.subarray(begin)).every((byte, i) => byte === bytes[magic.length + i]);
  if (!whole) throw fail("it is damaged");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(begin, true);
  const at = begin + 4 + length;
  if (at > bytes.length) throw fail("it ends early");
  let text: unknown;
  try {
    text = JSON.parse(new TextDecoder().decode(bytes.subarray(begin + 4, at)));
  } catch {
    throw fail("its head is no JSON");
  }
  const { data: head, error } = headSchema.safeParse(text);
  if (!head) throw fail(`its head is not complete: ${error.issues[0].path.join(".")}`);
  if (JSON.stringify(head.columns) !== JSON.stringify(columns)) throw fail("its columns are not those of this router");
  const [rows, models] = [head.rows, head.models].map(([ttft, tpot]) => ttft + tpot);
  if (at + rows * rowNumbers * 4 + models !== bytes.length) throw fail("its length is not what its head says");
  return { head, at };
}
