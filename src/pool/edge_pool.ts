/**
 * The pool as an edge sees it: candidates from the shared table, and records in a ring of what it found out, for the one
 * isolate where the pool's states are kept.
 */
import { type AttemptReport, type EndpointTable, readReport, type RecordRing, reportNumbers } from "../core/mod.ts";
import { type Candidates, type ModelEntry, ModelIndex } from "./model_index.ts";

/** Kinds of records; those below 16 are others'. */
const kinds = { report: 16, poke: 17 } as const;

export interface EdgePoolParts {
  readonly table: EndpointTable;
  readonly ring: RecordRing;
  /** Called after each record. */
  readonly rung: () => void;
  /** Has the endpoints asked for their models again. */
  readonly refreshModels: () => Promise<void>;
}

export class EdgePool {
  readonly #parts: EdgePoolParts;
  readonly #models: ModelIndex;

  constructor(parts: EdgePoolParts) {
    this.#parts = parts;
    this.#models = new ModelIndex(parts.table);
  }

  /** See {@link ModelIndex.candidates}. */
  candidates(model: string, out?: boolean): Candidates {
    return this.#models.candidates(model, out);
  }

  hasModel(model: string): boolean {
    return this.#models.hasModel(model);
  }

  baseOf(adapter: string): string | undefined {
    return this.#models.baseOf(adapter);
  }

  models(): readonly ModelEntry[] {
    return this.#models.models();
  }

  refreshModels(): Promise<void> {
    return this.#parts.refreshModels();
  }

  report(report: AttemptReport): void {
    this.#push(kinds.report, reportNumbers(report));
  }

  poke(slot: number): void {
    this.#push(kinds.poke, [slot, this.#parts.table.generation[slot]]);
  }

  #push(kind: number, numbers: readonly number[]): void {
    this.#parts.ring.push(kind, numbers);
    this.#parts.rung();
  }
}

/** What the records are told to; `Pool` is such. */
export interface PoolRecordsTarget {
  report(report: AttemptReport): void;
  poke(slot: number): void;
}

/** Takes one record of an edge; false for a kind of somebody else's. What is said of an endpoint that is gone changes nothing. */
export function takePoolRecord(
  target: PoolRecordsTarget,
  generation: Int32Array,
  kind: number,
  numbers: Float64Array,
): boolean {
  if (kind === kinds.report) target.report(readReport(numbers));
  else if (kind !== kinds.poke) return false;
  else if (generation[numbers[0]] === numbers[1]) target.poke(numbers[0]);
  return true;
}
