/** When refused requests were told to come again. */
import { type HeapItem, IndexedHeap } from "../core/mod.ts";

/** As many refusals are remembered; further ones are told a time that nobody keeps for them. */
const promisesMax = 65_536;
/** Clients that round down, or whose clocks run fast, are not turned away for it. */
const earlyMs = 1_000;
/** A client that comes later than this share of its wait, and no less than the time, has lost its turn. */
const lateShare = 0.1;
const lateMs = 5_000;

interface Promised extends HeapItem {
  readonly key: string;
  readonly group: string;
  /** Arrival of the request when it was refused first: it comes back to that place. */
  readonly arrivedAtMs: number;
  readonly dueAtMs: number;
  readonly untilMs: number;
}

/** Weight of one promise in the share that is kept. */
const keptWeight = 0.02;
/** Some come back, however many did not. */
const keptMin = 0.05;

/**
 * A refused request keeps its place in line: it is told when its turn would come, and is let in then, before those that
 * came after it. Requests that come meanwhile wait behind the promised ones, so that whoever follows `Retry-After` finds
 * room. A promise that nobody comes back for ends soon after its time.
 */
export class Promises {
  readonly #byKey = new Map<string, Promised>();
  /** Those of each group. */
  readonly #counts = new Map<string, number>();
  readonly #ending = new IndexedHeap<Promised>((a, b) => a.untilMs < b.untilMs);
  /** Of the promises that ended lately, the share that was come back for. */
  #kept = 1;

  get size(): number {
    return this.#byKey.size;
  }

  /** Requests of a group that are expected to come again: those that were told to, by the share that did so before. */
  waiting(group: string, nowMs: number): number {
    this.#expire(nowMs);
    return (this.#counts.get(group) ?? 0) * Math.max(keptMin, this.#kept);
  }

  /** The arrival that a request comes back to; undefined for one that was promised nothing for now. */
  redeem(key: string, nowMs: number): number | undefined {
    this.#expire(nowMs);
    const promised = this.#byKey.get(key);
    if (!promised || nowMs < promised.dueAtMs - earlyMs) return undefined;
    this.#drop(promised, 1);
    return promised.arrivedAtMs;
  }

  /** A request was let in before its time. */
  forget(key: string): void {
    const promised = this.#byKey.get(key);
    if (promised) this.#drop(promised, 1);
  }

  /** Promises a turn after `waitMs`; returns the wait to tell, that of an earlier promise where there is one. */
  promise(key: string | undefined, group: string, arrivedAtMs: number, waitMs: number, nowMs: number): number {
    this.#expire(nowMs);
    const known = key === undefined ? undefined : this.#byKey.get(key);
    const toldMs = wholeSeconds(known ? known.dueAtMs - nowMs : waitMs);
    if (known || key === undefined || this.#byKey.size >= promisesMax) return toldMs;
    const dueAtMs = nowMs + toldMs;
    const untilMs = dueAtMs + Math.max(lateMs, toldMs * lateShare);
    const promised = { key, group, arrivedAtMs, dueAtMs, untilMs, heapAt: -1 };
    this.#byKey.set(key, promised);
    this.#ending.push(promised);
    this.#counts.set(group, (this.#counts.get(group) ?? 0) + 1);
    return toldMs;
  }

  #expire(nowMs: number): void {
    for (let next = this.#ending.peek(); next && next.untilMs <= nowMs; next = this.#ending.peek()) {
      this.#drop(next, 0);
    }
  }

  #drop(promised: Promised, kept: 0 | 1): void {
    this.#kept += keptWeight * (kept - this.#kept);
    this.#byKey.delete(promised.key);
    this.#ending.remove(promised);
    const left = this.#counts.get(promised.group)! - 1;
    if (left > 0) this.#counts.set(promised.group, left);
    else this.#counts.delete(promised.group);
  }
}

/** What a client can be told, and no less than one. */
function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000)) * 1000;
}
