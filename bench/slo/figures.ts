/** Numbers out of outcomes. */
import { mean, quantile, round } from "../lib/stats.ts";
import type { Outcome } from "./world.ts";

export type Row = Readonly<Record<string, number>>;

/** Times of the answered, in milliseconds. */
export function times(outcomes: readonly Outcome[]): Row {
  const answered = outcomes.filter(({ refused }) => !refused);
  const e2e = sorted(answered.map(({ e2eMs }) => e2eMs));
  const ttft = sorted(answered.map(({ ttftMs }) => ttftMs));
  const tpot = sorted(answered.map(({ tpotMs }) => tpotMs));
  const promptTokens = answered.reduce((sum, { ask }) => sum + ask.promptTokens, 0);
  return rounded({
    e2e_ms_mean: mean(e2e),
    e2e_ms_p50: quantile(e2e, 0.5),
    e2e_ms_p90: quantile(e2e, 0.9),
    ttft_ms_p50: quantile(ttft, 0.5),
    ttft_ms_p90: quantile(ttft, 0.9),
    tpot_ms_p50: quantile(tpot, 0.5),
    tpot_ms_p90: quantile(tpot, 0.9),
    hit_rate: answered.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0) / promptTokens,
  });
}

/** Whether a request got both of what it asked for; an answer of one token has no time per token. */
export function met({ ask: { slo }, refused, ttftMs, tpotMs }: Outcome): boolean {
  return !refused && ttftMs <= slo.ttftMs && !(tpotMs > slo.tpotMs);
}

/** What became of the targets; `seconds` is how long requests came. */
export function targets(outcomes: readonly Outcome[], seconds: number): Row {
  const answered = outcomes.filter(({ refused }) => !refused);
  const good = outcomes.filter(met);
  const { ttft_ms_p90, tpot_ms_p90 } = times(outcomes);
  return rounded({
    goodput_rps: good.length / seconds,
    asked_rps: outcomes.length / seconds,
    attained: good.length / answered.length,
    refused: 1 - answered.length / outcomes.length,
    good_tokens_per_s: good.reduce((sum, { ask }) => sum + ask.outputTokens, 0) / seconds,
    ttft_ms_p90,
    tpot_ms_p90,
  });
}

/** The level the high quantile of a forecast is meant for. */
const highLevel = 0.9;

/** Forecasts beside what came, in windows of so many requests; the last one is open. Streams alone tell a router of both. */
export function accuracy(outcomes: readonly Outcome[], windows: readonly number[]): Row {
  const told = outcomes.filter(({ ask, forecast, tpotMs }) => ask.stream && forecast && Number.isFinite(tpotMs));
  const row: Record<string, number> = {};
  for (let i = 0, from = 0; i <= windows.length; i++) {
    const part = told.slice(from, windows[i]);
    const name = windows[i] === undefined ? `from_${from}` : `to_${windows[i]}`;
    from = windows[i];
    if (part.length === 0) continue;
    const ttft = part.map(({ forecast, engineTtftMs }) =>
      [forecast!.ttftMs, forecast!.ttftHighMs, engineTtftMs] as const
    );
    const tpot = part.map(({ forecast, tpotMs }) => [forecast!.tpotMs, forecast!.tpotHighMs, tpotMs] as const);
    for (const [target, pairs] of [["ttft", ttft], ["tpot", tpot]] as const) {
      row[`${target}_mape_${name}`] = mean(pairs.map(([middle, , actual]) => Math.abs(middle - actual) / actual));
      row[`${target}_pinball_ms_${name}`] = mean(pairs.map(([, high, actual]) => pinball(high, actual)));
      row[`${target}_coverage_${name}`] = mean(pairs.map(([, high, actual]) => actual <= high ? 1 : 0));
    }
  }
  return rounded(row);
}

function pinball(high: number, actual: number): number {
  return actual >= high ? highLevel * (actual - high) : (1 - highLevel) * (high - actual);
}

/** Median of the E2E time of those that arrived in each window of `windowMs`. */
export function e2eByWindow(outcomes: readonly Outcome[], windowMs: number): number[] {
  const windows: number[][] = [];
  for (const { ask, e2eMs } of outcomes) (windows[Math.floor(ask.atMs / windowMs)] ??= []).push(e2eMs);
  return Array.from(windows, (window) => quantile(sorted(window ?? []), 0.5));
}

function sorted(values: readonly number[]): Float64Array {
  return Float64Array.from(values.filter(Number.isFinite)).sort();
}

/** What could not be measured is left out. */
export function rounded(row: Row): Row {
  return Object.fromEntries(
    Object.entries(row).filter(([, value]) => Number.isFinite(value)).map(([name, value]) => [name, round(value, 3)]),
  );
}
