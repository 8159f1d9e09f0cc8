/** Which endpoints may take requests: active checks, and the end of an ejection by a breaker. */
import { type Clock, EndpointState, type EndpointTable, type Prng, reasonOf, type Timer } from "../core/mod.ts";
import type { HealthCheck } from "./discovery/discovery.ts";
import type { PoolObserver } from "./observer.ts";
import type { Probe } from "./probes.ts";

export interface HealthOptions {
  /** For endpoints whose discovery names none. @default {{ kind: "http", path: "/health" }} */
  readonly check: HealthCheck;
  /** Between checks of a ready endpoint. @default {5000} */
  readonly intervalMs: number;
  /** First wait between checks of an endpoint that is not ready; doubles up to `intervalMs`. @default {250} */
  readonly fastIntervalMs: number;
  /** @default {2000} */
  readonly timeoutMs: number;
  /** Good checks in a row that bring an unhealthy endpoint back; a new endpoint needs one. @default {2} */
  readonly upThreshold: number;
  /** Failed checks in a row that take a ready endpoint out: 15 s at the default interval. @default {3} */
  readonly downThreshold: number;
}

export const healthDefaults: HealthOptions = {
  check: { kind: "http", path: "/health" },
  intervalMs: 5000,
  fastIntervalMs: 250,
  timeoutMs: 2000,
  upThreshold: 2,
  downThreshold: 3,
};

/** How an endpoint's health is known. */
export interface HealthStatus {
  readonly check: HealthCheck;
  /** Good and failed checks in a row; one of them is 0. */
  readonly up: number;
  readonly down: number;
  readonly lastError?: string;
}

interface Subject {
  readonly slot: number;
  readonly check: HealthCheck;
  timer?: Timer;
  running?: AbortController;
  up: number;
  down: number;
  waitMs: number;
  lastError?: string;
}

export interface HealthParts {
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly probe: Probe;
  readonly options?: Partial<HealthOptions>;
  readonly observer?: PoolObserver;
  /** An endpoint became ready. */
  readonly onReady?: (slot: number) => void;
  /** Failed checks took a ready endpoint out. */
  readonly onLost?: () => void;
}

/**
 * ```
 * Starting ──1 good check──▶ Ready ──3 failed checks, or an ejection──▶ Unhealthy
 *                              ▲                                            │ ejected: after its time
 *                              └──────────2 good checks in a row────────────┘
 * ```
 */
export class Health {
  readonly options: HealthOptions;
  readonly #parts: HealthParts;
  readonly #subjects: (Subject | undefined)[] = [];

  constructor(parts: HealthParts) {
    this.#parts = parts;
    this.options = { ...healthDefaults, ...parts.options };
  }

  /** Starts checking a slot, at once. */
  track(slot: number, check: HealthCheck = this.options.check): void {
    this.untrack(slot);
    const subject: Subject = {
      slot,
      check,
      up: 0,
      down: 0,
      waitMs: this.options.fastIntervalMs,
    };
    this.#subjects[slot] = subject;
    if (check.kind === "none") this.#becomeReady(subject, "no health check is configured");
    else this.#schedule(subject, 0);
  }

  untrack(slot: number): void {
    const subject = this.#subjects[slot];
    if (!subject) return;
    this.#subjects[slot] = undefined;
    this.#cease(subject);
  }

  stop(): void {
    for (let slot = 0; slot < this.#subjects.length; slot++) this.untrack(slot);
  }

  status(slot: number): HealthStatus | undefined {
    const subject = this.#subjects[slot];
    if (!subject) return undefined;
    const { check, up, down, lastError } = subject;
    return { check, up, down, lastError };
  }

  /** Takes an endpoint out for `backoffMs`; from then on its checks decide when it is ready again. */
  eject(slot: number, reason: string, backoffMs: number): void {
    const subject = this.#subjects[slot];
    if (!subject) return;
    subject.up = subject.down = 0;
    subject.waitMs = this.options.fastIntervalMs;
    // What a check that is under way finds out belongs to the time before.
    this.#cease(subject);
    this.#setState(slot, EndpointState.Unhealthy, reason);
    this.#schedule(subject, backoffMs);
  }

  #cease(subject: Subject): void {
    subject.timer?.cancel();
    subject.running?.abort(new Error("The health check is no longer wanted"));
    subject.running = undefined;
  }

  #schedule(subject: Subject, delayMs: number): void {
    subject.timer?.cancel();
    subject.timer = this.#parts.clock.after(delayMs, () => void this.#probe(subject), { background: true });
  }

  async #probe(subject: Subject): Promise<void> {
    const { clock, table, probe, observer } = this.#parts;
    if (subject.check.kind === "none") return this.#becomeReady(subject, "the ejection is over");
    const running = subject.running = new AbortController();
    const { timeoutMs } = this.options;
    const deadline = clock.after(
      timeoutMs,
      () => running.abort(new Error(`No answer within ${timeoutMs} ms`)),
      { background: true },
    );
    let failure: unknown;
    try {
      await probe(table.meta(subject.slot), subject.check, running.signal);
    } catch (error) {
      // A transport may wrap the reason of the abort in an error of its own.
      failure = running.signal.aborted ? running.signal.reason : error ?? new Error("The health check failed");
    } finally {
      deadline.cancel();
    }
    if (subject.running !== running) return;
    subject.running = undefined;
    observer?.probed?.(subject.slot, failure === undefined);
    if (failure === undefined) this.#succeeded(subject);
    else this.#failed(subject, failure);
  }

  #succeeded(subject: Subject): void {
    const state = this.#parts.table.state[subject.slot];
    subject.down = 0;
    subject.up++;
    subject.waitMs = this.options.fastIntervalMs;
    const enough = state === EndpointState.Starting ? 1 : this.options.upThreshold;
    if (state !== EndpointState.Ready && subject.up >= enough) this.#becomeReady(subject, "health checks pass");
    const ready = this.#parts.table.state[subject.slot] === EndpointState.Ready;
    this.#schedule(subject, ready ? this.#jittered(this.options.intervalMs) : this.options.fastIntervalMs);
  }

  #failed(subject: Subject, error: unknown): void {
    const { intervalMs, downThreshold } = this.options;
    subject.up = 0;
    subject.down++;
    subject.lastError = reasonOf(error);
    const ready = this.#parts.table.state[subject.slot] === EndpointState.Ready;
    if (ready && subject.down < downThreshold) return this.#schedule(subject, this.#jittered(intervalMs));
    if (ready) {
      this.#setState(
        subject.slot,
        EndpointState.Unhealthy,
        `${subject.down} health checks failed: ${subject.lastError}`,
      );
      this.#parts.onLost?.();
    }
    this.#schedule(subject, this.#jittered(subject.waitMs));
    subject.waitMs = Math.min(intervalMs, subject.waitMs * 2);
  }

  #becomeReady(subject: Subject, reason: string): void {
    const { table, onReady } = this.#parts;
    if (table.state[subject.slot] === EndpointState.Ready) return;
    this.#setState(subject.slot, EndpointState.Ready, reason);
    onReady?.(subject.slot);
  }

  #jittered(ms: number): number {
    return ms * (0.9 + 0.2 * this.#parts.prng.float());
  }

  #setState(slot: number, to: EndpointState, reason: string): void {
    const { table, observer } = this.#parts;
    const from = table.state[slot] as EndpointState;
    table.setState(slot, to);
    observer?.stateChanged?.(table.meta(slot).id, from, to, reason);
  }
}
