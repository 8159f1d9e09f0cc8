/**
 * `replay`: which policy routes a recorded stream of requests best?
 *
 *     deno task bench replay --trace conversation_trace.jsonl --endpoints 8 [--policies default,llm-d] [--speed 1] [--json]
 *
 * Real: the whole decision (prefix index, scheduler and its plans, endpoint table, reservations, the order of the steps)
 * and the engine model of `src/sim`, both on one virtual clock. Simulated: the model servers, one engine of
 * `defaultEngine` each: 8,000 prompt tokens/s, steps of 6 ms + 0.35 ms a request, 2,048 tokens a step, 256 requests at
 * once, 524,288 tokens of KV cache in blocks of 16. The trace names prefixes by id, so scan and hashing are not run.
 * Load columns are as old as a scrape every 50 ms leaves them.
 *
 * Prefix index: routing history in blocks of 64 tokens, with the capacity the engines report; the llm-d policy is thereby
 * better off than in llm-d, whose index counts a 64-token block as one of the engine's blocks. `approximate` is the default
 * policy over that index, and `default` another name for it. `precise` is the default policy over an index fed by the
 * engines' KV events: each engine tells of a step's stored and evicted blocks, by hashes of its own and with token ids
 * derived from the trace's prefix ids, 1 ms after the step; the router hashes the same ids. Real there: feeds, gap
 * detection, replay, the index; left out: sockets and the decoding of bytes. `--drop-events` loses that share of the
 * batches on the way; `precise` asks for them again, `precise-no-replay` cannot. A configuration with an exact prefix
 * producer is fed by events too, with replays if it names a replay port. `predicted` is the plan of the name over routing
 * history; what it predicts by is learned during the replay, forests included.
 *
 * Eight such engines compute 64,000 prompt tokens/s; the Mooncake conversation trace brings 41,000/s in the mean, a
 * third of which are repeated: busy, with queues behind long prompts, not overloaded. `--speed 2` overloads them. That
 * trace's times are rounded to 3 s: ten requests arrive at once, which is hard on whoever looks at samples only.
 * `--spread 3000` scatters them.
 *
 * `policies`: by policy, over all requests, cold start included:
 *   hit_rate   prompt tokens the engines found in their cache, of all prompt tokens; predicted_hit_rate is what the
 *              router believed at the decision
 *   ttft_ms_*  arrival to first token      e2e_ms_*  arrival to last token
 *   goodput    share of requests with a first token within `--good-ttft` (5,000 ms)
 *   balance    prompt tokens computed at the busiest endpoint, over the mean; 1 is even
 *   refused    share of requests that found every queue full
 * Figures: `ceiling` is the hit rate of an unbounded cache by blocks of 512 tokens, `ceiling_tokens` the same by tokens
 * and so comparable with hit_rate; `oracle_hit_rate` is that of one LRU cache with the fleet's summed capacity, which no
 * request ever occupies; `requests` the length of the trace.
 *
 * Traces: Mooncake's JSONL (repository kvcache-ai/Mooncake, FAST25-release/traces) or Azure's LLM inference CSV. Without
 * `--trace`, `--shape` makes one by seed.
 */
import { basename, extname } from "node:path";
import { ConfigError, Prng } from "../src/core/mod.ts";
import { importEndpointPickerConfig, planFromPolicy, policies, type SchedulingPlan } from "../src/scheduling/mod.ts";
import { defaultEngine, type EngineOptions } from "../src/sim/engine_types.ts";
import {
  type Bench,
  type BenchContext,
  type Flags,
  list,
  positive,
  positiveInteger,
  type Report,
  share,
  UsageError,
} from "./lib/bench.ts";
import { round } from "./lib/stats.ts";
import { type EventOptions, type PolicyResult, replayPlan } from "./replay/fleet.ts";
import { type ShapeName, shapes, shapeTrace } from "./replay/shapes.ts";
import { lruHitRate, readTrace, type TraceRequest } from "./replay/trace.ts";

/** What a row of the result is made of. */
interface Row {
  readonly plan: SchedulingPlan;
  readonly events?: EventOptions;
}

const defaultRows: readonly string[] = [
  ...policies.filter((policy) => policy !== "default"),
  "approximate",
  "precise",
];
const rows: readonly string[] = [...defaultRows, "precise-no-replay", "default"];

export const replay: Bench = {
  name: "replay",
  summary: "Which policy routes a recorded stream of requests best?",
  flags: [
    { flag: "--trace <file>", about: "Mooncake JSONL or Azure CSV" },
    { flag: "--shape <name>", about: `made trace instead of a file: ${Object.keys(shapes).join(", ")}` },
    { flag: "--endpoints <n>", about: "simulated engines", fallback: "8" },
    { flag: "--policies <names>", about: "policies, with commas between", fallback: defaultRows.join(",") },
    {
      flag: "--configs <files>",
      about: "EndpointPickerConfigs to compare with, commas between; rows have the files' names",
    },
    { flag: "--speed <factor>", about: "divides the trace's arrival times", fallback: "1" },
    { flag: "--spread <ms>", about: "moves each arrival later by up to this much, evenly at random", fallback: "0" },
    { flag: "--seed <n>", about: "seed of the router's choices, of a made trace and of --spread", fallback: "1" },
    {
      flag: "--cache-blocks <n>",
      about: "KV cache of an engine, in blocks of 16",
      fallback: `${defaultEngine.cacheBlocks}`,
    },
    { flag: "--prefill-rate <n>", about: "prompt tokens an engine computes a second", fallback: "8000" },
    { flag: "--drop-events <share>", about: "share of batches of events lost on the way", fallback: "0" },
    { flag: "--good-ttft <ms>", about: "latest first token of a good request", fallback: "5000" },
  ],
  async run(flags: Flags, { smoke, progress }: BenchContext): Promise<Report> {
    const endpoints = smoke ? 3 : positiveInteger(flags, "endpoints");
    const [speed, seed] = [positive(flags, "speed"), positiveInteger(flags, "seed")];
    const goodTtftMs = positive(flags, "good-ttft");
    const engine: EngineOptions = {
      ...defaultEngine,
      cacheBlocks: positiveInteger(flags, "cache-blocks"),
      cost: { ...defaultEngine.cost, prefillTokensPerS: positive(flags, "prefill-rate") },
    };
    const trace = spreadArrivals(loadTrace(flags, smoke, seed), flags, seed);
    const results: Record<string, PolicyResult> = {};
    for (const [name, { plan, events }] of chosenRows(flags)) {
      results[name] = await replayPlan(trace, plan, {
        events,
        endpoints,
        speed,
        seed,
        goodTtftMs,
        engine,
        onProgress: (done, total) => progress.update(name, done, total),
      });
      progress.note(`${name.padEnd(14)} ${JSON.stringify(results[name])}`);
    }
    const ceiling = lruHitRate(trace, Infinity);
    const fleetTokens = endpoints * engine.cacheBlocks * engine.blockSize;
    return {
      policies: results,
      endpoints,
      speed,
      seed,
      figures: {
        ceiling: round(ceiling.blocks, 4),
        ceiling_tokens: round(ceiling.tokens, 4),
        oracle_hit_rate: round(lruHitRate(trace, fleetTokens).tokens, 4),
        requests: trace.length,
      },
    };
  },
};

function loadTrace(flags: Flags, smoke: boolean, seed: number): TraceRequest[] {
  const shape = flags.shape ?? (smoke ? "smoke" : undefined);
  if (flags.trace !== undefined) return readTrace(Deno.readTextFileSync(flags.trace));
  if (shape !== undefined && shape in shapes) return shapeTrace(shape as ShapeName, seed);
  throw new UsageError(`Cannot replay as --trace must name a file or --shape one of ${Object.keys(shapes).join(", ")}`);
}

/** The trace with `--spread` applied, in order of time again. */
function spreadArrivals(trace: TraceRequest[], flags: Flags, seed: number): TraceRequest[] {
  if (flags.spread === "0") return trace;
  const spreadMs = positive(flags, "spread");
  const prng = new Prng(seed);
  return trace.map((request) => ({ ...request, atMs: request.atMs + spreadMs * prng.float() })).sort((a, b) =>
    a.atMs - b.atMs
  );
}

/** Rows to be: the named policies, then the given configurations. */
function chosenRows(flags: Flags): Map<string, Row> {
  const dropShare = share(flags, "drop-events");
  const chosen = new Map<string, Row>();
  for (const name of list(flags, "policies")) {
    if (!rows.includes(name)) {
      throw new UsageError(`Cannot use --policies as each must be one of ${rows.join(", ")}: one is "${name}"`);
    }
    const policy = policies.find((known) => known === name) ?? "default";
    const replays = name === "precise";
    const events = replays || name === "precise-no-replay" ? { dropShare, replays } : undefined;
    chosen.set(name, { plan: planFromPolicy(policy), events });
  }
  for (const path of list(flags, "configs")) {
    try {
      const { plan, feeds } = importEndpointPickerConfig(Deno.readTextFileSync(path), path);
      const events = feeds && { dropShare, replays: feeds.replayPort !== undefined };
      chosen.set(basename(path, extname(path)), { plan, events });
    } catch (error) {
      if (error instanceof ConfigError || error instanceof Deno.errors.NotFound) throw new UsageError(error.message);
      throw error;
    }
  }
  return chosen;
}
