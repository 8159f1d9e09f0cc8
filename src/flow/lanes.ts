import { type EndpointTable, nobodyQueued } from "../core/mod.ts";
import { Lane } from "./lane.ts";
import type { LaneSlots } from "./types.ts";

/** Lanes kept for how fast they were served although nothing waits in them. */
const idleLanesMax = 256;

/** All lanes, and which of them each endpoint serves. */
export class Lanes {
  readonly #table: Pick<EndpointTable, "capacity" | "queued">;
  readonly #byName = new Map<string, Lane>();
  /** By slot, those in which something waits. */
  readonly #at: Lane[][];

  constructor(table: Pick<EndpointTable, "capacity" | "queued">) {
    this.#table = table;
    this.#at = Array.from({ length: table.capacity }, () => []);
  }

  all(): Iterable<Lane> {
    return this.#byName.values();
  }

  at(slot: number): readonly Lane[] {
    return this.#at[slot];
  }

  of({ lane: name, model, slots }: LaneSlots, nowMs: number): Lane {
    let lane = this.#byName.get(name);
    if (lane) return lane;
    this.#byName.set(name, lane = new Lane(name, model, slots, nowMs));
    let looks = 8;
    for (const [other, idle] of this.#byName) {
      if (this.#byName.size <= idleLanesMax || looks-- === 0) break;
      this.#byName.delete(other);
      if (idle.size > 0 || idle.holding.size > 0 || idle === lane) this.#byName.set(other, idle);
    }
    return lane;
  }

  /** Other endpoints serve it from now on; false when they are the same. */
  resize(lane: Lane, slots: readonly number[], nowMs: number): boolean {
    const before = lane.slots;
    if (sameSlots(before, slots)) return false;
    if (lane.size > 0) this.#leave(lane);
    lane.slots = slots;
    if (lane.size > 0) this.#enter(lane);
    if ((before.length === 0) !== (slots.length === 0)) lane.sinceMs = nowMs;
    return true;
  }

  /** Something waits in the lane now, or nothing any more. */
  waits(lane: Lane, waits: boolean): void {
    if (waits) this.#enter(lane);
    else this.#leave(lane);
  }

  /** Tells every isolate the highest priority that waits for a slot. */
  mark(slot: number): void {
    let priority = nobodyQueued;
    for (const { top } of this.#at[slot]) if (top && top.band.priority > priority) priority = top.band.priority;
    Atomics.store(this.#table.queued, slot, priority);
  }

  markAll({ slots }: Lane): void {
    for (const slot of slots) this.mark(slot);
  }

  #enter(lane: Lane): void {
    for (const slot of lane.slots) this.#at[slot].push(lane);
    this.markAll(lane);
  }

  #leave(lane: Lane): void {
    for (const slot of lane.slots) {
      const lanes = this.#at[slot];
      lanes.splice(lanes.indexOf(lane), 1);
    }
    this.markAll(lane);
  }
}

function sameSlots(a: readonly number[], b: readonly number[]): boolean {
  return a === b || a.length === b.length && a.every((slot, i) => slot === b[i]);
}
