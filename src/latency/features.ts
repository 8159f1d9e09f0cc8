/**
 * What a prediction looks at, as columns of numbers. The first 14 have the names and meanings that llm-d's models are trained
 * with, so that such a model can be loaded; the others are known to a router that reads the stream and the caches itself.
 */
import {
  cachedTokens,
  type EndpointTable,
  loadTokens,
  type PrefixMatch,
  type RequestView,
  tierLoadSharesDefault,
} from "../core/mod.ts";

/** Time to first token, from sending; time per output token after the first. */
export const targets = ["ttft", "tpot"] as const;
export type Target = (typeof targets)[number];
/** Position in `targets`. */
export const Ttft = 0, Tpot = 1;

/** Every column, in the order of their numbers. */
export const columns = [
  // Requests wait at the engine.
  "is_queued",
  // Share of KV cache in use, 0 to 1.
  "kv_cache_percentage",
  "input_token_length",
  "num_request_waiting",
  "num_request_running",
  // Uncached prompt tokens of requests sent there that have no first byte yet, this one's excluded.
  "prefill_tokens_in_flight",
  // Prompt and expected output of our requests there: the context that its decoding reads.
  "decode_tokens_in_flight",
  // llm-d's producer sets it to 1 when it predicts.
  "num_tokens_generated",
  // Share of the prompt's blocks it holds.
  "prefix_cache_score",
  // Prompt tokens it does not hold.
  "effective_input_tokens",
  // The score in quarters, 0 to 3: a category.
  "prefill_score_bucket",
  // Role of the endpoint: 0 both, 1 prefill, 2 decode, NaN another: a category.
  "pod_type_cat",
  "encoder_matched_size",
  "encoder_input_size",
  // Of the prompt tokens in flight, those left to compute, by what its feed tells and by its pace.
  "prefill_tokens_ahead",
  // Uncached prompt tokens it was sent lately, a second.
  "prefill_tokens_per_s",
  // Tokens whose time to compute is that of loading what it holds off the GPU.
  "load_tokens",
  // 1: it runs the adapter asked for; 0: it does not; NaN: none is asked for.
  "adapter_resident",
  // Of its load sample, in milliseconds; NaN: there was none.
  "sample_age_ms",
  // The client's limit, or the mean of late where that is lower.
  "expected_output_tokens",
  // Our requests there.
  "requests_in_flight",
] as const;
export type Column = (typeof columns)[number];

/** Number of a column by name. */
export const columnOf: ReadonlyMap<string, number> = new Map(columns.map((name, i) => [name, i]));

/**
 * Columns that our own models learn from, by target, and what the prediction must do as each grows: 1 never fall. llm-d's
 * label columns are left out where another one tells the same, since a column that repeats costs training time.
 */
export const modelColumns: Readonly<Record<Target, readonly (readonly [Column, 0 | 1])[]>> = {
  ttft: [
    ["kv_cache_percentage", 1],
    ["input_token_length", 0],
    ["num_request_waiting", 1],
    ["num_request_running", 1],
    ["decode_tokens_in_flight", 1],
    ["prefix_cache_score", 0],
    ["effective_input_tokens", 1],
    ["prefill_tokens_in_flight", 1],
    ["prefill_tokens_ahead", 1],
    ["prefill_tokens_per_s", 1],
    ["load_tokens", 1],
    ["adapter_resident", 0],
    ["sample_age_ms", 0],
    ["requests_in_flight", 1],
  ],
  tpot: [
    ["kv_cache_percentage", 1],
    ["input_token_length", 0],
    ["num_request_waiting", 1],
    ["num_request_running", 1],
    ["decode_tokens_in_flight", 1],
    ["effective_input_tokens", 0],
    ["prefill_tokens_ahead", 1],
    ["prefill_tokens_per_s", 1],
    ["expected_output_tokens", 0],
    ["requests_in_flight", 1],
  ],
};

/** Codes of `pod_type_cat`. */
export const podTypes = ["", "prefill", "decode"] as const;

/** What is known at the moment of a decision. */
export interface LatencyFacts {
  readonly view: RequestView;
  readonly table: EndpointTable;
  readonly match: PrefixMatch;
  /** By slot; see `LoadView` of the scheduler. */
  readonly load: {
    readonly waiting: Float64Array;
    readonly running: Float64Array;
    readonly kvUsage: Float64Array;
  };
  readonly nowMs: number;
  /** Slot whose requests this one is among already; -1 or absent: none. */
  readonly held?: number;
}

/** 1 where the request is counted among those at `slot`, which are to be those it comes to; else 0. */
export function heldAt({ held }: LatencyFacts, slot: number): number {
  return slot === held ? 1 : 0;
}

/** Requests that run at `slot`, this one not among them. */
export function runningAt(facts: LatencyFacts, slot: number): number {
  const { table: { requests }, load: { running, waiting } } = facts;
  // A sample knows nothing of it: it counts where our own requests were taken for more.
  return running[slot] -
    (running[slot] > 0 && requests[slot] - waiting[slot] >= running[slot] ? heldAt(facts, slot) : 0);
}

/** What a row needs besides. */
export interface FeatureOptions {
  /** Label that holds an endpoint's role; "": it has none. */
  readonly roleLabel?: string;
}

/** Writes one endpoint's row: `out[c][row]` for every column `c`. */
export function writeRow(
  out: readonly { [row: number]: number }[],
  row: number,
  facts: LatencyFacts,
  slot: number,
  { aheadTokens, prefillPerS, outputTokens }: {
    readonly aheadTokens: number;
    readonly prefillPerS: number;
    readonly outputTokens: number;
  },
  { roleLabel = "" }: FeatureOptions = {},
): void {
  const { view, table, match, load, nowMs } = facts;
  const cached = cachedTokens(view, match, slot);
  const score = match.total === 0 ? 0 : Math.min(1, match.blocks[slot] / match.total);
  out[0][row] = load.waiting[slot] > 0 ? 1 : 0;
  out[1][row] = load.kvUsage[slot];
  out[2][row] = view.promptTokens;
  out[3][row] = load.waiting[slot];
  out[4][row] = runningAt(facts, slot);
  out[5][row] = table.prefillTokens[slot];
  out[6][row] = table.decodeTokens[slot];
  out[7][row] = 1;
  out[8][row] = score;
  out[9][row] = Math.max(0, view.promptTokens - cached);
  out[10][row] = Math.min(3, Math.floor(score * 4));
  out[11][row] = podType(table, slot, roleLabel);
  out[12][row] = 0;
  out[13][row] = 0;
  out[14][row] = aheadTokens;
  out[15][row] = prefillPerS;
  out[16][row] = loadTokens(match, slot, tierLoadSharesDefault);
  out[17][row] = adapterResident(view, table, slot);
  const age = table.sampleAgeMs(slot, nowMs);
  out[18][row] = age === Infinity ? NaN : age;
  out[19][row] = outputTokens;
  out[20][row] = table.requests[slot] - heldAt(facts, slot);
}

function podType(table: EndpointTable, slot: number, roleLabel: string): number {
  if (roleLabel === "") return 0;
  const role = table.peek(slot)?.labels[roleLabel] ?? "";
  const code = (podTypes as readonly string[]).indexOf(role);
  return code < 0 ? NaN : code;
}

function adapterResident({ model }: RequestView, table: EndpointTable, slot: number): number {
  const meta = table.peek(slot);
  if (!meta?.models.some(({ id, parent }) => id === model && parent !== undefined)) return NaN;
  return meta.adapters.running.has(model) ? 1 : 0;
}
