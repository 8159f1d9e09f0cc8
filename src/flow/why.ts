/** Why a request that comes first in its lane still waits, in words for operators. */
import { BreakerState, EndpointState, endpointStateNames, type EndpointTable, mayPass } from "../core/mod.ts";
import type { FlowController } from "./controller.ts";
import type { Lane } from "./lane.ts";
import type { Waiting } from "./types.ts";

export interface WhyParts {
  readonly controller: Pick<FlowController, "lanes" | "ceilings">;
  readonly table: EndpointTable;
  /** What the endpoint of a slot is called. */
  readonly nameOf: (slot: number) => string;
  readonly nowMs: number;
  /** Endpoints that are named; of more only the number is told. */
  readonly namesMax: number;
}

export function whyItWaits(item: Waiting, lane: Lane, parts: WhyParts): string {
  const { holdUntilMs } = item;
  const reason = reasonIn(lane, item.queue.band.band.priority, parts);
  if (holdUntilMs === undefined) return reason;
  const leftMs = Math.max(0, Math.round(holdUntilMs - parts.nowMs));
  return `it waits up to ${leftMs} ms more for the endpoint that holds its prefix: ${reason}`;
}

/** Why nothing is sent to an endpoint, as far as its health says; undefined for one that may be sent to. */
export function outReason(table: EndpointTable, slot: number): string | undefined {
  const state = table.state[slot];
  if (state !== EndpointState.Ready) return state === EndpointState.Free ? "gone" : endpointStateNames[state];
  if (mayPass(table, slot)) return undefined;
  return Atomics.load(table.breaker, slot) === BreakerState.Open ? "circuit open" : "circuit half-open and being tried";
}

function reasonIn({ slots, model }: Lane, priority: number, parts: WhyParts): string {
  if (slots.length === 0) return model === "" ? "no endpoint is ready" : `no endpoint of ${model} is ready`;
  const { table, nameOf, controller: { ceilings } } = parts;
  const ceiling = ceilings.of(priority);
  const out: number[] = [], full: number[] = [], above: number[] = [], free: number[] = [];
  for (const slot of slots) {
    if (outReason(table, slot) !== undefined) out.push(slot);
    else if (!table.hasRoom(slot, 1)) full.push(slot);
    else if (!table.hasRoom(slot, ceiling)) above.push(slot);
    else free.push(slot);
  }
  const named = (of: readonly number[], tell: (slot: number) => string) => {
    const left = of.length - parts.namesMax;
    const names = of.slice(0, parts.namesMax).map((slot) => `${nameOf(slot)} ${tell(slot)}`.trimEnd());
    return names.join(", ") + (left > 0 ? ` and ${left} more` : "");
  };
  const told: string[] = [];
  if (full.length > 0) {
    told.push(`${counted(full.length, slots.length)} full: ${named(full, (slot) => fullness(table, slot, 1))}`);
  }
  if (above.length > 0) {
    const names = named(above, (slot) => fullness(table, slot, ceiling));
    told.push(`ceiling ${rounded(ceiling)} of priority ${priority}: ${names}`);
  }
  if (out.length > 0) {
    told.push(`${counted(out.length, slots.length)} out: ${named(out, (slot) => outReason(table, slot)!)}`);
  }
  if (free.length > 0) told.push(freeReason(free, priority, parts, named));
  return told.join("; ");
}

/** Room that the request has not been given. */
function freeReason(
  free: readonly number[],
  priority: number,
  { controller: { lanes } }: WhyParts,
  named: (of: readonly number[], tell: (slot: number) => string) => string,
): string {
  const others = free.filter((slot) =>
    lanes.at(slot).some(({ top }) => top !== undefined && top.band.priority > priority)
  );
  return others.length === free.length
    ? `higher priorities come first at ${named(others, () => "")}`
    : `${named(free, () => "has room")}: given out at the next look`;
}

function counted(count: number, all: number): string {
  if (all === 1) return "the only endpoint is";
  if (count === all) return `all ${all} endpoints are`;
  return `${count} of ${all} endpoints ${count === 1 ? "is" : "are"}`;
}

/** What of an endpoint's capacity is used up, where `ceiling` of it may be. */
function fullness(table: EndpointTable, slot: number, ceiling: number): string {
  const { requestCapacity, tokenCapacity, foreign, pressure } = table;
  const requests = Atomics.load(table.requests, slot) + foreign[slot];
  const tokens = table.toCompute(slot);
  const told: string[] = [];
  if (requests >= requestCapacity[slot] * ceiling) {
    const others = foreign[slot] > 0 ? ` (${rounded(foreign[slot])} of others)` : "";
    told.push(`${rounded(requests)}/${rounded(requestCapacity[slot])} requests${others}`);
  }
  if (tokens >= tokenCapacity[slot] * ceiling) told.push(`${tokens}/${tokenCapacity[slot]} prompt tokens`);
  if (pressure[slot] >= ceiling) told.push(`pressure ${rounded(pressure[slot])}`);
  return told.join(", ");
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}
