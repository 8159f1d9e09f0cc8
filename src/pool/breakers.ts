/** The circuit of each endpoint: closed, open or half-open, by what the data path sees. */
import {
  AttemptEnd,
  type AttemptReport,
  beginRound,
  BreakerState,
  breakerStateNames,
  type Clock,
  currentRound,
  EndpointState,
  type EndpointTable,
  freePermits,
  type Timer,
} from "../core/mod.ts";
import { breakerDefaults, type BreakerOptions, type BreakerStatus } from "./breaker_types.ts";
import { LatencyBias } from "./latency_bias.ts";
import type { EjectionReason } from "./observer.ts";
import { failingOutlier, type RatedEndpoint, SlowStreak } from "./outliers.ts";
import { OutcomeWindow } from "./outcome_window.ts";

interface Circuit {
  readonly slot: number;
  readonly window: OutcomeWindow;
  ejections: number;
  openUntilMs: number;
  closedSinceMs: number;
  /** A request went well since it closed, or since its trial began. */
  answered: boolean;
  passed: number;
  slow: SlowStreak;
  reason: string | null;
  verdict?: Timer;
}

export interface BreakerParts {
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly options?: Partial<BreakerOptions>;
  /** A circuit opened: the endpoint takes no requests for `backoffMs`, and is looked at again then. */
  readonly onOpen: (slot: number, reason: EjectionReason, message: string, backoffMs: number) => void;
}

/**
 * ```
 *            5 failures in a row, half of all failed, far below or far slower than the others
 *   Closed ─────────────────────────────────────────────────────────────────────────────────▶ Open
 *     ▲                                                        a request failed, or none      │ 1 s, 2 s … 30 s,
 *     │                                                        said anything in time  ┌───────┤ then a health check
 *     └──────────────── 2 requests went well ──────────────────────────────────── Half-open ◀─┘ that passes
 * ```
 * State is written here alone; every isolate reads it in the endpoint table and takes permits there.
 */
export class Breakers {
  readonly options: BreakerOptions;
  readonly #parts: BreakerParts;
  readonly #circuits: (Circuit | undefined)[] = [];
  readonly #bias = new LatencyBias();
  #evaluation?: Timer;

  constructor(parts: BreakerParts) {
    this.#parts = parts;
    this.options = { ...breakerDefaults, ...parts.options };
  }

  track(slot: number): void {
    this.untrack(slot);
    this.#circuits[slot] = {
      slot,
      window: new OutcomeWindow(this.options.windowMs),
      ejections: 0,
      openUntilMs: -Infinity,
      closedSinceMs: this.#parts.clock.now(),
      answered: false,
      passed: 0,
      slow: new SlowStreak(),
      reason: null,
    };
    this.#set(slot, BreakerState.Closed);
    this.#evaluation ??= this.#evaluateLater();
  }

  untrack(slot: number): void {
    this.#circuits[slot]?.verdict?.cancel();
    this.#circuits[slot] = undefined;
    this.#bias.forget(slot);
  }

  stop(): void {
    for (let slot = 0; slot < this.#circuits.length; slot++) this.untrack(slot);
    this.#evaluation?.cancel();
    this.#evaluation = undefined;
  }

  /** The endpoint is ready by its health checks: an open circuit begins to close. */
  ready(slot: number): void {
    const circuit = this.#circuits[slot];
    if (!circuit) return;
    if (this.#state(slot) === BreakerState.Closed) return this.#close(circuit);
    if (this.#closed() < this.options.readyMin) return this.#close(circuit);
    this.#try(circuit);
  }

  /** The endpoint is out by its health checks: where it was one of the last, those on trial are taken as they are. */
  lost(): void {
    for (const circuit of this.#circuits) {
      if (this.#closed() >= this.options.readyMin) return;
      if (circuit && this.#onTrial(circuit.slot)) this.#close(circuit);
    }
  }

  /** How a request went. Cheap enough for every one. */
  report({ slot, generation, end, firstTokenMs, workTokens, permit }: AttemptReport): void {
    const circuit = this.#circuits[slot];
    const { table, clock } = this.#parts;
    if (!circuit || table.generation[slot] !== generation) return;
    // One that was let go of as another endpoint was faster took at least so long.
    if (end === AttemptEnd.Cancelled) return this.#bias.observe(slot, workTokens, firstTokenMs);
    const ok = end === AttemptEnd.Answered;
    // A request of an earlier trial, or from before the circuit opened, says nothing of the endpoint as it is now.
    const tries = permit > 0 && permit === currentRound(table, slot);
    circuit.window.add(clock.now(), !ok);
    if (ok) {
      if (tries || this.#isClosed(slot)) circuit.answered = true;
      Atomics.store(table.failures, slot, 0);
      this.#bias.observe(slot, workTokens, firstTokenMs);
      if (tries && this.#onTrial(slot)) this.#passed(circuit);
      return;
    }
    const failures = Atomics.add(table.failures, slot, 1) + 1;
    if (this.#onTrial(slot)) {
      if (tries) this.#failed(circuit, "a request failed while its circuit was half-open");
    } else this.#judge(circuit, failures);
  }

  /** `slownessOf` is taken once by those who ask of many. */
  status(slot: number, slownessOf = this.slownesses()): BreakerStatus | undefined {
    const circuit = this.#circuits[slot];
    if (!circuit) return undefined;
    const { table, clock } = this.#parts;
    const now = clock.now();
    const state = this.#state(slot);
    const slowness = slownessOf(slot);
    return {
      state: breakerStateNames[state],
      reason: circuit.reason,
      ejections: circuit.ejections,
      openForMs: Math.max(0, circuit.openUntilMs - now),
      permits: state === BreakerState.HalfOpen ? freePermits(table, slot) : 0,
      probesPassed: circuit.passed,
      ...circuit.window.sum(now),
      slowness: Number.isNaN(slowness) ? null : slowness,
    };
  }

  /** Times slower to the first token than the other endpoints with a closed circuit, by slot; NaN while too little is known. */
  slownesses(): (slot: number) => number {
    return this.#bias.against(this.#closedCircuits().map(({ slot }) => slot), this.options.slowSamplesMin);
  }

  #judge(circuit: Circuit, failuresInRow: number): void {
    const { failures, errorRate, requestsMin } = this.options;
    if (failuresInRow >= failures) {
      return this.#eject(circuit, "failures", `${failuresInRow} requests in a row failed`);
    }
    if (errorRate >= 1) return;
    const seen = circuit.window.sum(this.#parts.clock.now());
    if (seen.requests < requestsMin || seen.failures < errorRate * seen.requests) return;
    this.#eject(circuit, "error-rate", `${seen.failures} of ${seen.requests} requests failed`);
  }

  /** Opens a closed circuit, where the pool can do without the endpoint. */
  #eject(circuit: Circuit, reason: EjectionReason, message: string): void {
    const { table } = this.#parts;
    const { enabled, readyMin } = this.options;
    if (!enabled || !this.#isClosed(circuit.slot)) return;
    if (this.#closed() <= readyMin || !this.#mayLose()) return;
    const { closedSinceMs } = circuit;
    if (this.#parts.clock.now() - closedSinceMs >= this.options.forgetMs) circuit.ejections = 0;
    this.#open(circuit, reason, message);
    Atomics.store(table.failures, circuit.slot, 0);
  }

  #open(circuit: Circuit, reason: EjectionReason, message: string): void {
    const { clock, onOpen } = this.#parts;
    const { baseMs, maxMs } = this.options;
    // It was well in between. That others do better is not told by single requests.
    if (circuit.answered && reason === "failures") circuit.ejections = 0;
    const backoffMs = Math.min(maxMs, baseMs * 2 ** circuit.ejections);
    circuit.ejections++;
    circuit.openUntilMs = clock.now() + backoffMs;
    circuit.reason = message;
    circuit.verdict?.cancel();
    this.#set(circuit.slot, BreakerState.Open);
    onOpen(circuit.slot, reason, message, backoffMs);
  }

  #close(circuit: Circuit): void {
    circuit.verdict?.cancel();
    circuit.closedSinceMs = this.#parts.clock.now();
    circuit.answered = false;
    circuit.openUntilMs = -Infinity;
    circuit.slow = new SlowStreak();
    // What it did before is not held against it, nor is how slow it was.
    circuit.window.clear();
    this.#bias.forget(circuit.slot);
    Atomics.store(this.#parts.table.failures, circuit.slot, 0);
    this.#set(circuit.slot, BreakerState.Closed);
  }

  #passed(circuit: Circuit): void {
    circuit.passed++;
    if (circuit.passed < this.options.probeSuccesses) return this.#awaitVerdict(circuit);
    this.#close(circuit);
    circuit.answered = true;
  }

  /** The trial failed: the circuit opens again or, where the pool cannot do without, the trial begins anew. */
  #failed(circuit: Circuit, message: string): void {
    if (this.#mayLose()) this.#open(circuit, "failures", message);
    else this.#try(circuit);
  }

  #try(circuit: Circuit): void {
    circuit.passed = 0;
    circuit.answered = false;
    beginRound(this.#parts.table, circuit.slot, this.options.probes);
    this.#set(circuit.slot, BreakerState.HalfOpen);
    this.#awaitVerdict(circuit);
  }

  /**
   * Permits that are not given back, since their request hangs or its isolate is gone, come back with the next round: a
   * circuit on trial that hears nothing opens again. One that nobody was sent to goes on waiting.
   */
  #awaitVerdict(circuit: Circuit): void {
    const { clock, table } = this.#parts;
    const { probes, probeTimeoutMs } = this.options;
    circuit.verdict?.cancel();
    circuit.verdict = clock.after(probeTimeoutMs, () => {
      if (!this.#onTrial(circuit.slot)) return;
      if (freePermits(table, circuit.slot) >= probes) return this.#awaitVerdict(circuit);
      this.#failed(circuit, `requests to its half-open circuit said nothing for ${probeTimeoutMs} ms`);
    }, { background: true });
  }

  #evaluateLater(): Timer {
    return this.#parts.clock.after(this.options.windowMs / 6, () => {
      this.#evaluate();
      this.#evaluation = this.#evaluateLater();
    }, { background: true });
  }

  /** Looks for endpoints that stand out from the others. */
  #evaluate(): void {
    if (!this.options.enabled) return;
    this.#findFailing();
    this.#findSlow();
  }

  #findFailing(): void {
    const { successGap, requestsMin } = this.options;
    const now = this.#parts.clock.now();
    const rated: RatedEndpoint[] = [];
    for (const { slot, window } of this.#closedCircuits()) {
      const { requests, failures } = window.sum(now);
      if (requests >= requestsMin) rated.push({ slot, rate: 1 - failures / requests });
    }
    for (let found; (found = failingOutlier(rated, successGap));) {
      const { slot, rate, othersRate } = found;
      const [own, theirs] = [rate, othersRate].map((share) => `${Math.round(share * 100)} %`);
      this.#eject(
        this.#circuits[slot]!,
        "success-rate",
        `${own} of its requests went well, ${theirs} of the other endpoints'`,
      );
      rated.splice(rated.findIndex((one) => one.slot === slot), 1);
    }
  }

  #findSlow(): void {
    const { slowFactor, slowFloorMs } = this.options;
    if (slowFactor === 0) return;
    let slownessOf = this.slownesses();
    for (const circuit of this.#closedCircuits()) {
      const { slot, slow } = circuit;
      const times = slownessOf(slot);
      const typicalMs = this.#bias.typicalMs(slot);
      if (!slow.judge(times, this.#bias.samples(slot), slowFactor, typicalMs >= slowFloorMs)) continue;
      this.#eject(circuit, "slow", `its first tokens take ${times.toFixed(1)} times as long as the other endpoints'`);
      // The next one is judged without it.
      slownessOf = this.slownesses();
    }
  }

  #closedCircuits(): Circuit[] {
    return this.#circuits.filter((circuit): circuit is Circuit =>
      circuit !== undefined && this.#isClosed(circuit.slot)
    );
  }

  #state(slot: number): BreakerState {
    return this.#parts.table.breaker[slot] as BreakerState;
  }

  #isClosed(slot: number): boolean {
    return this.#parts.table.state[slot] === EndpointState.Ready && this.#state(slot) === BreakerState.Closed;
  }

  #onTrial(slot: number): boolean {
    return this.#parts.table.state[slot] === EndpointState.Ready && this.#state(slot) === BreakerState.HalfOpen;
  }

  /** Endpoints that take any request. */
  #closed(): number {
    let closed = 0;
    for (let slot = 0; slot < this.#parts.table.high; slot++) if (this.#isClosed(slot)) closed++;
    return closed;
  }

  /** Whether the pool can do with one ready endpoint less, on trial or not. */
  #mayLose(): boolean {
    const { table } = this.#parts;
    let ready = 0, total = 0;
    for (let slot = 0; slot < table.high; slot++) {
      const state = table.state[slot];
      if (state === EndpointState.Ready) ready++;
      if (state === EndpointState.Ready || state === EndpointState.Unhealthy) total++;
    }
    return ready > Math.ceil(total * (1 - this.options.shareMax));
  }

  #set(slot: number, state: BreakerState): void {
    Atomics.store(this.#parts.table.breaker, slot, state);
  }
}
