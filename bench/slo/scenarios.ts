/** The runs that policies are compared in. */
import { accuracy, e2eByWindow, rounded, type Row, targets, times } from "./figures.ts";
import type { FleetPolicy } from "./policy.ts";
import { type Ask, type Step, workload } from "./workload.ts";
import { type FleetOptions, type Outcome, runFleet, type Slowdown } from "./world.ts";

/** How long and how loaded. */
export interface Scale {
  readonly fleet: FleetOptions;
  /** Requests a second that the fleet can do; see `capacity`. */
  readonly capacityRps: number;
  readonly seed: number;
  /** Factor on the lengths of all runs. */
  readonly length: number;
}

/** Shares of capacity, one after the other. */
const ladder = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.5, 0.3, 0.1] as const;
const ladderStepS = 40;

/** Requests that show how a policy does while it has learned nothing. */
const coldRequests = 200;

export function ladderAsks({ capacityRps, length }: Scale, seed: number): Ask[] {
  return workload({
    seed,
    steps: ladder.map((share) => ({ seconds: ladderStepS * length, perS: share * capacityRps })),
  });
}

/** No targets; loads that go up and down. */
export async function ladderRun(
  policy: FleetPolicy,
  scale: Scale,
): Promise<Record<"ladder" | "cold" | "accuracy", Row>> {
  const outcomes = await runFleet(ladderAsks(scale, scale.seed), policy, scale.fleet);
  return {
    ladder: times(outcomes),
    cold: times(outcomes.slice(0, coldRequests)),
    accuracy: accuracy(outcomes, [coldRequests, 1000]),
  };
}

const sloSeconds = 150;

export function sloAsks({ capacityRps, length }: Scale, seed: number, overload = 1.5): Ask[] {
  return workload({ seed, steps: [{ seconds: sloSeconds * length, perS: overload * capacityRps }] });
}

/** More than the fleet can do, each request with targets that the router is told. */
export async function sloRun(policy: FleetPolicy, scale: Scale): Promise<Row> {
  const outcomes = await runFleet(sloAsks(scale, scale.seed), policy, { ...scale.fleet, tellSlo: true });
  return targets(outcomes, sloSeconds * scale.length);
}

/** A long time at a low load, then at once a high one: only the latter is shown. */
export async function beyondRun(policy: FleetPolicy, { fleet, capacityRps, seed, length }: Scale): Promise<Row> {
  const low: Step = { seconds: 240 * length, perS: 0.2 * capacityRps };
  const high: Step = { seconds: 90 * length, perS: 0.75 * capacityRps };
  const outcomes = await runFleet(workload({ seed, steps: [low, high] }), policy, fleet);
  const after = outcomes.filter(({ ask }) => ask.atMs >= low.seconds * 1000);
  const { ttft_mape_from_0, tpot_mape_from_0 } = accuracy(after, []);
  return rounded({ ...times(after), ttft_mape: ttft_mape_from_0 ?? NaN, tpot_mape: tpot_mape_from_0 ?? NaN });
}

/** It is over when this many windows in a row are near what they were before. */
const calmWindows = 2;
const windowMs = 5000;
const near = 1.25;
const slowdownLoad = 0.5;

/**
 * One of the fastest engines takes three times as long for a third of the run. `back_s` is from there to when the E2E median
 * of windows of 5 s is within 1.25 times of what it was and stays there for two windows; left out where that comes after the
 * slowness is over. `share_*` is how much of the requests that engine gets. Seeds are pooled, so that a window has enough.
 */
export async function slowdownRun(
  policy: FleetPolicy,
  { fleet, capacityRps, seed, length }: Scale,
  seeds: number,
): Promise<Row> {
  const thirdS = 80 * length, fromMs = thirdS * 1000, toMs = 2 * fromMs;
  const slowdowns: Slowdown[] = [{ atMs: fromMs, slot: 0, factor: 3 }, { atMs: toMs, slot: 0, factor: 1 }];
  const outcomes: Outcome[] = [];
  for (let i = 0; i < seeds; i++) {
    const asks = workload({
      seed: seed + i,
      steps: [{ seconds: 3 * thirdS, perS: slowdownLoad * capacityRps }],
      bursts: false,
    });
    outcomes.push(...await runFleet(asks, policy, { ...fleet, seed: fleet.seed + i, slowdowns }));
  }
  const during = (from: number, to: number) => outcomes.filter(({ ask: { atMs } }) => atMs >= from && atMs < to);
  // The first quarter of it fills the caches.
  const before = during(fromMs / 4, fromMs), slow = during(fromMs, toMs), after = during(toMs, Infinity);
  const steady = times(before), slowed = times(slow);
  const windows = e2eByWindow(slow, windowMs).slice(Math.floor(fromMs / windowMs));
  const calm = windows.findIndex((_, i) =>
    i + calmWindows <= windows.length && windows.slice(i, i + calmWindows).every((ms) => ms <= near * steady.e2e_ms_p50)
  );
  const share = (part: readonly Outcome[]) => part.filter(({ slot }) => slot === 0).length / part.length;
  return rounded({
    steady_e2e_ms_p50: steady.e2e_ms_p50,
    slow_e2e_ms_p50: slowed.e2e_ms_p50,
    slow_e2e_ms_p90: slowed.e2e_ms_p90,
    steady_ttft_ms_p90: steady.ttft_ms_p90,
    slow_ttft_ms_p90: slowed.ttft_ms_p90,
    after_ttft_ms_p90: times(after).ttft_ms_p90,
    back_s: calm < 0 ? NaN : calm * windowMs / 1000,
    share_before: share(before),
    share_slow: share(slow),
    share_after: share(after),
  });
}
