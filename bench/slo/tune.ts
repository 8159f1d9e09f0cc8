/** What a fair comparison needs first: how much the fleet can do, and the best weights of the heuristics. */
import { flowDefaults, fusedDefaults } from "../../src/config/mod.ts";
import { met, times } from "./figures.ts";
import type { FleetPolicy } from "./policy.ts";
import { queued, weighted, type Weights } from "./policies.ts";
import { type Ask, workload } from "./workload.ts";
import { type FleetOptions, runFleet } from "./world.ts";

/** Share of requests whose targets are met at capacity. */
const capacityAttained = 0.9;

/** Halvings of the range of rates: to a hundredth of it. */
const halvings = 7;

/** Requests a second that `policy` serves within their targets, save for one in ten, where rates are steady. */
export async function capacity(
  policy: FleetPolicy,
  options: FleetOptions,
  { seed, seconds }: { readonly seed: number; readonly seconds: number },
): Promise<number> {
  // An engine has 32 places, and a request takes a second at least.
  let least = 0, most = 8 * options.speeds.length;
  for (let i = 0; i < halvings; i++) {
    const perS = (least + most) / 2;
    const outcomes = await runFleet(workload({ seed, steps: [{ seconds, perS }], bursts: false }), policy, options);
    if (outcomes.filter(met).length >= capacityAttained * outcomes.length) least = perS;
    else most = perS;
  }
  return least;
}

/** Weights whose E2E median, multiplied over all of `streams`, is least among `candidates`: one stream alone is luck. */
export async function tunedWeights(
  streams: readonly (readonly Ask[])[],
  candidates: readonly Weights[],
  options: FleetOptions,
  onRun: () => void,
): Promise<Weights> {
  let best = candidates[0], least = Infinity;
  for (const weights of candidates) {
    onRun();
    let product = 1;
    for (const asks of streams) {
      product *= times(await runFleet(asks, weighted(weights, "candidate"), options)).e2e_ms_p50;
    }
    if (product < least) [best, least] = [weights, product];
  }
  return best;
}

/** Queue, KV usage and prefix alone, as llm-d weighs them. */
export function threeScorers(smoke: boolean): Weights[] {
  const grid: Weights[] = [];
  for (const queue of smoke ? [2] : [0, 1, 2, 4]) {
    for (const kv of smoke ? [2] : [0, 1, 2, 4]) {
      for (const prefix of smoke ? [1, 3] : [1, 3, 6]) grid.push({ queue, kv, prefix, active: 0 });
    }
  }
  return grid;
}

/** The best of the above with our own requests in flight weighed too. */
export function withActive({ queue, kv, prefix }: Weights, smoke: boolean): Weights[] {
  return (smoke ? [0.5, 2] : [0, 0.5, 1, 2, 4]).flatMap((active) => [
    { queue, kv, prefix, active: active * prefix },
    { queue: 0, kv: 0, prefix, active: active * prefix },
  ]);
}

/** Limits of requests at an endpoint and waits that are tried for the queue. */
const concurrencies = [8, 12, 16, 24, undefined];
const ttlsMs = [500, 1000, 3000];

/** The policy behind the queue, with the limits that give the most goodput on `asks`. */
export async function tunedQueue(
  policy: FleetPolicy,
  asks: readonly Ask[],
  options: FleetOptions,
  smoke: boolean,
  onRun: () => void,
): Promise<FleetPolicy> {
  let best = queued(policy, flowDefaults), most = -1;
  for (const maxConcurrency of smoke ? [16] : concurrencies) {
    for (const ttlMs of smoke ? [1000] : ttlsMs) {
      onRun();
      const saturation = { ...fusedDefaults, ...(maxConcurrency && { maxConcurrency }) };
      const name = `${policy.name}, ${maxConcurrency ?? "learned"} places, wait ${ttlMs} ms`;
      const candidate = queued(policy, { ...flowDefaults, ttlMs, saturation }, name);
      const good = (await runFleet(asks, candidate, options)).filter(met).length;
      if (good > most) [best, most] = [candidate, good];
    }
  }
  return best;
}
