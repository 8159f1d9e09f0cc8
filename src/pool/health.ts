/** Which endpoints may take requests: active checks, and ejection by what the data path sees. */
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
  /** Failed requests in a row that eject an endpoint. @default {5} */
  readonly ejectAfter: number;
  /** Length of a first ejection; doubles with each further one between which no request went well. @default {1000} */
  readonly ejectBaseMs: number;
  /** @default {30000} */
  readonly ejectMaxMs: number;
  /** Ready for this long without a request, an endpoint's earlier ejections are forgotten. @default {60000} */
  readonly ejectForgetMs: number;
  /**
   * Failures of the data path never leave fewer ready endpoints than this: when all fail, trying one is better than
   * refusing everything. Active checks are not held back: an endpoint that says it is down is down. @default {1}
   */
  readonly readyMin: number;
  /** Nor do they take out more than this share of the pool: when most fail, the cause is rarely theirs. @default {0.5} */
  readonly ejectShareMax: number;
}

export const healthDefaults: HealthOptions = {
  check: { kind: "http", path: "/health" },
  intervalMs: 5000,
  fastIntervalMs: 250,
  timeoutMs: 2000,
  upThreshold: 2,
  downThreshold: 3,
  ejectAfter: 5,
  ejectBaseMs: 1000,
  ejectMaxMs: 30_000,
  ejectForgetMs: 60_000,
  readyMin: 1,
  ejectShareMax: 0.5,
};

/** How an endpoint's health is known. */
export interface HealthStatus {
  readonly check: HealthCheck;
  /** Good and failed checks in a row; one of them is 0. */
  readonly up: number;
  readonly down: number;
  /** Ejections not yet forgotten. */
  readonly ejections: number;
  /** Until the end of the running ejection; 0 when there is none. */
  readonly ejectedForMs: number;
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
  ejections: number;
  ejectedUntilMs: number;
  readySinceMs: number;
  /** A request went well since it became ready. */
  answered: boolean;
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
}

/**
 * ```
 * Starting ──1 good check──▶ Ready ──3 failed checks, or 5 failed requests──▶ Unhealthy
 *                              ▲                                                  │ ejected: after 1 s, 2 s … 30 s
 *                              └────────────────2 good checks in a row────────────┘
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
      ejections: 0,
      ejectedUntilMs: -Infinity,
      readySinceMs: this.#parts.clock.now(),
      answered: false,
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

  /**
   * How a request at the slot went, from the data path: refused and broken connections and 5xx answers are failures.
   * Cheap enough for every request.
   */
  report(slot: number, ok: boolean): void {
    const { table } = this.#parts;
    if (ok) {
      const subject = this.#subjects[slot];
      if (subject) subject.answered = true;
      if (table.failures[slot] !== 0) Atomics.store(table.failures, slot, 0);
      return;
    }
    const failures = Atomics.add(table.failures, slot, 1) + 1;
    if (failures < this.options.ejectAfter || table.state[slot] !== EndpointState.Ready) return;
    const subject = this.#subjects[slot];
    if (subject && this.#mayLose()) this.#eject(subject, failures);
  }

  status(slot: number): HealthStatus | undefined {
    const subject = this.#subjects[slot];
    if (!subject) return undefined;
    const { check, up, down, ejections, lastError } = subject;
    const ejectedForMs = Math.max(0, subject.ejectedUntilMs - this.#parts.clock.now());
    return { check, up, down, ejections, ejectedForMs, lastError };
  }

  /** Whether the pool can do with one ready endpoint less. */
  #mayLose(): boolean {
    const { table } = this.#parts;
    let ready = 0, total = 0;
    for (let slot = 0; slot < table.high; slot++) {
      const state = table.state[slot];
      if (state === EndpointState.Ready) ready++;
      if (state === EndpointState.Ready || state === EndpointState.Unhealthy) total++;
    }
    const { readyMin, ejectShareMax } = this.options;
    return ready > Math.max(readyMin, Math.ceil(total * (1 - ejectShareMax)));
  }

  #eject(subject: Subject, failures: number): void {
    const { clock, observer, table } = this.#parts;
    const { ejectBaseMs, ejectMaxMs, ejectForgetMs } = this.options;
    const now = clock.now();
    if (subject.answered || now - subject.readySinceMs >= ejectForgetMs) subject.ejections = 0;
    const backoffMs = Math.min(ejectMaxMs, ejectBaseMs * 2 ** subject.ejections);
    subject.ejections++;
    subject.ejectedUntilMs = now + backoffMs;
    subject.up = subject.down = 0;
    subject.waitMs = this.options.fastIntervalMs;
    // What a check that is under way finds out belongs to the time before.
    this.#cease(subject);
    this.#setState(subject.slot, EndpointState.Unhealthy, `${failures} requests in a row failed`);
    observer?.ejected?.(table.meta(subject.slot).id, backoffMs);
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
    }
    this.#schedule(subject, this.#jittered(subject.waitMs));
    subject.waitMs = Math.min(intervalMs, subject.waitMs * 2);
  }

  #becomeReady(subject: Subject, reason: string): void {
    const { table, clock, onReady } = this.#parts;
    if (table.state[subject.slot] === EndpointState.Ready) return;
    subject.readySinceMs = clock.now();
    subject.answered = false;
    Atomics.store(table.failures, subject.slot, 0);
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
