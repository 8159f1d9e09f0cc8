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
 *   read_p50_ms_T                       the part up to the hashes, which does not depend on the endpoints
 *   matched_share_T_E                   prompt tokens the chosen endpoint held, of all: shows that the work was done
 * Each round takes quantiles over its decisions, every combination in turn; medians over rounds are reported.
 */
import { systemClock } from "../src/core/mod.ts";
import type { Placed } from "../src/pipeline/mod.ts";
import type { Inbound } from "../src/pipeline/types.ts";
import { planFromPolicy, type Policy } from "../src/scheduling/mod.ts";
import { defaultEngine } from "../src/sim/engine_types.ts";
import { type ChatBody, chatBody, populate, refreshSamples } from "./decide/population.ts";
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { type BenchRouter, benchRouter, prepareNow } from "./lib/router.ts";
import { Figures, quantile } from "./lib/stats.ts";

const lengths = { "2k": 2048, "8k": 8192, "32k": 32_768, "100k": 102_400 } as const;
const poolSizes = [10, 100, 1000] as const;
const policies = { default: "", "llm-d": "llmd_" } as const;
const inFlightPerEndpoint = 8;
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
  readonly router: BenchRouter;
  readonly bodies: readonly ChatBody[];
  readonly prefix: string;
  readonly length: string;
  readonly endpoints: number;
  readonly inFlight: Placed[];
}

/** Routers by pool and policy, each with every length of body; bodies and routers are shared between rows. */
async function combinations(setting: Setting): Promise<Combination[]> {
  const bodies = new Map(setting.lengths.map((length, l) => [
    length,
    Array.from({ length: setting.bodies }, (_, i) => chatBody(lengths[length], i % 8, 1000 * (l + 1) + i, i % 4 !== 0)),
  ]));
  const rows: Combination[] = [];
  for (const endpoints of setting.poolSizes) {
    for (const [policy, prefix] of Object.entries(policies)) {
      const router = await poolRouter(endpoints, policy as Policy);
      const inFlight: Placed[] = [];
      for (const [length, list] of bodies) {
        for (const { earlier } of list) end(router.decide(earlier));
        rows.push({ router, bodies: list, prefix, length, endpoints, inFlight });
      }
    }
  }
  return rows;

  async function poolRouter(endpoints: number, policy: Policy) {
    const router = await benchRouter({
      clock: systemClock,
      endpoints,
      plan: planFromPolicy(policy),
      seed: 1,
      blockTreeBytes: 256 << 20,
      bodyBytesMax: 1 << 20,
      cacheBlocks: defaultEngine.cacheBlocks,
      cacheBlockTokens: defaultEngine.blockSize,
    });
    populate(router, endpoints);
    refreshSamples(router);
    return Object.assign(router, {
      decide: (body: Uint8Array) => router.dispatch.place(prepareNow(inboundOf(body), router.parts).view, []),
    });
  }
}

const headers = new Headers({
  "content-type": "application/json",
  "authorization": "Bearer sk-0000000000000000000000000000000000000000",
  "user-agent": "OpenAI/Python 2.8.0",
  "accept": "application/json",
});
const { signal } = new AbortController();

function inboundOf(body: Uint8Array): Inbound {
  const receivedAtMs = systemClock.now();
  const path = "/v1/chat/completions";
  return { id: "bench", api: "chat", method: "POST", path, headers, body, errorShape: "openai", signal, receivedAtMs };
}

function measure(row: Combination, decisions: number, figures: Figures): void {
  const { router, bodies, inFlight, prefix, length, endpoints } = row;
  const wholeMs = new Float64Array(decisions), readMs = new Float64Array(decisions);
  let promptTokens = 0, cachedTokens = 0;
  refreshSamples(router);
  for (let i = 0; i < decisions; i++) {
    const body = bodies[i % bodies.length];
    body.renew();
    const inbound = inboundOf(body.bytes);
    const startMs = performance.now();
    const { view } = prepareNow(inbound, router.parts);
    const readAtMs = performance.now();
    const placed = router.dispatch.place(view, []);
    const endMs = performance.now();
    wholeMs[i] = endMs - startMs;
    readMs[i] = readAtMs - startMs;
    promptTokens += view.promptTokens;
    cachedTokens += placed.cachedTokens;
    inFlight.push(placed);
    if (inFlight.length > endpoints * inFlightPerEndpoint) end(inFlight.shift()!);
  }
  if (prefix === "") figures.add(`matched_share_${length}_${endpoints}`, cachedTokens / promptTokens);
  wholeMs.sort();
  figures.add(`${prefix}p50_ms_${length}_${endpoints}`, quantile(wholeMs, 0.5));
  figures.add(`${prefix}p99_ms_${length}_${endpoints}`, quantile(wholeMs, 0.99));
  if (prefix === "" && endpoints === 100) figures.add(`read_p50_ms_${length}`, quantile(readMs.sort(), 0.5));
}

/** Reads the request; at once, as there is no tokenizer to ask. */

/** The request's life after the decision, in short: first byte, all of the prompt computed, gone. */
function end(placed: Placed): void {
  placed.reservation.firstByte();
  placed.ticket?.confirm();
  placed.reservation.release();
}
