/** When refused requests were told to come again. */

/** As many refusals are remembered; further ones are told a time that nobody keeps for them. */
const promisesMax = 65_536;
/** Clients that round down, or whose clocks run fast, are not turned away for it. */
const earlyMs = 1_000;
/** A client that comes later than this share of its wait, and no less than the time, has lost its turn. */
const lateShare = 0.1;
const lateMs = 5_000;

interface Promised {
  readonly key: string;
  readonly group: Group;
  /** Arrival of the request when it was refused first: it comes back to that place. */
  readonly arrivedAtMs: number;
  readonly dueAtMs: number;
  readonly untilMs: number;
}

interface Group {
  size: number;
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
  readonly #groups = new Map<string, Group>();
  /** Of the promises that ended lately, the share that was come back for. */
  #kept = 1;

  get size(): number {
    return this.#byKey.size;
  }

  /** Requests of a group that are expected to come again: those that were told to, by the share that did so before. */
  waiting(group: string): number {
    return (this.#groups.get(group)?.size ?? 0) * Math.max(keptMin, this.#kept);
  }

  /** The arrival that a request comes back to; undefined for one that was promised nothing for now. */
  redeem(key: string, nowMs: number): number | undefined {
    this.#expire(nowMs);
    const promised = this.#byKey.get(key);
    if (!promised || nowMs < promised.dueAtMs - earlyMs) return undefined;
    this.#drop(promised, 1);
    return promised.arrivedAtMs;
  }

  /** Promises a turn after `waitMs`; returns the wait to tell, that of an earlier promise where there is one. */
  promise(key: string | undefined, group: string, arrivedAtMs: number, waitMs: number, nowMs: number): number {
    this.#expire(nowMs);
    const known = key === undefined ? undefined : this.#byKey.get(key);
    if (known) return Math.max(earlyMs, known.dueAtMs - nowMs);
    // What is told is whole seconds.
    const toldMs = Math.max(1, Math.ceil(waitMs / 1000)) * 1000;
    if (key === undefined || this.#byKey.size >= promisesMax) return toldMs;
    let counted = this.#groups.get(group);
    if (!counted) this.#groups.set(group, counted = { size: 0 });
    counted.size++;
    const dueAtMs = nowMs + toldMs;
    const untilMs = dueAtMs + Math.max(lateMs, toldMs * lateShare);
    this.#byKey.set(key, { key, group: counted, arrivedAtMs, dueAtMs, untilMs });
    return toldMs;
  }

  /** Promises are made about in the order in which they end: a few at the front are looked at each time. */
  #expire(nowMs: number): void {
    let looks = 8;
    for (const promised of this.#byKey.values()) {
      if (promised.untilMs <= nowMs) this.#drop(promised, 0);
      if (--looks === 0) return;
    }
  }

  #drop(promised: Promised, kept: 0 | 1): void {
    this.#kept += keptWeight * (kept - this.#kept);
    this.#byKey.delete(promised.key);
    promised.group.size--;
    if (promised.group.size > 0) return;
    for (const [name, group] of this.#groups) if (group === promised.group) this.#groups.delete(name);
  }
}
