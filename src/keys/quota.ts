/** What one request draws from its key and its tenant, as one: all of it or nothing. */
import type { KeyLimits } from "../config/mod.ts";
import { type Bucket, type QuotaTable, type Rate, rateOf, type Seat } from "./quota_table.ts";

const buckets: readonly Bucket[] = ["requests", "tokens"];

/** One key's or tenant's limits, ready to be drawn from. */
export interface Quota {
  readonly seat: Seat;
  readonly rates: Readonly<Record<Bucket, Rate | undefined>>;
  readonly placesMax: number | undefined;
}

export function quotaOf(seat: Seat, { requestsPerMinute, tokensPerMinute, maxConcurrent }: KeyLimits): Quota {
  const rate = (perMinute: number | undefined) => perMinute === undefined ? undefined : rateOf(perMinute);
  return {
    seat,
    rates: { requests: rate(requestsPerMinute), tokens: rate(tokensPerMinute) },
    placesMax: maxConcurrent,
  };
}

/** Why nothing was drawn. */
export type Shortage =
  | { readonly reason: Bucket; readonly limit: number; readonly waitMs: number }
  | { readonly reason: "concurrency"; readonly limit: number }
  | { readonly reason: "gone" };

export type Drawn = Readonly<Record<Bucket, number>>;

/** Draws from every quota, or from none and says what was short. */
export function drawAll(
  table: QuotaTable,
  isolate: number,
  quotas: readonly Quota[],
  drawn: Drawn,
  nowMs: number,
): Shortage | undefined {
  for (let i = 0; i < quotas.length; i++) {
    const shortage = draw(table, isolate, quotas[i], drawn, nowMs);
    if (!shortage) continue;
    settleAll(table, isolate, quotas.slice(0, i), drawn, { requests: 0, tokens: 0 }, nowMs);
    return shortage;
  }
}

function draw(
  table: QuotaTable,
  isolate: number,
  { seat, rates, placesMax }: Quota,
  drawn: Drawn,
  nowMs: number,
): Shortage | undefined {
  const entered = table.enter(seat, isolate, placesMax);
  if (entered === "gone") return { reason: "gone" };
  if (entered === "full") return { reason: "concurrency", limit: placesMax! };
  for (let i = 0; i < buckets.length; i++) {
    const bucket = buckets[i], rate = rates[bucket];
    const waitMs = rate ? table.draw(seat.row, bucket, drawn[bucket], rate, nowMs) : 0;
    if (waitMs === 0) continue;
    for (const before of buckets.slice(0, i)) {
      if (rates[before]) table.settle(seat.row, before, -drawn[before], rates[before], nowMs);
    }
    table.leave(seat.row, isolate);
    return { reason: bucket, limit: rate!.perMinute, waitMs };
  }
}

/** Ends what `drawAll` began: what was drawn becomes what was used, and the place in flight is free. */
export function settleAll(
  table: QuotaTable,
  isolate: number,
  quotas: readonly Quota[],
  drawn: Drawn,
  used: Drawn,
  nowMs: number,
): void {
  for (const { seat: { row }, rates } of quotas) {
    for (const bucket of buckets) {
      const rate = rates[bucket];
      if (rate) table.settle(row, bucket, used[bucket] - drawn[bucket], rate, nowMs);
    }
    table.leave(row, isolate);
  }
}

/** `x-ratelimit-…` as OpenAI names and writes them, of the quota that has the least left. */
export function rateLimitHeaders(
  table: QuotaTable,
  quotas: readonly Quota[],
  nowMs: number,
): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const bucket of buckets) {
    let least = Infinity;
    for (const { seat, rates } of quotas) {
      const rate = rates[bucket];
      const state = rate && table.state(seat.row, bucket, rate, nowMs);
      if (!state || state.remaining >= least) continue;
      least = state.remaining;
      headers[`x-ratelimit-limit-${bucket}`] = String(rate!.perMinute);
      headers[`x-ratelimit-remaining-${bucket}`] = String(state.remaining);
      headers[`x-ratelimit-reset-${bucket}`] = resetText(state.resetMs);
    }
  }
  return headers;
}

/** `1m30s`, `12.5s`, `80ms`. */
function resetText(ms: number): string {
  if (ms < 1000) return `${Math.ceil(ms)}ms`;
  const minutes = Math.floor(ms / 60_000), seconds = Math.ceil(ms % 60_000) / 1000;
  return `${minutes > 0 ? `${minutes}m` : ""}${seconds}s`;
}
