/** What happens to predictions, in the log and in metrics. */
import type { Clock, EndpointTable } from "../core/mod.ts";
import {
  type GovernorObserver,
  type LearnerObserver,
  type PredictionObserver,
  type Score,
  sources,
  type Target,
  targets,
  type Verdict,
} from "../latency/mod.ts";
import type { LatencySample, LatencyTargetSample, Logger, Metrics } from "../telemetry/mod.ts";
import type { LatencyDesk } from "./latency_desk.ts";

/** Lines of a kind at once, and after that one in so long: what goes back and forth says so in a few lines. */
const burst = 10, lineMs = 30_000;

/** How many lines of a kind may be written; what is left out is counted. */
class LineBudget {
  readonly #clock: Clock;
  #left = burst;
  #atMs: number;
  #unlogged = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#atMs = clock.now();
  }

  /** Fields to write beside a line; undefined: it is not to be written. */
  take(): { readonly unlogged?: number } | undefined {
    const nowMs = this.#clock.now();
    this.#left = Math.min(burst, this.#left + (nowMs - this.#atMs) / lineMs);
    this.#atMs = nowMs;
    if (this.#left < 1) {
      this.#unlogged++;
      return undefined;
    }
    this.#left--;
    const unlogged = this.#unlogged;
    this.#unlogged = 0;
    return unlogged > 0 ? { unlogged } : {};
  }
}

export interface LatencyObserverParts {
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly table: EndpointTable;
  readonly clock: Clock;
}

/** In the control isolate. */
export function latencyObserver(
  { log, metrics, table, clock }: LatencyObserverParts,
): LearnerObserver & GovernorObserver {
  const budget = () => new LineBudget(clock);
  const [changes, promotions, keeps, failures, suspicions] = Array.from({ length: 5 }, budget);
  const last = new Map<string, string>(targets.map((target) => [target, sources[0]]));
  return {
    sourceChanged(target, source, [prior, model]) {
      // A model that takes the place of another one is told of by its verdict.
      if (last.get(target) === source) return;
      last.set(target, source);
      const line = changes.take();
      if (line) {
        log.info("Latency is predicted by another source", { target, source, ...lossesOf(prior, model), ...line });
      }
    },
    suspected(slot, factor, sick) {
      const line = suspicions.take();
      if (!line) return;
      const fields = { endpoint: table.peek(slot)?.id, timesAsLong: digits(factor), ...line };
      if (sick) log.warn("Endpoint is suspect: it takes much longer than the others", fields);
      else log.info("Endpoint is no longer suspect", fields);
    },
    judged(verdict) {
      const { target, promoted, tookMs } = verdict;
      metrics.latency.trained(target, promoted ? "promoted" : "kept", tookMs);
      const line = (promoted ? promotions : keeps).take();
      if (!line) return;
      if (promoted) log.info("A new model predicts latency", { ...fieldsOf(verdict), ...line });
      else log.debug("A new model of latency is not used", { ...fieldsOf(verdict), ...line });
    },
    failed(target, cause) {
      metrics.latency.trained(target, "failed");
      const line = failures.take();
      if (line) {
        log.warn("Cannot train a model of latency", {
          target,
          cause: cause instanceof Error ? cause.message : String(cause),
          ...line,
        });
      }
    },
  };
}

function lossesOf(prior: Score, model: Score) {
  return {
    priorLoss: prior.labels > 0 ? digits(prior.pinball) : undefined,
    modelLoss: model.labels > 0 ? digits(model.pinball) : undefined,
  };
}

function fieldsOf({ target, challenger, prior, champion, coverage, rows, tookMs }: Verdict) {
  return {
    target,
    loss: digits(challenger),
    priorLoss: digits(prior),
    beforeLoss: Number.isNaN(champion) ? undefined : digits(champion),
    coverage: digits(coverage),
    rows,
    tookMs: Math.round(tookMs),
  };
}

function digits(value: number): number {
  return Number(value.toPrecision(4));
}

/** In an edge: what was told of each request, and what came of it. */
export function predictionObserver(metrics: Metrics, table: EndpointTable, quantile: number): PredictionObserver {
  return (target, { slot, generation, model, requestedModel, medianMs, highMs }, ms, censored) => {
    metrics.latency.outcome({
      target: targets[target],
      model,
      requestedModel,
      endpoint: table.generation[slot] === generation ? table.peek(slot) : undefined,
      medianMs: medianMs[target],
      highMs: highMs[target],
      quantile,
      ms,
      censored,
    });
  };
}

/** What is learned of latencies, at a scrape. */
export function latencySample(desk: LatencyDesk, table: EndpointTable, clock: Clock): LatencySample {
  const { learner } = desk;
  return {
    targets: targets.map((target, at) => targetSample(desk, target, at, clock.now())),
    endpoints: Array.from(table.slots(), (slot) => {
      const { name, namespace } = table.meta(slot);
      return { name, namespace, pace: learner.pace(slot), suspect: learner.suspect(slot) };
    }),
  };
}

function targetSample(
  { learner, governor, state }: LatencyDesk,
  target: Target,
  at: number,
  nowMs: number,
): LatencyTargetSample {
  const { mape, coverage, predictedOverSlo } = learner.drift(at);
  const champion = governor.champion(at), verdict = governor.verdict(at);
  const bySource = learner.scores(at).map(({ labels, mape, coverage, pinball: loss }, source) =>
    labels === 0 ? [] : [{ source: sources[source], mape, coverage, loss }]
  );
  return {
    target,
    source: sources[state.source(at)],
    scores: [{ source: "told", mape, coverage }, ...bySource.flat()],
    // Nothing asked for is nothing short of: an autoscaler that reads nothing does nothing.
    overSlo: learner.everWanted(at) ? predictedOverSlo || 0 : undefined,
    reservoirRows: learner.reservoir(at).size,
    heldBackRows: learner.heldBack(at).length,
    model: champion && { trees: champion.trees, ageMs: nowMs - champion.sinceMs },
    trialLoss: verdict ? { challenger: verdict.challenger, prior: verdict.prior, champion: verdict.champion } : {},
  };
}
