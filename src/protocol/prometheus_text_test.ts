import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { parseSelector, PrometheusScanner, type ScanResult, seriesLabelsMax } from "./prometheus_text.ts";

const encoder = new TextEncoder();

interface Found {
  selector: number;
  value: number;
  timestamp: number;
}

function scan(selectors: string[], page: string, bytesMax?: number): { found: Found[]; result: ScanResult } {
  const found: Found[] = [];
  const scanner = new PrometheusScanner(selectors.map(parseSelector));
  const result = scanner.scan(
    encoder.encode(page),
    (selector, { value, timestamp }) => found.push({ selector, value, timestamp }),
    bytesMax,
  );
  return { found, result };
}

const values = (selectors: string[], page: string) => scan(selectors, page).found.map((f) => f.value);

Deno.test("parseSelector() reads a bare name, quoted, bare and escaped label values", () => {
  deepStrictEqual(parseSelector("vllm:num_requests_waiting"), { name: "vllm:num_requests_waiting", labels: [] });
  deepStrictEqual(parseSelector(" a { } "), { name: "a", labels: [] });
  deepStrictEqual(parseSelector("m{a=\"1\", b=two , c='x,}y',}").labels, [["a", "1"], ["b", "two"], ["c", "x,}y"]]);
  deepStrictEqual(parseSelector(String.raw`m{a="q\"\\\n"}`).labels, [["a", 'q"\\\n']]);
});

Deno.test("parseSelector() refuses what is not an equality selector", () => {
  for (
    const bad of [
      "",
      "1a",
      "a{",
      "a}",
      "a{b}",
      "a{b!=c}",
      'a{b=~"c"}',
      "a{b=c d=e}",
      "a{,}",
      "a b",
      'a{b="c}',
      "a{b=c}x",
    ]
  ) {
    throws(() => parseSelector(bad), SyntaxError, bad);
  }
});

Deno.test("scan() hands over the series of wanted names only", () => {
  const page = `# HELP a text a 1
# TYPE a gauge
a 1
ab 2
a_total{x="1"} 3
  a{x="2"} 4
b 5
`;
  deepStrictEqual(values(["a", "b"], page), [1, 4, 5]);
  deepStrictEqual(values(['a{x="2"}'], page), [4]);
  deepStrictEqual(values(["missing"], page), []);
});

Deno.test("scan() calls once for each selector a series matches", () => {
  deepStrictEqual(scan(["a", "a{x=1}", "a{x=2}"], 'a{x="1"} 7').found.map((f) => f.selector), [0, 1]);
});

Deno.test("scan() reads every form of number the format allows", () => {
  const table: [string, number][] = [
    ["0", 0],
    ["12.0", 12],
    ["-3.5", -3.5],
    ["+4", 4],
    [".5", 0.5],
    ["1.", 1],
    ["0.1", 0.1],
    ["0.30000000000000004", 0.30000000000000004],
    ["1.7586e+09", 1.7586e9],
    ["123456789012345678", 123456789012345678],
    ["1e-7", 1e-7],
    ["NaN", NaN],
    ["+Inf", Infinity],
    ["-Inf", -Infinity],
  ];
  for (const [text, value] of table) deepStrictEqual(values(["a"], `a ${text}\n`), [value], text);
});

Deno.test("scan() reads timestamps and passes over exemplars and carriage returns", () => {
  deepStrictEqual(scan(["a"], 'a 1 1700000000123\na{x="1"}\t2\t-5 \r\na 3 # {trace="x"} 0.5\na 4').found, [
    { selector: 0, value: 1, timestamp: 1700000000123 },
    { selector: 0, value: 2, timestamp: -5 },
    { selector: 0, value: 3, timestamp: NaN },
    { selector: 0, value: 4, timestamp: NaN },
  ]);
});

Deno.test("scan() counts malformed lines of wanted metrics, skips them and goes on", () => {
  const bad = [
    "a",
    "a ",
    "a x",
    "a 0x10",
    "a 1 2 3",
    "a{",
    'a{x="1"',
    'a{x="1} 2',
    "a{x=1} 2",
    'a{x "1"} 2',
    'a{="1"} 2',
    'a{x="1" y="2"} 3',
    "a{}",
    "a 1 x",
    "a --1",
    "a .",
    `a ${"9".repeat(100)}`,
  ];
  for (const line of bad) {
    const { found, result } = scan(["a"], `a 1\n${line}\na 2\n`);
    deepStrictEqual(found.map((f) => f.value), [1, 2], line);
    deepStrictEqual(result, { matched: 2, malformed: 1, truncated: false }, line);
  }
});

Deno.test("scan() takes a line with more labels than the limit as malformed", () => {
  const labels = (n: number) => Array.from({ length: n }, (_, i) => `l${i}="v"`).join(",");
  equal(scan(["a"], `a{${labels(seriesLabelsMax)}} 1`).result.matched, 1);
  equal(scan(["a"], `a{${labels(seriesLabelsMax + 1)}} 1`).result.malformed, 1);
});

Deno.test("scan() reads whole lines only when the page is longer than bytesMax", () => {
  const { found, result } = scan(["a"], "a 1\na 234\n", 8);
  deepStrictEqual(found.map((f) => f.value), [1]);
  equal(result.truncated, true);
  equal(scan(["a"], "a 1", 2).result.matched, 0);
});

const labelName = fc.stringMatching(/^[a-z_][a-z0-9_]{0,8}$/);
const escape = (text: string) => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
const sample = fc.record({
  name: fc.constantFrom("vllm:a", "vllm:ab", "b", "other"),
  labels: fc.dictionary(labelName, fc.string({ unit: "binary", maxLength: 12 }), { maxKeys: 6, noNullPrototype: true }),
  value: fc.double(),
});

Deno.test("scan() gives back the labels and values of any page that follows the format", () => {
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 30 }), (samples) => {
      const page = samples.map(({ name, labels, value }) => {
        const text = Object.entries(labels).map(([k, v]) => `${k}="${escape(v.toWellFormed())}"`).join(",");
        const number = Object.is(value, Infinity) ? "+Inf" : String(value);
        return `${name}${text ? `{${text}}` : ""} ${number}\n`;
      }).join("# HELP b x\n");
      const got: unknown[] = [];
      const names = ["vllm:a", "vllm:ab", "b"];
      const scanner = new PrometheusScanner(names.map(parseSelector));
      const result = scanner.scan(encoder.encode(page), (selector, series) => {
        const wanted = samples.filter((s) => s.name !== "other")[got.length];
        const labels = Object.fromEntries(Object.keys(wanted.labels).map((k) => [k, series.label(k)]));
        got.push({ name: names[selector], labels, value: series.value });
        equal(series.labelCount, Object.keys(wanted.labels).length);
        for (const [k, v] of Object.entries(wanted.labels)) ok(series.hasLabel(k, v.toWellFormed()));
      });
      const want = samples.filter((s) => s.name !== "other").map(({ name, labels, value }) => ({
        name,
        labels: Object.fromEntries(Object.entries(labels).map(([k, v]) => [k, v.toWellFormed()])),
        value: Object.is(value, -0) ? 0 : value,
      }));
      deepStrictEqual(got, want);
      deepStrictEqual(result, { matched: want.length, malformed: 0, truncated: false });
    }),
    { seed: 1, numRuns: 300 },
  );
});

Deno.test("scan() ends on any bytes, and never reads past bytesMax", () => {
  const fragment = fc.constantFrom(
    "a",
    "a{",
    'x="',
    '"',
    "\\",
    "\n",
    " ",
    "1",
    "}",
    ",",
    "=",
    "#",
    "\r",
    "NaN",
    "é",
    "a 1\n",
  );
  const page = fc.oneof(
    fc.array(fragment, { maxLength: 40 }).map((parts) => encoder.encode(parts.join(""))),
    fc.uint8Array({ maxLength: 200 }),
  );
  fc.assert(
    fc.property(page, fc.nat(250), (bytes, bytesMax) => {
      const scanner = new PrometheusScanner([parseSelector("a"), parseSelector('a{x="1"}')]);
      const lines = bytes.filter((b) => b === 10).length + 1;
      const { matched, malformed, truncated } = scanner.scan(bytes, (_, series) => void series.label("x"), bytesMax);
      ok(matched <= 2 * lines && malformed <= lines);
      equal(truncated, bytes.length > bytesMax);
      const short = scanner.scan(bytes.slice(0, bytesMax), () => {});
      if (!truncated) deepStrictEqual(short, { matched, malformed, truncated });
    }),
    { seed: 2, numRuns: 2000 },
  );
});
