/** One policy over one trace: the router's decision against simulated engines, all on one virtual clock. */
import { FeedState, type PromptBlocks, type RequestView, VirtualClock } from "../../src/core/mod.ts";
import { prefixDefaults } from "../../src/config/defaults.ts";
import type { SchedulingPlan } from "../../src/scheduling/mod.ts";
import { createFleet, type SimEndpoint } from "../../src/sim/sim_endpoint.ts";
import type { EngineOptions } from "../../src/sim/engine_types.ts";
import { promptFromTrace, tokensFromTrace } from "../../src/sim/prompt.ts";
import { BenchLearning } from "../lib/latency.ts";
import { type BenchRouter, benchRouter, benchView, turns } from "../lib/router.ts";
import { mean, quantile, round } from "../lib/stats.ts";
import { VirtualScraper } from "../lib/scraper.ts";
import { EventLink } from "./events.ts";
import { routerHashes, type TraceRequest } from "./trace.ts";

/** How the engines' events reach the router. */
export interface EventOptions {
  /** Share of batches lost on the way. */
  readonly dropShare: number;
  /** Whether lost batches can be asked for. */
  readonly replays: boolean;
}

export interface ReplayOptions {
  readonly endpoints: number;
  /** Arrival times are divided by it. */
  readonly speed: number;
  readonly seed: number;
  /** A request is good when its first token comes within this. */
  readonly goodTtftMs: number;
  /** Every engine of the fleet. */
  readonly engine: EngineOptions;
  /** The index is fed by the engines' events, over blocks of tokens; absent: by where requests were sent. */
  readonly events?: EventOptions;
  readonly onProgress: (done: number, total: number) => void;
}

/** How a policy did; times are milliseconds of the virtual clock. */
export interface PolicyResult {
  /** Prompt tokens the engines found in cache, of all prompt tokens. */
  readonly hit_rate: number;
  /** What the router believed of the same. */
  readonly predicted_hit_rate: number;
  readonly ttft_ms_mean: number;
  readonly ttft_ms_p50: number;
  readonly ttft_ms_p90: number;
  readonly ttft_ms_p99: number;
  readonly e2e_ms_p50: number;
  readonly e2e_ms_p99: number;
  /** Share of requests whose first token came in time. */
  readonly goodput: number;
  /** Prompt tokens computed at the endpoint that computed most, over the mean. */
  readonly balance: number;
  /** Share of requests no endpoint had room for; they count as not good and are in no other column. */
  readonly refused: number;
}

/** Far beyond what the engines hold. */
const blockTreeBytes = 512 << 20;

/** A batch of events is a few kilobytes: one round trip in a network and its decoding. */
const eventDelayMs = 1;

/** The prompt's blocks as the router makes them of its text. */
function textBlocks(request: TraceRequest): PromptBlocks {
  const { blockTokens, tokensMax } = prefixDefaults;
  return { hashes: routerHashes(request, blockTokens).slice(0, tokensMax / blockTokens), blockTokens };
}

/** The prompt's blocks as the router makes them of its token ids, in steps of the engines' blocks. */
function tokenBlocks({ hashIds, inputTokens }: TraceRequest, { claims, table }: BenchRouter): PromptBlocks {
  const slots = Uint16Array.from(table.slots());
  const blockTokens = claims.feedBlockTokens(slots, slots.length);
  const tokens = tokensFromTrace(hashIds, Math.min(inputTokens, prefixDefaults.tokensMax));
  return { hashes: claims.chain({ tokens, blockTokens, lora: "" }), blockTokens, exact: true };
}

function viewOf(request: TraceRequest, id: number, nowMs: number, blocks: PromptBlocks): RequestView {
  return benchView({ id: String(id), receivedAtMs: nowMs, promptTokens: request.inputTokens, blocks });
}

/** Replays the whole trace and waits until the last answer is complete. */
export async function replayPlan(
  trace: readonly TraceRequest[],
  plan: SchedulingPlan,
  options: ReplayOptions,
): Promise<PolicyResult> {
  const clock = new VirtualClock();
  const links = eventLinks(clock, options);
  const fleet = createFleet(
    clock,
    options.endpoints,
    options.engine,
    links && ((i) => ({ seed: options.seed, onBatch: (batch) => links[i].tell(batch) })),
  );
  const learning = new BenchLearning(clock, { seed: options.seed });
  const router = await benchRouter({
    clock,
    endpoints: options.endpoints,
    plan,
    seed: options.seed,
    blockTreeBytes,
    bodyBytesMax: 1 << 16,
    cacheBlocks: options.engine.cacheBlocks,
    cacheBlockTokens: options.engine.blockSize,
    onPoke: (slot) => scraper.poke(slot),
    latency: (hotpath) => learning.over(hotpath),
    source: links && ((endpoint) => links[endpoint]),
  });
  const scraper = new VirtualScraper(clock, fleet, router.table);
  const behind = () =>
    links !== undefined && fleet.some((_, slot) => router.caches.feeds.state(slot) === FeedState.Resync);
  await turns(100);
  const tally = new Tally(fleet.length, options.goodTtftMs);
  for (let i = 0; i < trace.length; i++) {
    const atMs = trace[i].atMs / options.speed;
    while (clock.step(atMs)) if (behind()) await turns(100);
    clock.advance(atMs - clock.now());
    await learning.turn();
    const blocks = links ? tokenBlocks(trace[i], router) : textBlocks(trace[i]);
    send(trace[i], viewOf(trace[i], i, clock.now(), blocks), router, fleet, tally);
    if (i % 100 === 99) options.onProgress(i + 1, trace.length);
  }
  while (tally.open > 0 && clock.step()) if (behind()) await turns(100);
  await router.caches.stop();
  return tally.result(trace);
}

function eventLinks(clock: VirtualClock, { events, endpoints, seed }: ReplayOptions): EventLink[] | undefined {
  if (events === undefined) return undefined;
  return Array.from(
    { length: endpoints },
    (_, i) => new EventLink(`sim-${i}`, { clock, delayMs: eventDelayMs, ...events, seed: seed * 1000 + i }),
  );
}

/** Places one request and submits it; where a queue is full, the next choice is tried. */
function send(
  request: TraceRequest,
  view: RequestView,
  router: BenchRouter,
  fleet: readonly SimEndpoint[],
  tally: Tally,
): void {
  const nowMs = view.receivedAtMs;
  const prompt = promptFromTrace(request.hashIds, request.inputTokens, {
    blockSize: fleet[0].engine.options.blockSize,
  });
  const tried: number[] = [];
  while (tried.length < fleet.length) {
    const placed = router.dispatch.place(view, tried);
    const { slot } = placed.placement;
    const handle = fleet[slot].submit({ prompt, outputTokens: request.outputTokens }, {
      onFirstToken(atMs) {
        placed.answered(atMs - nowMs, 200, true);
        tally.firstToken(atMs - nowMs);
      },
      onFinish({ firstTokenMs, finishedMs, cachedTokens }) {
        placed.prediction?.completed(finishedMs - firstTokenMs, request.outputTokens);
        placed.prediction?.release();
        placed.reservation.release();
        tally.finish(slot, finishedMs - nowMs, request.inputTokens, cachedTokens, placed.cachedTokens);
      },
    });
    if (handle) return tally.begin();
    placed.release();
    tried.push(slot);
  }
  tally.refuse();
}

/** Counts what came of the requests. */
class Tally {
  open = 0;
  readonly #ttftMs: number[] = [];
  readonly #e2eMs: number[] = [];
  readonly #computed: Float64Array;
  #promptTokens = 0;
  #cachedTokens = 0;
  #predictedTokens = 0;
  #refused = 0;

  constructor(endpoints: number, readonly goodTtftMs: number) {
    this.#computed = new Float64Array(endpoints);
  }

  begin(): void {
    this.open++;
  }

  refuse(): void {
    this.#refused++;
  }

  firstToken(ms: number): void {
    this.#ttftMs.push(ms);
  }

  finish(slot: number, ms: number, promptTokens: number, cachedTokens: number, predictedTokens: number): void {
    this.open--;
    this.#e2eMs.push(ms);
    this.#promptTokens += promptTokens;
    this.#cachedTokens += cachedTokens;
    this.#predictedTokens += predictedTokens;
    this.#computed[slot] += promptTokens - cachedTokens;
  }

  result(trace: readonly TraceRequest[]): PolicyResult {
    const ttft = Float64Array.from(this.#ttftMs).sort();
    const e2e = Float64Array.from(this.#e2eMs).sort();
    return {
      hit_rate: round(this.#cachedTokens / this.#promptTokens, 4),
      predicted_hit_rate: round(this.#predictedTokens / this.#promptTokens, 4),
      ttft_ms_mean: round(mean(ttft), 1),
      ttft_ms_p50: round(quantile(ttft, 0.5), 1),
      ttft_ms_p90: round(quantile(ttft, 0.9), 1),
      ttft_ms_p99: round(quantile(ttft, 0.99), 1),
      e2e_ms_p50: round(quantile(e2e, 0.5), 1),
      e2e_ms_p99: round(quantile(e2e, 0.99), 1),
      goodput: round(ttft.filter((ms) => ms <= this.goodTtftMs).length / trace.length, 4),
      balance: round(Math.max(...this.#computed) / mean(this.#computed), 3),
      refused: round(this.#refused / trace.length, 4),
    };
  }
}
