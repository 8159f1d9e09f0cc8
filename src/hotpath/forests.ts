import { featuresMax, groupCountAt, groupsMax, targets } from "./forest_layout.ts";
import { forestBufferAt, forestRows, type MemorySizes } from "./layout.ts";
import type { HotpathInstance } from "./load.ts";

/** One of the two quantities that forests tell of each row. */
export type ForestTarget = 0 | 1;

/** Words of a target's state line: publications begun, publications done, a word to order loads by. */
const begun = 0;
const done = 1;
const fence = 2;
const stateWords = 16;
/** Scorings in a row that publications may spoil. */
const triesMax = 64;

/**
 * Two forests that any isolate scores rows with, and that one isolate replaces as a whole. Each has two buffers: the one
 * that nobody is told of is written, then one number changes. Only two publications within one call can spoil a scoring;
 * that is found out, and it is done again.
 *
 * Usage: fill row i of the columns that the forests were packed for, and of `margins()`; `score(rows)`; read `out()`. One
 * scoring at a time an isolate; columns and margins keep what was written until the next one is filled in.
 */
export class Forests {
  /** 32 columns of features; NaN is a missing value. */
  readonly columns: readonly Float32Array[];
  readonly #kernels: HotpathInstance["kernels"];
  readonly #rowsMax: number;
  readonly #stride: number;
  readonly #forestBytes: number;
  readonly #buffers: readonly (readonly Uint32Array[])[];
  readonly #states: readonly Int32Array[];
  readonly #scratchAt: number;
  readonly #margins: readonly Float32Array[];
  readonly #outs: readonly (readonly Float32Array[])[];

  constructor({ memory: { buffer }, layout, kernels }: HotpathInstance, sizes: MemorySizes) {
    const { endpoints, forestBytes = 0 } = sizes;
    const { forests, rows } = layout;
    this.#kernels = kernels;
    this.#forestBytes = forestBytes;
    this.#rowsMax = forestBytes ? endpoints : 0;
    this.#stride = forestRows(this.#rowsMax);
    this.#scratchAt = rows.offset;
    const column = (index: number) => new Float32Array(buffer, rows.offset + index * this.#stride * 4, this.#rowsMax);
    const each = <T>(length: number, make: (index: number) => T) => Array.from({ length }, (_, index) => make(index));
    this.columns = each(featuresMax, column);
    this.#margins = each(targets, (target) => column(featuresMax + target));
    const outs = featuresMax + targets;
    this.#outs = each(targets, (target) => each(groupsMax, (group) => column(outs + target * groupsMax + group)));
    const words = (offset: number, length: number) => new Int32Array(buffer, forests.offset + offset, length);
    this.#states = each(targets, (target) => words(target * stateWords * 4, forestBytes ? stateWords : 0));
    this.#buffers = each(targets, (target) =>
      each(2, (which) => {
        const at = forests.offset + forestBufferAt(forestBytes, target, which);
        return new Uint32Array(buffer, at, forestBytes >> 2);
      }));
  }

  /** What the sum of each output begins with, by row. */
  margins(target: ForestTarget): Float32Array {
    return this.#margins[target];
  }

  /** Of the last scoring, by row; the margins for group 0 where the target has no forest. */
  out(target: ForestTarget, group: number): Float32Array {
    return this.#outs[target][group];
  }

  /** Of the forest that counts now; 0 when there is none. */
  version(target: ForestTarget): number {
    if (this.#forestBytes === 0) return 0;
    const version = Atomics.load(this.#states[target], done);
    return this.#buffers[target][version & 1][0] === 0 ? 0 : version;
  }

  /** Outputs of the forest that counts now; 0 when there is none. */
  groups(target: ForestTarget): number {
    if (this.version(target) === 0) return 0;
    return this.#buffers[target][Atomics.load(this.#states[target], done) & 1][groupCountAt >> 2];
  }

  /**
   * Gives the target another forest, made by `packForest`; none when undefined. For one isolate. Returns the new version.
   * Throws RangeError when the forest has more bytes than the memory was laid out for.
   */
  publish(target: ForestTarget, packed: Uint8Array | undefined): number {
    const bytes = packed?.length ?? 0;
    if (bytes > this.#forestBytes) {
      throw new RangeError(
        `Cannot publish a forest as its bytes must be at most ${this.#forestBytes}: current value is ${bytes}`,
      );
    }
    if (this.#forestBytes === 0) return 0;
    const state = this.#states[target];
    const version = Atomics.load(state, done) + 1;
    const buffer = this.#buffers[target][version & 1];
    Atomics.exchange(state, begun, version);
    if (packed === undefined) buffer[0] = 0;
    else new Uint8Array(buffer.buffer, buffer.byteOffset, bytes).set(packed);
    Atomics.exchange(state, done, version);
    return this.version(target);
  }

  /**
   * Adds up every output of both targets for the first `rows` rows. A target whose forest is replaced again and again
   * meanwhile is scored as if it had none; that takes 128 publications within 64 calls.
   */
  score(rows: number): void {
    if (rows > this.#rowsMax) {
      throw new RangeError(
        `Cannot score rows as their number must be at most ${this.#rowsMax}: current value is ${rows}`,
      );
    }
    if (rows === 0) return;
    for (let tries = 0; tries < triesMax; tries++) {
      const first = Atomics.load(this.#states[0], done), second = Atomics.load(this.#states[1], done);
      this.#run(this.#addressOf(0, first), this.#addressOf(1, second), rows);
      if (this.#isWhole(0, first) && this.#isWhole(1, second)) return;
    }
    this.#run(0, 0, rows);
  }

  #run(first: number, second: number, rows: number): void {
    this.#kernels.forestScore(first, second, this.#forestBytes, this.#scratchAt, this.#stride, rows);
  }

  #addressOf(target: ForestTarget, version: number): number {
    const buffer = this.#buffers[target][version & 1];
    return buffer[0] === 0 ? 0 : buffer.byteOffset;
  }

  /** Whether the buffer of `version` stayed as it was until now: the next but one is written into it. */
  #isWhole(target: ForestTarget, version: number): boolean {
    const state = this.#states[target];
    // Keeps the kernel's loads before the one that follows, which an atomic load alone does not.
    Atomics.add(state, fence, 0);
    return (Atomics.load(state, begun) - version | 0) < 2;
  }
}
