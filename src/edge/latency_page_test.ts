import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import type { LatencyReport, PairReport, TargetReport } from "../latency/mod.ts";
import { latencyPage } from "./latency_page.ts";
import { bandsOf, escaped, isOff, scatter, shownMs } from "./latency_plot.ts";

const pair = (part: Partial<PairReport> = {}): PairReport => ({
  endpoint: "h:1",
  agoMs: 1000,
  medianMs: 100,
  highMs: 150,
  actualMs: 120,
  censored: false,
  ...part,
});

const target = (part: Partial<TargetReport> = {}): TargetReport => ({
  source: "prior",
  scores: {
    told: { labels: 1, mape: 0.2, coverage: 1 },
    prior: { labels: 1, mape: 0.2, coverage: 1, loss: 0.1 },
    model: { labels: 0, mape: null, coverage: null, loss: null },
  },
  pinballMs: 1,
  predictedOverSlo: null,
  calibration: { median: 1, high: 1.5 },
  reservoir: { rows: 1, rowsMax: 100, added: 1 },
  heldBack: 1,
  champion: null,
  verdict: null,
  pairs: [pair()],
  ...part,
});

const report = (part: Partial<TargetReport> = {}, endpoint = "h:1"): LatencyReport => ({
  enabled: true,
  quantile: 0.9,
  outputTokens: 64,
  targets: { ttft: target(part), tpot: target(part) },
  endpoints: [{
    endpoint,
    prior: {
      ttft: { baseMs: 20, msPer1000Tokens: 125, inWords: "" },
      tpot: { baseMs: 6, msPerRequest: 0.35, msPer1000ContextTokens: 0, inWords: "" },
    },
    bias: { ttft: { prior: 1.1, model: 1.2 }, tpot: { prior: 1, model: 1 } },
    pace: 2.5,
    suspect: true,
    labels: 2,
  }],
});

Deno.test("latencyPage() allows exactly its own style and script, and loads nothing else", async () => {
  const answer = latencyPage(report());
  const policy = answer.headers.get("content-security-policy")!;
  const html = await answer.text();
  for (const [directive, tag] of [["style-src", "style"], ["script-src", "script"]]) {
    const blocks = [...html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, "g"))].map(([, text]) => text);
    equal(blocks.length, 1);
    const hash = createHash("sha256").update(blocks[0]).digest("base64");
    ok(policy.includes(`${directive} 'sha256-${hash}'`), policy);
  }
  ok(policy.startsWith("default-src 'none';"));
  // Neither would pass the policy.
  ok(!/\sstyle=|\son\w+=|src=|href=|@import|url\(/.test(html), html);
  equal(answer.headers.get("content-type"), "text/html; charset=utf-8");
});

Deno.test("latencyPage() writes names as text, whoever gave them", async () => {
  const name = `<img src=x onerror="alert('1')">&`;
  const html = await latencyPage(report({ pairs: [pair({ endpoint: name })] }, name)).text();
  ok(!html.includes("<img"));
  equal(html.split(escaped(name)).length - 1, 3);
});

Deno.test("latencyPage() tells what is in force, what is suspect, and what there is not yet", async () => {
  const html = await latencyPage(report()).text();
  for (
    const text of [
      "predicted by the prior",
      "prior (in force)",
      "× 2.5 suspect",
      "No request with a target came lately.",
      "No model was taken into use yet.",
      "Nothing was trained yet.",
    ]
  ) ok(html.includes(text), text);
  const verdict = {
    promoted: true,
    challenger: 0.05,
    prior: 0.1,
    champion: 0.06,
    coverage: 0.9,
    rows: 300,
    tookMs: 1500,
  };
  const champion = { trees: 100, bytes: 5000, ageMs: 9000 };
  const later = await latencyPage(report({ source: "model", verdict, champion, predictedOverSlo: 1.25 })).text();
  for (
    const text of [
      "predicted by a trained model",
      "Model: 100 trees, 5 KiB, in use for 9 s",
      "promoted, loss 0.05 against 0.1 of the prior and 0.06 of the model before, 300 rows in 1.5 s",
      '<b class="bad">1.25</b>',
    ]
  ) ok(later.includes(text), text);
  match(await latencyPage(report({ pairs: [] })).text(), /No request has told yet/);
  match(await latencyPage(undefined).text(), /<main>.*Nothing is predicted/);
});

/** Positions of the points of a picture. */
function points(svg: string): { x: number; y: number; inside: boolean }[] {
  const circles = [...svg.matchAll(/<circle [^>]*cx="([\d.]+)" cy="([\d.]+)"/g)];
  const others = [...svg.matchAll(/<path class="out[^>]*d="M([\d.]+) (-?[\d.]+)l/g)];
  return [
    ...circles.map(([, x, y]) => ({ x: Number(x), y: Number(y), inside: true })),
    ...others.map(([, x, y]) => ({ x: Number(x), y: Number(y) + 4.5, inside: false })),
  ];
}

Deno.test("scatter() puts equal times on the diagonal, more above it, and tells those beyond the high prediction apart", () => {
  const svg = scatter([
    pair({ medianMs: 10, actualMs: 10 }),
    pair({ medianMs: 1000, actualMs: 1000, highMs: 1500 }),
    pair({ medianMs: 100, actualMs: 160 }),
  ], 0.9);
  const [low, high, above] = points(svg);
  deepStrictEqual([low.inside, high.inside, above.inside], [true, true, false]);
  // On the line between two points of it, 100 ms expected lies in the middle.
  ok(Math.abs(above.x - (low.x + high.x) / 2) < 0.2);
  ok(above.y < (low.y + high.y) / 2 - 5);
  ok(svg.includes(">p50<") && svg.includes(">p90<") && svg.includes(">100 ms<"));
  ok(svg.includes("h:1: expected 100 ms, at most 150 ms, took 160 ms, 1 s ago"));
});

Deno.test("property: scatter() keeps every point within the picture, whatever the times", () => {
  const ms = fc.double({ min: 1e-3, max: 1e7, noNaN: true });
  const pairs = fc.array(
    fc.record({
      medianMs: ms,
      actualMs: ms,
      spread: fc.double({ min: 1, max: 10, noNaN: true }),
      censored: fc.boolean(),
    }),
    { minLength: 1, maxLength: 30 },
  );
  fc.assert(
    fc.property(pairs, (given) => {
      const svg = scatter(given.map(({ spread, ...some }) => pair({ ...some, highMs: some.medianMs * spread })), 0.9);
      ok(!/NaN|Infinity|undefined/.test(svg), svg);
      const shown = points(svg);
      equal(shown.length, given.length);
      for (const { x, y } of shown) ok(x >= 58 && x <= 426 && y >= 14 && y <= 394, `${x} ${y}`);
    }),
    { seed: 5, numRuns: 60 },
  );
});

Deno.test("bandsOf() sorts by what was expected and leaves lower bounds out that tell nothing", () => {
  const pairs = [
    ...Array.from({ length: 10 }, (_, i) => pair({ medianMs: 100 + i, highMs: 200, actualMs: 150 })),
    ...Array.from({ length: 10 }, (_, i) => pair({ medianMs: 10 + i, highMs: 30, actualMs: i < 2 ? 40 : 5 })),
    pair({ actualMs: 20, censored: true }),
  ];
  const [short, long, ...rest] = bandsOf(pairs, 2);
  deepStrictEqual(rest, []);
  deepStrictEqual([short.fromMs, short.toMs, short.count], [10, 19, 10]);
  deepStrictEqual([short.belowMedian, short.belowHigh], [0.8, 0.8]);
  deepStrictEqual([long.belowMedian, long.belowHigh, long.count], [0, 1, 10]);
  equal(long.factor, 150 / 104);
  equal(bandsOf(pairs.slice(0, 4), 3).length, 1);
  deepStrictEqual(bandsOf([], 3), []);
});

Deno.test("isOff() allows for chance: the fewer requests, the more", () => {
  equal(isOff(0.8, 0.9, 10), false);
  equal(isOff(0.8, 0.9, 500), true);
  equal(isOff(1, 0.9, 20), false);
  equal(isOff(1, 0.9, 100), true);
});

Deno.test("shownMs() writes times for people", () => {
  deepStrictEqual([0.01234, 12, 999.4, 1254].map(shownMs), ["0.0123 ms", "12 ms", "999 ms", "1.25 s"]);
});
