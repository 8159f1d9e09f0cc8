/** Flow control in numbers, for a scrape. */
import { EndpointState, type EndpointTable, nobodyQueued } from "../core/mod.ts";
import type { FlowBandSample, FlowQueueSample, FlowSample } from "../telemetry/mod.ts";
import type { Band } from "./band.ts";
import type { FlowController } from "./controller.ts";
import type { Lane } from "./lane.ts";

/** llm-d's label of what an endpoint does; one without it decodes. */
const roleLabel = "llm-d.ai/role";
const both = ["prefill-decode", "both", "encode-prefill-decode"];
const stages: Readonly<Record<string, ReadonlySet<string>>> = {
  prefill: new Set(["prefill", "encode-prefill", ...both]),
  decode: new Set(["decode", "", ...both]),
};

/** Detectors as llm-d names them, where it has them. */
const detectorNames = {
  fused: "fused",
  utilization: "utilization-detector",
  concurrency: "concurrency-detector",
} as const;

export interface FlowSampleParts {
  readonly controller: FlowController;
  readonly table: EndpointTable;
  readonly nowMs: number;
  /** Age from which a load sample is old, where the detector does not say. */
  readonly staleAfterMs: number;
  /** Running requests that were taken back and have not let go. */
  readonly revoked: number;
}

export function flowSample(parts: FlowSampleParts): FlowSample {
  const { controller, table } = parts;
  const { bands, lanes, held, config: { limits, eviction }, admission } = controller;
  const ready = [...table.slots()].filter((slot) => table.state[slot] === EndpointState.Ready);
  const all = [...lanes.all()];
  const { queues, prefillTokens } = waitingOf(all);
  const oldest = oldestOf(all);
  return {
    saturation: saturation(table, ready),
    stale: stale(parts, ready),
    bands: bands.list.map((band) => bandSample(parts, band, all, oldest.get(band))),
    queues,
    tenants: Array.from(
      controller.tenants,
      ([tenant, { requests, tokens }]) => ({ tenant, requests, tokens }),
    ),
    requestsRatio: limits.maxRequests === undefined ? undefined : held.requests / limits.maxRequests,
    bytesRatio: limits.maxBytes === undefined ? undefined : held.bytes / limits.maxBytes,
    requiredReplicas: requiredReplicas(parts, ready, { requests: held.requests, prefillTokens }),
    promises: admission.promises.size,
    reclaim: eviction ? reclaim(parts, ready) : undefined,
  };
}

/** Of each band in which something waits, when the request came that has waited longest. */
export function oldestOf(lanes: readonly Lane[]): Map<Band, number> {
  const oldest = new Map<Band, number>();
  for (const { bands } of lanes) {
    for (const { band, queues: { items: tenants } } of bands) {
      let sinceMs = oldest.get(band) ?? Infinity;
      for (const { line } of tenants) {
        for (const { enqueuedAtMs } of line) sinceMs = Math.min(sinceMs, enqueuedAtMs);
      }
      if (sinceMs < Infinity) oldest.set(band, sinceMs);
    }
  }
  return oldest;
}

function bandSample(
  { controller: { admission }, nowMs }: FlowSampleParts,
  band: Band,
  lanes: readonly Lane[],
  oldestMs = nowMs,
): FlowBandSample {
  const { priority, held, config } = band;
  return {
    priority,
    tokens: held.tokens,
    oldestWaitMs: nowMs - oldestMs,
    estimatedWaitMs: longest(
      lanes.filter(({ size }) => size > 0).map((lane) => admission.predictWaitMs(lane, band, "", nowMs)),
    ),
    requestsRatio: held.requests / config.maxRequests,
    bytesRatio: held.bytes / config.maxBytes,
  };
}

/** 0 of none; undefined when none of some is known. */
function longest(waits: readonly (number | undefined)[]): number | undefined {
  if (waits.length === 0) return 0;
  const known = waits.filter((ms) => ms !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

/** Requests that wait, by tenant, priority and model: a run of one model in a tenant's queue is one item. */
function waitingOf(lanes: readonly Lane[]): { queues: FlowQueueSample[]; prefillTokens: number } {
  const queues: FlowQueueSample[] = [];
  let prefillTokens = 0;
  for (const { model, bands } of lanes) {
    for (const { band: { priority }, queues: { items: tenants } } of bands) {
      for (const { tenant: { name: tenant }, head, line } of tenants) {
        let { requestedModel } = head.ask, requests = 0, bytes = 0;
        for (const { ask } of line) {
          if (ask.requestedModel !== requestedModel) {
            queues.push({ tenant, priority, model, requestedModel, requests, bytes });
            [requestedModel, requests, bytes] = [ask.requestedModel, 0, 0];
          }
          requests++;
          bytes += ask.bodyBytes;
          prefillTokens += ask.prefillTokens;
        }
        queues.push({ tenant, priority, model, requestedModel, requests, bytes });
      }
    }
  }
  return { queues, prefillTokens };
}

function saturation(table: EndpointTable, ready: readonly number[]): Record<string, number> {
  const mean = (slots: readonly number[]) => sum(slots, (slot) => table.saturation(slot)) / slots.length;
  const byStage: Record<string, number> = {};
  for (const [stage, roles] of Object.entries(stages)) {
    const slots = ready.filter((slot) => roles.has(table.peek(slot)?.labels[roleLabel] ?? ""));
    if (slots.length > 0) byStage[stage] = mean(slots);
  }
  return { ...byStage, effective: ready.length > 0 ? mean(ready) : 1 };
}

function stale(
  { controller: { config: { saturation } }, table, nowMs, staleAfterMs }: FlowSampleParts,
  ready: readonly number[],
): FlowSample["stale"] {
  const { detector } = saturation;
  // One that counts what was sent needs no sample.
  const oldMs = detector === "concurrency"
    ? Infinity
    : detector === "utilization"
    ? saturation.stalenessMs
    : staleAfterMs;
  const old = ready.filter((slot) => oldMs < Infinity && table.sampleAgeMs(slot, nowMs) > oldMs);
  return { detector: detectorNames[detector], endpoints: old.length };
}

/** See the help of `flow_control_required_replicas`. */
function requiredReplicas(
  { controller: { config: { saturation } }, table }: FlowSampleParts,
  ready: readonly number[],
  waiting: { readonly requests: number; readonly prefillTokens: number },
): number | undefined {
  if (ready.length === 0) return Math.min(1, waiting.requests);
  const { requestCapacity, tokenCapacity, requests } = table;
  const byRequests = needed(table, ready, requestCapacity, (slot) => Atomics.load(requests, slot), waiting.requests);
  const byTokens = needed(table, ready, tokenCapacity, (slot) => table.toCompute(slot), waiting.prefillTokens);
  // Tokens tell nothing of requests whose prompts are computed, unless they are all that is limited.
  if (byRequests === undefined && saturation.detector !== "concurrency") return undefined;
  return Math.max(byRequests ?? 0, byTokens ?? 0);
}

/** In one of the units that endpoints have a capacity of; undefined where none of them has. */
function needed(
  table: EndpointTable,
  ready: readonly number[],
  capacity: Float64Array,
  used: (slot: number) => number,
  waiting: number,
): number | undefined {
  const limited = ready.filter((slot) => capacity[slot] < Infinity);
  if (limited.length === 0) return undefined;
  const mean = sum(limited, (slot) => capacity[slot]) / limited.length;
  // One whose own is not known takes as much as the others.
  const inUse = (slot: number) => capacity[slot] < Infinity ? table.saturation(slot) : used(slot) / mean;
  return sum(ready, inUse) + waiting / mean;
}

function reclaim(
  { controller: { ceilings }, table, revoked }: FlowSampleParts,
  ready: readonly number[],
): { target: number; pending: number } {
  if (ready.length === 0) return { target: 0, pending: 0 };
  const above = (slot: number) => {
    const priority = Atomics.load(table.queued, slot);
    return priority === nobodyQueued ? 0 : Math.max(0, table.saturation(slot) - ceilings.of(priority));
  };
  return {
    target: sum(ready, above) / ready.length,
    pending: revoked / sum(ready, (slot) => table.requestCapacity[slot]),
  };
}

function sum(slots: readonly number[], of: (slot: number) => number): number {
  return slots.reduce((sum, slot) => sum + of(slot), 0);
}
