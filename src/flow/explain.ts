/** What waits, where and why, in plain data for operators. Every list is bounded and says how much it leaves out. */
import type { EndpointTable } from "../core/mod.ts";
import type { BandConfig, CeilingConfig, FlowLimits, SaturationConfig } from "../config/mod.ts";
import type { Band, Domain, Held } from "./band.ts";
import type { FlowController } from "./controller.ts";
import type { Lane, LaneBand } from "./lane.ts";
import { oldestOf } from "./sample.ts";
import { outReason, whyItWaits, type WhyParts } from "./why.ts";

const lanesMax = 50;
/** Of a band. */
const tenantsMax = 50;
/** Of a lane. */
const endpointsMax = 20;

export interface HeldReport {
  readonly requests: number;
  /** Prompt and expected output. */
  readonly tokens: number;
  readonly bytes: number;
}

export interface TenantReport {
  readonly tenant: string;
  readonly model: string;
  readonly queued: number;
  /** What its band's policy counts: weighted tokens, or the number of its turn. */
  readonly service: number;
  readonly weight: number;
}

export interface BandReport {
  readonly priority: number;
  readonly config: BandConfig;
  /** Share of an endpoint's capacity that it may use. */
  readonly ceiling: number;
  readonly held: HeldReport;
  readonly oldestWaitMs: number | null;
  /** Those with most waiting first. */
  readonly tenants: readonly TenantReport[];
  readonly tenantsLeftOut: number;
}

export interface LaneEndpointReport {
  readonly endpoint: string;
  readonly saturation: number;
  /** Requests it may have, others' included; null: without limit, or not learned yet. */
  readonly capacity: number | null;
  readonly inFlight: number;
  /** Requests there that are not ours. */
  readonly foreign: number;
  /** Prompt tokens that are being computed there for us, and how many may be. */
  readonly prefillTokens: number;
  readonly tokenCapacity: number | null;
  readonly open: boolean;
  /** Why it is not. */
  readonly out?: string;
}

export interface HeadReport {
  readonly tenant: string;
  readonly priority: number;
  readonly waitedMs: number;
  /** Until it is refused or, where it waits for one endpoint, until it waits for any; null: it waits for ever. */
  readonly dueInMs: number | null;
  readonly why: string;
}

export interface LaneBandReport {
  readonly priority: number;
  readonly queued: number;
  readonly waitMs: number | null;
  /** Dispatches it is owed for its share. */
  readonly credit: number;
}

export interface LaneReport {
  readonly model: string;
  readonly queued: number;
  /** Dispatches while something waited; null while too few were seen. */
  readonly drainPerSecond: number | null;
  /** Of one more request, by priorities that wait, for a tenant with none waiting; null: it cannot be told. */
  readonly bands: readonly LaneBandReport[];
  readonly endpoints: readonly LaneEndpointReport[];
  readonly endpointsLeftOut: number;
  /** The request that is served next; absent where none waits. */
  readonly head?: HeadReport;
}

export interface FlowReport {
  readonly enabled: boolean;
  readonly saturation: SaturationConfig;
  readonly ceiling: CeilingConfig;
  readonly held: HeldReport;
  readonly limits: FlowLimits;
  /** Refused requests whose turn is kept. */
  readonly promises: number;
  readonly bands: readonly BandReport[];
  /** Those with most waiting first; some of those in which nothing waits are remembered. */
  readonly lanes: readonly LaneReport[];
  readonly lanesLeftOut: number;
}

export interface ExplainParts {
  readonly controller: FlowController;
  readonly table: EndpointTable;
  /** What the endpoint of a slot is called. */
  readonly nameOf: (slot: number) => string;
  readonly nowMs: number;
}

export function explainFlow(parts: ExplainParts): FlowReport {
  const { controller, nowMs } = parts;
  const { config: { enabled, saturation, ceiling, limits }, held, bands, admission } = controller;
  const lanes = [...controller.lanes.all()].sort((a, b) => b.size - a.size);
  const oldest = oldestOf(lanes);
  const why = { ...parts, namesMax: endpointsMax };
  return {
    enabled,
    saturation,
    ceiling,
    held: heldReport(held),
    limits,
    promises: admission.promises.size,
    bands: bands.list.map((band) => {
      const sinceMs = oldest.get(band);
      return bandReport(band, controller, lanes, sinceMs === undefined ? null : Math.round(nowMs - sinceMs));
    }),
    lanes: lanes.slice(0, lanesMax).map((lane) => laneReport(lane, controller, why)),
    lanesLeftOut: Math.max(0, lanes.length - lanesMax),
  };
}

function heldReport({ requests, tokens, bytes }: Held): HeldReport {
  return { requests, tokens, bytes };
}

function bandReport(
  band: Band,
  { ceilings }: FlowController,
  lanes: readonly Lane[],
  oldestWaitMs: number | null,
): BandReport {
  const { priority, config, held } = band;
  const tenants = tenantsOf(band, lanes);
  return {
    priority,
    config,
    ceiling: ceilings.of(priority),
    held: heldReport(held),
    oldestWaitMs,
    tenants: tenants.slice(0, tenantsMax),
    tenantsLeftOut: Math.max(0, tenants.length - tenantsMax),
  };
}

function tenantsOf(band: Band, lanes: readonly Lane[]): TenantReport[] {
  const models = new Map<Domain, string>();
  for (const { model, bands } of lanes) {
    for (const own of bands) if (own.band === band) models.set(own.domain, model);
  }
  const tenants: TenantReport[] = [];
  for (const [{ tenants: ofModel }, model] of models) {
    for (const { name, service, weight, queues } of ofModel.values()) {
      const queued = queues.reduce((sum, { line }) => sum + line.size, 0);
      tenants.push({ tenant: name, model, queued, service, weight });
    }
  }
  return tenants.sort((a, b) => b.queued - a.queued || b.service - a.service);
}

function laneReport(lane: Lane, { admission }: FlowController, why: WhyParts): LaneReport {
  const { model, size, slots, rate, bands } = lane;
  const { nowMs } = why;
  const perMs = rate.perMs(nowMs);
  const next = nextBand(lane);
  return {
    model,
    queued: size,
    drainPerSecond: perMs === undefined ? null : perMs * 1000,
    bands: bands.filter(({ size }) => size > 0).map(({ band, size, domain: { credit } }) => ({
      priority: band.priority,
      queued: size,
      waitMs: whole(admission.predictWaitMs(lane, band, "", nowMs) ?? Infinity),
      credit,
    })),
    endpoints: slots.slice(0, endpointsMax).map((slot) => endpointReport(slot, why)),
    endpointsLeftOut: Math.max(0, slots.length - endpointsMax),
    ...(next ? { head: headReport(next, lane, why) } : {}),
  };
}

function endpointReport(slot: number, { table, nameOf }: WhyParts): LaneEndpointReport {
  const out = outReason(table, slot);
  return {
    endpoint: nameOf(slot),
    saturation: table.saturation(slot),
    capacity: limit(table.requestCapacity[slot]),
    inFlight: Atomics.load(table.requests, slot),
    foreign: table.foreign[slot],
    prefillTokens: table.toCompute(slot),
    tokenCapacity: limit(table.tokenCapacity[slot]),
    open: out === undefined,
    ...(out === undefined ? {} : { out }),
  };
}

function headReport(band: LaneBand, lane: Lane, why: WhyParts): HeadReport {
  const { head } = band.next();
  const { ask: { tenant, priority }, enqueuedAtMs, dueAtMs } = head;
  return {
    tenant,
    priority,
    waitedMs: Math.round(why.nowMs - enqueuedAtMs),
    dueInMs: whole(Math.max(0, dueAtMs - why.nowMs)),
    why: whyItWaits(head, lane, why),
  };
}

/** JSON has no Infinity. */
function limit(value: number): number | null {
  return value < Infinity ? value : null;
}

function whole(ms: number): number | null {
  return limit(Math.round(ms));
}

/** Of those that wait in a lane the one that is owed most, else the highest. */
function nextBand({ bands, top }: Lane): LaneBand | undefined {
  let next = top;
  for (const band of bands) if (band.size > 0 && band.domain.owed > next!.domain.owed) next = band;
  return next;
}
