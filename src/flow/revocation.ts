import type { Clock } from "../core/mod.ts";

/** Taken at once from one endpoint. More would make room that nobody has asked for yet. */
const atOnceMax = 2;
/** An edge that has not let go by then does not: it is not asked again. */
const confirmMs = 10_000;

/** A running request that may be taken back: of negative priority, and its client was told nothing yet. */
interface Revocable {
  readonly edge: number;
  readonly id: number;
  readonly slot: number;
  readonly priority: number;
  revokedAtMs: number | undefined;
}

export interface RevocationParts {
  readonly clock: Clock;
  /** Takes a request back, if its answer has not begun meanwhile. */
  readonly revoke: (edge: number, id: number) => void;
  readonly observer?: RevocationObserver;
}

export interface RevocationObserver {
  /** For a request of `priority` that waits. */
  issued?(priority: number): void;
  /** The request let go of its place after so long, or did not. */
  ended?(how: "confirmed" | "timed_out", ms: number): void;
}

/**
 * Makes room for requests that wait by taking back running ones of lower and negative priority: the lowest first, of those
 * the newest, as the least was done for it. Only before the first byte: no answer is ever cut.
 */
export class Revocations {
  readonly #parts: RevocationParts;
  readonly #all = new Map<string, Revocable>();
  /** By slot, in the order in which they came. */
  readonly #at: Revocable[][] = [];

  constructor(parts: RevocationParts) {
    this.#parts = parts;
  }

  /** Requests that may be taken back. */
  get size(): number {
    return this.#all.size;
  }

  /** Of those, the ones that were and have not let go. */
  get pending(): number {
    let pending = 0;
    for (const { revokedAtMs } of this.#all.values()) if (revokedAtMs !== undefined) pending++;
    return pending;
  }

  /** A request of negative priority was sent to `slot`. */
  placed(edge: number, id: number, slot: number, priority: number): void {
    const revocable = { edge, id, slot, priority, revokedAtMs: undefined };
    this.#all.set(`${edge} ${id}`, revocable);
    (this.#at[slot] ??= []).push(revocable);
  }

  /** Its answer has begun, or it is over. */
  begun(edge: number, id: number): void {
    const revocable = this.#all.get(`${edge} ${id}`);
    if (!revocable) return;
    this.#forget(revocable);
    const { revokedAtMs } = revocable;
    if (revokedAtMs !== undefined) {
      this.#parts.observer?.ended?.("confirmed", this.#parts.clock.now() - revokedAtMs);
    }
  }

  /** An edge is gone, and its requests with it. */
  abandon(edge: number): void {
    for (const revocable of [...this.#all.values()]) if (revocable.edge === edge) this.#forget(revocable);
  }

  /** `waiting` requests of `priority` find no room at `slot`. */
  blocked(priority: number, waiting: number, slot: number): void {
    const running = this.#at[slot];
    if (!running || running.length === 0) return;
    const nowMs = this.#parts.clock.now();
    let pending = 0;
    for (const revocable of [...running]) {
      const { revokedAtMs } = revocable;
      if (revokedAtMs === undefined) continue;
      if (nowMs - revokedAtMs <= confirmMs) pending++;
      else {
        this.#forget(revocable);
        this.#parts.observer?.ended?.("timed_out", nowMs - revokedAtMs);
      }
    }
    for (let wanted = Math.min(atOnceMax, waiting) - pending; wanted > 0; wanted--) {
      const victim = lowest(running, priority);
      if (!victim) return;
      victim.revokedAtMs = nowMs;
      this.#parts.observer?.issued?.(priority);
      this.#parts.revoke(victim.edge, victim.id);
    }
  }

  #forget(revocable: Revocable): void {
    this.#all.delete(`${revocable.edge} ${revocable.id}`);
    const running = this.#at[revocable.slot];
    running.splice(running.indexOf(revocable), 1);
  }
}

/** The one to take back for a request of `priority`; undefined when all that run are worth as much. */
function lowest(running: readonly Revocable[], priority: number): Revocable | undefined {
  let victim: Revocable | undefined;
  for (const one of running) {
    if (one.revokedAtMs !== undefined || one.priority >= Math.min(priority, 0)) continue;
    if (!victim || one.priority <= victim.priority) victim = one;
  }
  return victim;
}
