/**
 * `decide`: how long does one whole decision take?
 *
 *     deno task bench decide [--rounds 5] [--decisions 1000] [--json]
 *
 * Measured, from a request body in memory to a reserved place: scan of the JSON, canonical prompt, block hashes, headers,
 * prefix match, filters and scores, pick, reservation, speculative prefix entry, decision metrics: `prepare` and
 * `DirectDispatch.place` as the router calls them, one after the other on one thread. Not measured: reading the body from
 * the socket, forwarding. Made up: the bodies (chat JSON of T tokens at 4 bytes each: a system prompt that many share,
 * turns, a last message nobody has sent before), the pool (a fixed list, 16 other conversations of 8k tokens in the
 * prefix tree for each endpoint, a mixed load in fresh samples), the requests' ends (eight an endpoint are in flight;
 * the oldest is confirmed and released between two decisions, outside the measured time). Three in four requests
 * continue a conversation that an endpoint has in its tree, the rest share the system prompt only.
 *
 * Figures, in milliseconds, for T of 2k 8k 32k 100k and E of 10 100 1000 endpoints:
 *   p50_ms_T_E, p99_ms_T_E              the default policy
 *   llmd_p50_ms_T_E, llmd_p99_ms_T_E    llm-d's implicit default
 *   predicted_p50_ms_T_E, …_p99_…       the policy that predicts, by two forests of 200 trees of depth 6
 *   read_p50_ms_T                       the part up to the hashes, which does not depend on the endpoints
 *   matched_share_T_E                   prompt tokens the chosen endpoint held, of all: shows that the work was done
 * Each round takes quantiles over its decisions, every combination in turn; medians over rounds are reported.
 */
import type { Policy } from "../src/scheduling/mod.ts";
import { DecidingPool } from "./decide/decisions.ts";
import { type ChatBody, chatBody } from "./decide/population.ts";
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { Figures, quantile } from "./lib/stats.ts";

const lengths = { "2k": 2048, "8k": 8192, "32k": 32_768, "100k": 102_400 } as const;
const poolSizes = [10, 100, 1000] as const;
const policies = { default: "", "llm-d": "llmd_", predicted: "predicted_" } as const;
/** Decisions before those that count, so that compiled code is measured. */
const warmUpDecisions = 200;

interface Setting {
  readonly lengths: readonly (keyof typeof lengths)[];
  readonly poolSizes: readonly number[];
  readonly rounds: number;
  readonly decisions: number;
  /** Distinct conversations of each length. */
  readonly bodies: number;
}

export const decide: Bench = {
  name: "decide",
  summary: "How long does one whole decision take?",
  flags: [
    { flag: "--rounds <n>", about: "rounds over all combinations", fallback: "5" },
    { flag: "--decisions <n>", about: "decisions of a combination in a round", fallback: "1000" },
  ],
  run: async (flags: Flags, { smoke, progress }: BenchContext): Promise<Report> => {
    const setting: Setting = smoke
      ? { lengths: ["2k", "8k"], poolSizes: [10, 100], rounds: 1, decisions: 30, bodies: 4 }
      : {
        lengths: Object.keys(lengths) as (keyof typeof lengths)[],
        poolSizes,
        rounds: positiveInteger(flags, "rounds"),
        decisions: positiveInteger(flags, "decisions"),
        bodies: 32,
      };
    const figures = new Figures();
    const runs = await combinations(setting);
    for (let round = -1; round < setting.rounds; round++) {
      for (const [i, run] of runs.entries()) {
        progress.update("decisions", (round + 1) * runs.length + i, (setting.rounds + 1) * runs.length);
        if (round < 0) measure(run, smoke ? 5 : warmUpDecisions, new Figures());
        else measure(run, setting.decisions, figures);
      }
    }
    return { figures: figures.toRecord() };
  },
};

/** One row of the measurement. */
interface Combination {
  readonly pool: DecidingPool;
  readonly bodies: readonly ChatBody[];
  readonly prefix: string;
  readonly length: string;
}

/** Pools by size and policy, each with every length of body; bodies and pools are shared between rows. */
async function combinations(setting: Setting): Promise<Combination[]> {
  const bodies = new Map(setting.lengths.map((length, l) => [
    length,
    Array.from({ length: setting.bodies }, (_, i) => chatBody(lengths[length], i % 8, 1000 * (l + 1) + i, i % 4 !== 0)),
  ]));
  const rows: Combination[] = [];
  for (const endpoints of setting.poolSizes) {
    for (const [policy, prefix] of Object.entries(policies)) {
      const pool = await DecidingPool.create(endpoints, policy as Policy);
      for (const [length, list] of bodies) {
        for (const { earlier } of list) pool.serve(earlier);
        rows.push({ pool, bodies: list, prefix, length });
      }
    }
  }
  return rows;
}

function measure({ pool, bodies, prefix, length }: Combination, decisions: number, figures: Figures): void {
  const { endpoints } = pool;
  const { wholeMs, readMs, matchedShare } = pool.decide(bodies, decisions);
  if (prefix === "") figures.add(`matched_share_${length}_${endpoints}`, matchedShare);
  figures.add(`${prefix}p50_ms_${length}_${endpoints}`, quantile(wholeMs, 0.5));
  figures.add(`${prefix}p99_ms_${length}_${endpoints}`, quantile(wholeMs, 0.99));
  if (prefix === "" && endpoints === 100) figures.add(`read_p50_ms_${length}`, quantile(readMs, 0.5));
}
