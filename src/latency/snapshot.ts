/**
 * What was learned, as bytes: fits and corrections by endpoint, rows to train on, the models. The next life of the router
 * predicts by it from its first request.
 *
 *   "WPL1" · u32 length of the head, little endian · the head, JSON · float32 rows of each target · model file of each target
 */
import type { Clock, EndpointTable } from "../core/mod.ts";
import { columns, targets } from "./features.ts";
import type { Governor } from "./governor.ts";
import type { Learner, SlotKnowledge } from "./learner.ts";
import { ForestKind, type LatencyState, Prior } from "./state.ts";

const magic = "WPL1";
/** Numbers of a row: its columns, label, age in milliseconds. */
const rowNumbers = columns.length + 2;
/** Of a file that is taken in. */
export const snapshotBytesMax = 256 << 20;
/** Endpoints known that may not have come yet. */
const unclaimedMax = 4096;

interface Head {
  readonly columns: readonly string[];
  readonly outputTokens: number;
  readonly pool: ReturnType<Learner["fits"]["dumpPool"]>;
  /** By endpoint id. */
  readonly endpoints: Readonly<Record<string, SlotKnowledge>>;
  /** Of the prior, by target and quantile. */
  readonly offsets: readonly (readonly [number, number])[];
  readonly rows: readonly number[];
  /** Bytes of the model files; 0: none. */
  readonly models: readonly number[];
  /** Whether they are residuals. */
  readonly residual: readonly boolean[];
}

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
  const head: Head = {
    columns,
    outputTokens: state.outputTokens,
    pool: learner.fits.dumpPool(),
    endpoints: Object.fromEntries([...table.slots()].map((slot) => [table.meta(slot).id, learner.dumpSlot(slot)])),
    offsets: targets.map((_, target) => [state.offset(target, Prior, 0), state.offset(target, Prior, 1)]),
    rows: rows.map(({ length }) => length / rowNumbers),
    models: models.map(({ length }) => length),
    residual: targets.map((_, target) => governor.champion(target)?.kind === ForestKind.Residual),
  };
  const text = new TextEncoder().encode(JSON.stringify(head));
  const parts = [
    new TextEncoder().encode(magic),
    new Uint8Array(Uint32Array.of(text.length).buffer),
    text,
    ...rows.map((row) => new Uint8Array(row.buffer)),
    ...models,
  ];
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
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

  constructor(endpoints: Head["endpoints"]) {
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
 * Takes over a snapshot; models are adopted, endpoints remembered until they come. Rejects with `LatencySnapshotError`, having
 * taken over nothing, for bytes that are none or are of another router's columns.
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
      if (Number.isFinite(label)) learner.reservoir(target).add(row, label, nowMs - ageMs);
    }
    const [median, high] = head.offsets[target];
    state.setOffset(target, Prior, 0, median);
    state.setOffset(target, Prior, 1, high);
  }
  for (const [target, length] of head.models.entries()) {
    const file = bytes.slice(from, from += length);
    if (length > 0) await governor.adopt(target, file, head.residual?.[target] === true);
  }
  return new RememberedEndpoints(head.endpoints);
}

function readHead(bytes: Uint8Array): { readonly head: Head; readonly at: number } {
  const fail = (why: string) => new LatencySnapshotError(`Cannot use the snapshot of predicted latency: ${why}`);
  if (bytes.length < 8 || new TextDecoder().decode(bytes.subarray(0, 4)) !== magic) throw fail("it is none");
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  if (length > bytes.length - 8) throw fail("it ends early");
  let head: Head;
  try {
    head = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw fail("its head is no JSON");
  }
  if (JSON.stringify(head.columns) !== JSON.stringify(columns)) throw fail("its columns are not those of this router");
  const counts = [head.rows, head.models];
  const whole = counts.every((list) =>
    Array.isArray(list) && list.length === targets.length &&
    list.every((count) => Number.isSafeInteger(count) && count >= 0)
  );
  const finite = Array.isArray(head.offsets) && head.offsets.length === targets.length &&
    head.offsets.flat().every(Number.isFinite) && head.outputTokens > 0 && typeof head.endpoints === "object" &&
    head.pool;
  if (!whole || !finite) throw fail("its head is not complete");
  const [rows, models] = counts.map((list) => list.reduce((sum, count) => sum + count, 0));
  if (8 + length + rows * rowNumbers * 4 + models !== bytes.length) throw fail("its length is not what its head says");
  return { head, at: 8 + length };
}
