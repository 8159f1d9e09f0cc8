/** Whole decisions over a pool in use, one after the other. */
import { Prng, systemClock } from "../../src/core/mod.ts";
import { packForest } from "../../src/hotpath/mod.ts";
import { columnOf, modelColumns, targets } from "../../src/latency/mod.ts";
import type { Placed } from "../../src/pipeline/mod.ts";
import type { Inbound } from "../../src/pipeline/types.ts";
import { planFromPolicy, type Policy } from "../../src/scheduling/mod.ts";
import { defaultEngine } from "../../src/sim/engine_types.ts";
import { BenchLearning } from "../lib/latency.ts";
import { type BenchRouter, benchRouter, prepareNow } from "../lib/router.ts";
import { randomForest } from "../predict/forests.ts";
import { type ChatBody, populate, refreshSamples } from "./population.ts";

const inFlightPerEndpoint = 8;
/** Of each forest, as the default training makes them: 100 for each of two quantiles. */
const forestShape = { trees: 200, depth: 6 };

/** What decisions took, in milliseconds, sorted. */
export interface Took {
  readonly wholeMs: Float64Array;
  /** The part up to the hashes. */
  readonly readMs: Float64Array;
  /** Prompt tokens the chosen endpoint held, of all. */
  readonly matchedShare: number;
}

/** A router over a pool after hours of use. */
export class DecidingPool {
  readonly #router: BenchRouter;
  readonly #inFlight: Placed[] = [];
  readonly endpoints: number;

  private constructor(router: BenchRouter, endpoints: number) {
    this.#router = router;
    this.endpoints = endpoints;
  }

  /** Both latencies are predicted by forests under the policy that reads predictions. */
  static async create(endpoints: number, policy: Policy): Promise<DecidingPool> {
    const learning = new BenchLearning(systemClock, { seed: 1, training: false });
    const router = await benchRouter({
      clock: systemClock,
      endpoints,
      plan: planFromPolicy(policy),
      seed: 1,
      blockTreeBytes: 256 << 20,
      bodyBytesMax: 1 << 20,
      cacheBlocks: defaultEngine.cacheBlocks,
      cacheBlockTokens: defaultEngine.blockSize,
      latency: (hotpath) => learning.over(hotpath),
    });
    const prng = new Prng(1);
    for (const [target, name] of targets.entries()) {
      const columns = modelColumns[name].map(([column]) => columnOf.get(column)!);
      const forest = randomForest({ ...forestShape, features: columns.length }, prng);
      router.hotpath.forests.publish(target as 0 | 1, packForest(forest, columns));
      learning.desk.learner.modelChanged(target, [0, 0.4]);
    }
    populate(router, endpoints);
    refreshSamples(router);
    return new DecidingPool(router, endpoints);
  }

  /** An endpoint has computed the prompt. */
  serve(body: Uint8Array): void {
    end(this.#router.dispatch.place(prepareNow(inboundOf(body), this.#router.parts).view, []));
  }

  decide(bodies: readonly ChatBody[], decisions: number): Took {
    const router = this.#router, inFlight = this.#inFlight;
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
      if (inFlight.length > this.endpoints * inFlightPerEndpoint) end(inFlight.shift()!);
    }
    return { wholeMs: wholeMs.sort(), readMs: readMs.sort(), matchedShare: cachedTokens / promptTokens };
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

/** The request's life after the decision, in short: first byte, all of the prompt computed, gone. */
function end(placed: Placed): void {
  placed.reservation.firstByte();
  placed.ticket?.confirm();
  placed.release();
}
