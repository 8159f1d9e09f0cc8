/** What is predicted and how good that is, as a page that looks again every two seconds. It loads nothing but itself. */
import { createHash } from "node:crypto";
import type { EndpointLatencyReport, LatencyReport, ScoreReport, TargetReport } from "../latency/mod.ts";
import { bandsOf, escaped, isOff, scatter, shownMs } from "./latency_plot.ts";

const style = `
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #fff; --text: #1c1d20; --soft: #63676e; --line: #dcdee2;
  --in: #1f6fb4; --out: #d1490c; --good: #2b7a3e; }
@media (prefers-color-scheme: dark) { :root { --ground: #141518; --card: #1c1e22; --text: #e6e7ea; --soft: #9a9fa8;
  --line: #34373d; --in: #5fa8e6; --out: #ff8a4c; --good: #6cc383; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.25rem; background: var(--ground); color: var(--text);
  font: 14px/1.45 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline; margin-bottom: 1rem; }
h1 { font-size: 1.15rem; margin: 0; } h2 { font-size: 1rem; margin: 0 0 .5rem; }
p { margin: .25rem 0; } .soft, caption { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; min-width: 0; }
section.wide, .facts { margin-top: 1rem; } .scroll { overflow-x: auto; margin-top: .75rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; padding-bottom: .2rem; }
th, td { text-align: right; padding: .2rem .5rem; border-top: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); } th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.now td { font-weight: 600; } .bad { color: var(--out); font-weight: 600; } .good { color: var(--good); }
svg { display: block; width: 100%; max-width: 30rem; margin: 0 auto; } svg text { font-size: 11px; fill: var(--soft); }
.frame { fill: none; stroke: var(--line); } .grid { stroke: var(--line); stroke-width: .6; fill: none; }
.guide { stroke: var(--text); stroke-width: 1.2; fill: none; opacity: .7; } .guide.high { stroke-dasharray: 5 4; }
.in { fill: var(--in); } .out { fill: var(--out); } .open { fill: none; stroke: currentColor; }
.key { display: inline-block; width: .7em; height: .7em; border-radius: 50%; background: var(--in); }
.key.miss { border-radius: 0; transform: rotate(45deg) scale(.8); background: var(--out); }
.legend span { margin-right: 1rem; }
.stale header::after { content: "no answer: what is shown is old"; color: var(--out); font-weight: 600; }
`;

/** While a point is looked at, and while nobody looks, nothing changes. */
const script = `
async function look() {
  if (!document.hidden && !document.querySelector("svg :hover")) {
    let next = null;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    } catch {}
    if (next) document.querySelector("main").replaceWith(next);
    document.body.classList.toggle("stale", next === null);
  }
  setTimeout(look, 2000);
}
setTimeout(look, 2000);
`;

const hashOf = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const headers = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": `default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}; ` +
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};

/** `report` is absent where nothing is predicted. */
export function latencyPage(report: LatencyReport | undefined): Response {
  const page = '<!doctype html><html lang="en"><head><meta charset="utf-8">' +
    '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Predicted latency</title>' +
    `<noscript><meta http-equiv="refresh" content="2"></noscript><style>${style}</style></head>` +
    `<body>${report ? shown(report) : off}<script>${script}</script></body></html>`;
  return new Response(page, { headers });
}

const off = "<main><header><h1>Predicted latency</h1></header>" +
  "<p>Nothing is predicted: <code>latency.enabled</code> is false.</p></main>";

function shown({ quantile, outputTokens, targets: { ttft, tpot }, endpoints }: LatencyReport): string {
  return "<main><header><h1>Predicted latency</h1>" +
    `<span class="soft">high prediction: p${percent(quantile)} · expected answer: ${
      Math.round(outputTokens)
    } tokens</span></header>` +
    `<div class="cards">${card("Time to first token", ttft, quantile)}${
      card("Time per output token", tpot, quantile)
    }</div>` +
    `<section class="wide"><h2>Endpoints</h2>${endpointTable(endpoints, ttft.source, tpot.source)}</section></main>`;
}

function card(title: string, target: TargetReport, quantile: number): string {
  const { pairs, source } = target;
  const plot = pairs.length > 0
    ? scatter(pairs, quantile) + legend(quantile)
    : '<p class="soft">No request has told yet how long it took.</p>';
  return `<section><h2>${title} <span class="soft">predicted by ${
    source === "model" ? "a trained model" : "the prior"
  }</span></h2>` +
    plot + calibration(target, quantile) + scores(target, quantile) + facts(target) + "</section>";
}

function legend(quantile: number): string {
  return `<p class="legend soft"><span><i class="key"></i> at most p${percent(quantile)}</span>` +
    `<span><i class="key miss"></i> longer</span><span>— as expected</span><span>- - p${percent(quantile)}</span></p>`;
}

/** Shares below both predictions, by how long was expected: right where they are what they are to be. */
function calibration({ pairs }: TargetReport, quantile: number): string {
  const all = bandsOf(pairs, 1), bands = bandsOf(pairs, 3);
  if (all.length === 0) return "";
  const rows = [...(bands.length > 1 ? bands : []), ...all].map((band, i, { length }) => {
    const { fromMs, toMs, count, factor, belowMedian, belowHigh } = band;
    const name = i === length - 1 ? "all" : `${shownMs(fromMs)} to ${shownMs(toMs)}`;
    return [name, count, `× ${digits(factor)}`, share(belowMedian, 0.5, count), share(belowHigh, quantile, count)];
  });
  const head = ["expected", "requests", "actual ÷ expected", "≤ p50", `≤ p${percent(quantile)}`];
  return table("Calibration of the requests above; what is beyond chance is marked", head, rows);
}

function share(value: number, expected: number, count: number): string {
  return `<span class="${isOff(value, expected, count) ? "bad" : "good"}">${percent(value, 0)} %</span>`;
}

function scores({ source, scores: { told, prior, model } }: TargetReport, quantile: number): string {
  const row = (name: string, { labels, mape, coverage, loss }: ScoreReport) => [
    name + (name === source ? " (in force)" : ""),
    labels,
    mape === null ? "–" : `${percent(mape)} %`,
    coverage === null ? "–" : `${percent(coverage)} %`,
    loss === undefined || loss === null ? "–" : digits(loss),
  ];
  const rows = [row("told", told), row("prior", prior), row("model", model)];
  return table("Quality, of late", ["", "labels", "mean error", `≤ p${percent(quantile)}`, "loss"], rows);
}

function facts({ predictedOverSlo, reservoir, heldBack, champion, verdict, calibration }: TargetReport): string {
  const lines = [
    predictedOverSlo === null
      ? "No request with a target came lately."
      : `p90 of the high prediction over its target: <b class="${predictedOverSlo > 1 ? "bad" : "good"}">${
        digits(predictedOverSlo)
      }</b>`,
    `Moved by calibration: expected × ${digits(calibration.median)}, high × ${digits(calibration.high)}`,
    `Rows kept: ${reservoir.rows} of ${reservoir.rowsMax} to train on, ${heldBack} held back`,
    champion
      ? `Model: ${champion.trees} trees, ${Math.ceil(champion.bytes / 1024)} KiB, in use for ${
        Math.round(champion.ageMs / 1000)
      } s`
      : "No model was taken into use yet.",
    verdict
      ? `Last training: ${verdict.promoted ? "promoted" : "not better"}, loss ${
        shownLoss(verdict.challenger)
      } against ${shownLoss(verdict.prior)} of the prior${
        verdict.champion === null ? "" : ` and ${shownLoss(verdict.champion)} of the model before`
      }, ${verdict.rows} rows in ${shownMs(verdict.tookMs)}`
      : "Nothing was trained yet.",
  ];
  return `<div class="facts">${lines.map((line) => `<p>${line}</p>`).join("")}</div>`;
}

function shownLoss(loss: number | null): string {
  return loss === null ? "–" : String(digits(loss));
}

function endpointTable(endpoints: readonly EndpointLatencyReport[], ttft: string, tpot: string): string {
  const factor = (bias: Readonly<Record<string, number>>, source: string) => `× ${digits(bias[source])}`;
  const rows = endpoints.map(({ endpoint, labels, pace, suspect, prior, bias }) => [
    escaped(endpoint),
    labels,
    suspect ? `<span class="bad">× ${digits(pace)} suspect</span>` : `× ${digits(pace)}`,
    shownMs(prior.ttft.baseMs),
    shownMs(prior.ttft.msPer1000Tokens),
    factor(bias.ttft, ttft),
    shownMs(prior.tpot.baseMs),
    shownMs(prior.tpot.msPerRequest),
    shownMs(prior.tpot.msPer1000ContextTokens),
    factor(bias.tpot, tpot),
  ]);
  const head = [
    "endpoint",
    "labels",
    "pace",
    "TTFT base",
    "per 1,000 tokens",
    "bias",
    "TPOT base",
    "per request",
    "per 1,000 tokens of context",
    "bias",
  ];
  return table("What the formulas say of each, and times as long as they say it takes", head, rows);
}

/** Cells are HTML. */
function table(caption: string, head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = (tag: string, values: readonly (string | number)[]) =>
    `<tr>${values.map((value) => `<${tag}>${value}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll"><table><caption>${caption}</caption><thead>${cells("th", head)}</thead><tbody>${
    rows.map((row) => cells("td", row)).join("")
  }</tbody></table></div>`;
}

function percent(share: number, decimals = 1): string {
  return String(Number((share * 100).toFixed(decimals)));
}

function digits(value: number): number {
  return Number(value.toPrecision(3));
}
