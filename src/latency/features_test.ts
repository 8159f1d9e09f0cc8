import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { endpointMeta, EndpointState, EndpointTable } from "../core/mod.ts";
import { columnOf, columns, modelColumns, writeRow } from "./features.ts";
import { testFacts, testRequest, testTable } from "./latency_testing.ts";

/** Columns of llm-d's two models, in the order their files number them. */
const llmdTtft = [
  "is_queued",
  "kv_cache_percentage",
  "input_token_length",
  "num_request_waiting",
  "num_request_running",
  "prefill_tokens_in_flight",
  "decode_tokens_in_flight",
  "encoder_matched_size",
  "encoder_input_size",
  "prefix_cache_score",
  "effective_input_tokens",
  "prefill_score_bucket",
  "pod_type_cat",
];
const llmdTpot = [...llmdTtft.slice(0, 7), "num_tokens_generated", "pod_type_cat"];

Deno.test("the first 14 columns are those of llm-d's models, and the first 8 in the order of its TPOT model", () => {
  deepStrictEqual(columns.slice(0, 14).toSorted(), [...new Set([...llmdTtft, ...llmdTpot])].toSorted());
  deepStrictEqual(columns.slice(0, 8), llmdTpot.slice(0, 8));
  equal(new Set(columns).size, columns.length);
  for (const [name, at] of columnOf) equal(columns[at], name);
});

Deno.test("modelColumns names columns that exist, each once", () => {
  for (const list of Object.values(modelColumns)) {
    const names = list.map(([name]) => name);
    equal(new Set(names).size, names.length);
    deepStrictEqual(names.filter((name) => !columnOf.has(name)), []);
  }
});

/** The columns of one row by name. */
function rowOf(
  ...[facts, slot, more, options]: Parameters<typeof writeRow> extends [unknown, unknown, ...infer Rest] ? Rest
    : never
): Record<string, number> {
  const out = columns.map(() => new Float64Array(1));
  writeRow(out, 0, facts, slot, more, options);
  return Object.fromEntries(columns.map((name, c) => [name, out[c][0]]));
}

const more = { aheadTokens: 500, prefillPerS: 250, outputTokens: 128 };

Deno.test("writeRow() writes what the request, its match and the endpoint's load say", () => {
  const table = new EndpointTable(2);
  table.add(endpointMeta({ host: "h", port: 1 }), EndpointState.Ready);
  const models = [{ id: "base" }, { id: "adapter", parent: "base" }];
  const adapters = { running: new Set(["adapter"]), waiting: new Set<string>(), max: 4 };
  table.add(endpointMeta({ host: "h", port: 2, labels: { role: "decode" }, models, adapters }), EndpointState.Ready);
  table.waiting[1] = 3;
  table.running[1] = 7;
  table.kvUsage[1] = 0.5;
  table.sampleAtMs[1] = 9_960;
  table.prefillTokens[1] = 900;
  table.decodeTokens[1] = 12_000;
  table.requests[1] = 6;
  const facts = testFacts(table, {
    request: testRequest({ model: "adapter", promptTokens: 1000 }),
    match: {
      blocks: Int32Array.of(0, 9),
      // GPU, CPU, disk, shared: 6 + 2 + 1.
      tiers: Int32Array.of(0, 0, 0, 0, 6, 2, 1, 0),
      pendingTokens: Int32Array.of(-1, 500),
      total: 15,
    },
    nowMs: 10_000,
  });
  deepStrictEqual(rowOf(facts, 1, more, { roleLabel: "role" }), {
    is_queued: 1,
    kv_cache_percentage: 0.5,
    input_token_length: 1000,
    num_request_waiting: 3,
    num_request_running: 7,
    prefill_tokens_in_flight: 900,
    decode_tokens_in_flight: 12_000,
    num_tokens_generated: 1,
    prefix_cache_score: 0.6,
    // 1000 − 9 × 64.
    effective_input_tokens: 424,
    // ⌊0.6 × 4⌋
    prefill_score_bucket: 2,
    pod_type_cat: 2,
    encoder_matched_size: 0,
    encoder_input_size: 0,
    prefill_tokens_ahead: 500,
    prefill_tokens_per_s: 250,
    // 64 × (2 × 0.05 + 1 × 0.25)
    load_tokens: 64 * (2 * 0.05 + 0.25),
    adapter_resident: 1,
    sample_age_ms: 40,
    expected_output_tokens: 128,
    requests_in_flight: 6,
  });
});

Deno.test("writeRow() writes NaN where nothing is known: no sample, no adapter asked for, a role without a code", () => {
  const table = new EndpointTable(1);
  const models = [{ id: "base" }, { id: "adapter", parent: "base" }];
  table.add(endpointMeta({ host: "h", port: 1, labels: { role: "both" }, models }), EndpointState.Ready);
  const row = rowOf(testFacts(table), 0, more, { roleLabel: "role" });
  deepStrictEqual(Object.keys(row).filter((name) => Number.isNaN(row[name])), [
    "pod_type_cat",
    "adapter_resident",
    "sample_age_ms",
  ]);
  equal(rowOf(testFacts(table), 0, more).pod_type_cat, 0, "no label tells roles");
  equal(rowOf(testFacts(table), 0, more, { roleLabel: "other" }).pod_type_cat, 0, "the endpoint has none");
  const adapter = testFacts(table, { request: testRequest({ model: "adapter" }) });
  equal(rowOf(adapter, 0, more).adapter_resident, 0, "asked for and not there");
});

Deno.test("writeRow() writes every column of its row and of no other, within its bounds, whatever is known", () => {
  const request = fc.record({
    promptTokens: fc.nat(200_000),
    blocks: fc.nat(4000),
    total: fc.nat(4000),
    waiting: fc.nat(100),
    requests: fc.nat(500),
    prefill: fc.nat(100_000),
    pending: fc.integer({ min: -1, max: 100_000 }),
    sampled: fc.boolean(),
    roleLabel: fc.constantFrom("", "role"),
  });
  fc.assert(fc.property(request, fc.nat(2), (known, row) => {
    const table = testTable(1);
    table.waiting[0] = known.waiting;
    table.requests[0] = known.requests;
    table.prefillTokens[0] = known.prefill;
    if (known.sampled) table.sampleAtMs[0] = 10;
    const facts = testFacts(table, {
      request: testRequest({ promptTokens: known.promptTokens }),
      match: {
        blocks: Int32Array.of(known.blocks),
        total: known.total,
        pendingTokens: Int32Array.of(known.pending),
      },
      nowMs: 50,
    });
    const untouched = -12_345;
    const out = columns.map(() => new Float32Array(3).fill(untouched));
    writeRow(out, row, facts, 0, more, { roleLabel: known.roleLabel });
    for (const [c, column] of out.entries()) {
      for (let at = 0; at < 3; at++) equal(column[at] === untouched, at !== row, `${columns[c]}, row ${at}`);
      ok(Number.isNaN(column[row]) || column[row] >= 0, `${columns[c]}: ${column[row]}`);
    }
    const of = (name: string) => out[columnOf.get(name)!][row];
    ok(of("prefix_cache_score") <= 1 && of("kv_cache_percentage") <= 1);
    ok([0, 1, 2, 3].includes(of("prefill_score_bucket")));
    ok(of("effective_input_tokens") <= of("input_token_length"));
    equal(of("is_queued"), of("num_request_waiting") > 0 ? 1 : 0);
  }));
});
