/** Predicted against actual times as a picture, and how well the one tells of the other. */
import type { PairReport } from "../latency/mod.ts";

/** Of the picture, and of what stands beside its axes. */
const size = 440, left = 58, right = 14, top = 14, bottom = 46;
const across = size - left - right, up = size - top - bottom;
/** Decades the axes span at least, so that chance does not look like a trend. */
const leastDecades = 0.5;
/** What is written beside axes of so many decades at most. */
const steps: readonly (readonly [decades: number, steps: readonly number[]])[] = [
  [1.1, [1, 2, 3, 4, 5, 7]],
  [2.2, [1, 2, 5]],
  [Infinity, [1]],
];

/** `&`, `<`, `>` and quotes as they are written in HTML. */
export function escaped(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => names[character]);
}

/** A time for people: `12 ms`, `1.25 s`. */
export function shownMs(ms: number): string {
  return ms < 1000 ? `${Number(ms.toPrecision(3))} ms` : `${Number((ms / 1000).toPrecision(3))} s`;
}

/** Positions on both axes, which are alike: logarithms from `low` to `high` decades of milliseconds. */
interface Axes {
  readonly low: number;
  readonly high: number;
}

/** Median over the expected time (diagonal) and high over expected (dashed) as lines; each request as a point between them. */
export function scatter(pairs: readonly PairReport[], quantile: number): string {
  const axes = axesOf(pairs);
  const spread = medianOf(pairs.map(({ highMs, medianMs }) => highMs / medianMs));
  const percent = Number((quantile * 100).toFixed(1));
  return [
    `<svg viewBox="0 0 ${size} ${size}" role="img" aria-label="Actual over expected time, both logarithmic">`,
    grid(axes),
    guide(axes, 1, "p50", "p50"),
    spread > 1.02 ? guide(axes, spread, `p${percent}`, "high") : "",
    ...pairs.map((pair, i) => point(pair, axes, (i + 1) / pairs.length)),
    "</svg>",
  ].join("");
}

function axesOf(pairs: readonly PairReport[]): Axes {
  let low = Infinity, high = -Infinity;
  for (const { medianMs, actualMs } of pairs) {
    low = Math.min(low, Math.log10(medianMs), Math.log10(actualMs));
    high = Math.max(high, Math.log10(medianMs), Math.log10(actualMs));
  }
  const pad = 0.05 * (high - low) + Math.max(0, leastDecades - (high - low)) / 2;
  return { low: low - pad, high: high + pad };
}

function x({ low, high }: Axes, decades: number): number {
  return round(left + across * (decades - low) / (high - low));
}

function y({ low, high }: Axes, decades: number): number {
  return round(top + up * (high - decades) / (high - low));
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function grid(axes: Axes): string {
  const { low, high } = axes;
  const lines = ticksOf(axes).map((ms) => {
    const at = Math.log10(ms), label = shownMs(ms);
    return `<path class="grid" d="M${x(axes, at)} ${top}v${up}M${left} ${y(axes, at)}h${across}"/>` +
      `<text x="${x(axes, at)}" y="${top + up + 16}" text-anchor="middle">${label}</text>` +
      `<text x="${left - 6}" y="${y(axes, at) + 4}" text-anchor="end">${label}</text>`;
  });
  const middle = (low + high) / 2;
  return `<rect class="frame" x="${left}" y="${top}" width="${across}" height="${up}"/>${lines.join("")}` +
    `<text class="axis" x="${x(axes, middle)}" y="${size - 8}" text-anchor="middle">expected</text>` +
    `<text class="axis" transform="translate(12 ${y(axes, middle)}) rotate(-90)" text-anchor="middle">actual</text>`;
}

function ticksOf({ low, high }: Axes): number[] {
  const ticks: number[] = [];
  const [, written] = steps.find(([decades]) => high - low <= decades)!;
  for (let decade = Math.floor(low); decade <= Math.ceil(high); decade++) {
    for (const step of written) {
      const at = decade + Math.log10(step);
      if (at >= low && at <= high) ticks.push(step * 10 ** decade);
    }
  }
  return ticks;
}

/** The line of what takes `factor` times as long as expected. */
function guide(axes: Axes, factor: number, label: string, name: string): string {
  const { low, high } = axes;
  const shift = Math.log10(factor);
  const from = Math.max(low, low - shift), to = Math.min(high, high - shift);
  if (to <= from) return "";
  const endX = x(axes, to), endY = y(axes, to + shift);
  // Beside the line, on the side where the other one is not.
  const [labelX, labelY] = factor > 1 ? [endX - 22, endY + 14] : [endX - 4, endY + 36];
  return `<path class="guide ${name}" d="M${x(axes, from)} ${y(axes, from + shift)}L${endX} ${endY}"/>` +
    `<text x="${labelX}" y="${labelY}" text-anchor="end">${label}</text>`;
}

/** `age`: 1 for the newest. */
function point({ endpoint, medianMs, highMs, actualMs, censored, agoMs }: PairReport, axes: Axes, age: number): string {
  const px = x(axes, Math.log10(medianMs)), py = y(axes, Math.log10(actualMs));
  const inside = actualMs <= highMs;
  const title = `${endpoint}: expected ${shownMs(medianMs)}, at most ${shownMs(highMs)}, ` +
    `${censored ? "given up after" : "took"} ${shownMs(actualMs)}, ${Math.round(agoMs / 1000)} s ago`;
  const attributes = `class="${inside ? "in" : "out"}${censored ? " open" : ""}" opacity="${
    (0.35 + 0.55 * age).toFixed(2)
  }"`;
  const shape = inside
    ? `<circle ${attributes} cx="${px}" cy="${py}" r="3">`
    : `<path ${attributes} d="M${px} ${round(py - 4.5)}l4 4.5l-4 4.5l-4-4.5z">`;
  return `${shape}<title>${escaped(title)}</title></${inside ? "circle" : "path"}>`;
}

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}

/** How predictions of one range of expected times came out. */
export interface Band {
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
  /** Median of actual ÷ expected. */
  readonly factor: number;
  /** Shares at most the expected and the high time. */
  readonly belowMedian: number;
  readonly belowHigh: number;
}

/** As many bands as given, with about as many pairs each, by the expected time; fewer where there are few pairs. */
export function bandsOf(pairs: readonly PairReport[], bands: number): Band[] {
  const known = pairs.filter(({ censored, actualMs, highMs }) => !censored || actualMs > highMs)
    .toSorted((a, b) => a.medianMs - b.medianMs);
  const count = Math.min(bands, Math.ceil(known.length / 5));
  return Array.from({ length: count }, (_, i) => {
    const own = known.slice(Math.floor(known.length * i / count), Math.floor(known.length * (i + 1) / count));
    const share = (is: (pair: PairReport) => boolean) => own.filter(is).length / own.length;
    return {
      fromMs: own[0].medianMs,
      toMs: own[own.length - 1].medianMs,
      count: own.length,
      factor: medianOf(own.map(({ actualMs, medianMs }) => actualMs / medianMs)),
      belowMedian: share(({ actualMs, medianMs }) => actualMs <= medianMs),
      belowHigh: share(({ actualMs, highMs }) => actualMs <= highMs),
    };
  });
}

/** Whether a share of `count` cases differs from what it is to be by more than chance explains, in 19 cases of 20. */
export function isOff(share: number, expected: number, count: number): boolean {
  return Math.abs(share - expected) > 2 * Math.sqrt(expected * (1 - expected) / count) + 0.5 / count;
}
