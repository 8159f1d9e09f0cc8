import { type RequestView, RouterError } from "../core/mod.ts";
import type { FlowConfig } from "../config/mod.ts";
import { ceilingsOf, type FlowAsk, isGrant, type LaneSlots } from "../flow/mod.ts";
import { generates } from "../protocol/mod.ts";
import {
  DirectDispatch,
  type Dispatch,
  expectedOutput,
  type Full,
  isFull,
  noEndpoints,
  type PlaceOptions,
} from "./dispatch.ts";
import type { FlowOptions, FlowQueue, PipelineParts } from "./parts.ts";
import type { Placed } from "./placed.ts";

/** What edges are told of a configuration; undefined where requests never wait. `priorities`: those of objectives. */
export function flowOptions(flow: FlowConfig, priorities: Iterable<number>): FlowOptions | undefined {
  return flow.enabled ? { ...flow, ceilings: ceilingsOf(flow, priorities) } : undefined;
}

/** A request that waits here, as it was asked for. */
interface Asked {
  readonly view: RequestView;
  readonly tried: readonly number[];
  readonly ask: FlowAsk;
}

/**
 * Places at once where an endpoint has room and nobody waits for it, as `DirectDispatch` does; else the request waits in the
 * one queue of the router, and the choice is made when it is given a place, by what is known then.
 */
export class FlowDispatch implements Dispatch {
  readonly #parts: PipelineParts;
  readonly #direct: DirectDispatch;
  readonly #waiting = new Map<number, Asked>();
  /** Requests under way that may be taken back. */
  readonly #revocable = new Map<number, () => void>();
  /** Numbers of requests that were answered: they are used again. */
  readonly #free: number[] = [];
  #asks = 0;
  #places = 0;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#direct = new DirectDispatch(parts);
  }

  place(view: RequestView, tried: readonly number[], options: PlaceOptions = {}): Placed | Promise<Placed> {
    const { flow: queue, options: { flow } } = this.#parts;
    if (!flow || !queue || !occupies(view)) return this.#direct.place(view, tried, options);
    const { hedge = false } = options;
    const placed = this.#direct.placeWithin(view, tried, hedge, flow.ceilings.of(view.priority), flow.prefixWaitMs);
    if (!isFull(placed)) return this.#guard(view, placed, options, queue, flow);
    if (hedge) throw noEndpoints(view);
    return this.#wait(view, tried, placed, options, queue, flow);
  }

  /** Takes a request back, if its answer has not begun. */
  revoke(id: number): void {
    this.#revocable.get(id)?.();
  }

  /** Endpoints came, went or changed: those that wait here may go elsewhere now. */
  reconsider(): void {
    const lanes = new Map<string, LaneSlots>();
    for (const { view, tried, ask: { lane, model } } of this.#waiting.values()) {
      if (!lanes.has(lane)) lanes.set(lane, { lane, model, slots: this.#direct.eligible(view, tried) });
    }
    if (lanes.size > 0) this.#parts.flow?.resize([...lanes.values()]);
  }

  async #wait(
    view: RequestView,
    tried: readonly number[],
    full: Full,
    options: PlaceOptions,
    queue: FlowQueue,
    flow: FlowOptions,
  ): Promise<Placed> {
    const since = this.#parts.clock.now();
    const { signal } = options;
    for (let wanted = full;;) {
      if (signal?.aborted) throw RouterError.clientLeft();
      const ask = this.#ask(view, tried, wanted);
      const answer = await this.#asked({ view, tried, ask }, queue, signal);
      if (!isGrant(answer)) {
        if (answer.outcome === "client-disconnect") throw RouterError.clientLeft();
        throw new RouterError(answer.outcome, answer.message, { retryAfterS: answer.retryAfterS });
      }
      const { account } = answer;
      let placed: Placed | Full | undefined;
      try {
        if (signal?.aborted) {
          this.#direct.giveBack(answer);
          throw RouterError.clientLeft();
        }
        placed = this.#direct.placeGranted(view, tried, answer, flow.ceilings.of(view.priority));
      } finally {
        // It was charged for a place that it does not take.
        if (!placed || isFull(placed)) queue.settle(account, -ask.promptTokens, -ask.outputTokens);
      }
      if (isFull(placed)) {
        wanted = placed;
        continue;
      }
      placed.waited = { ms: this.#parts.clock.now() - since, account, outputTokens: ask.outputTokens };
      return this.#guard(view, placed, options, queue, flow);
    }
  }

  /** Lets a request that may be taken back be known. */
  #guard(
    { priority }: RequestView,
    placed: Placed,
    { onRevoke }: PlaceOptions,
    queue: FlowQueue,
    { eviction }: FlowOptions,
  ): Placed {
    if (!eviction || !onRevoke || priority >= 0) return placed;
    const id = ++this.#places;
    this.#revocable.set(id, onRevoke);
    placed.onBegun = () => {
      this.#revocable.delete(id);
      queue.begun(id);
    };
    queue.placed(id, placed.slot, priority);
    return placed;
  }

  async #asked(asked: Asked, queue: FlowQueue, signal: AbortSignal | undefined) {
    const { id } = asked.ask;
    const leave = () => queue.cancel(id);
    signal?.addEventListener("abort", leave);
    this.#waiting.set(id, asked);
    try {
      return await queue.enqueue(asked.ask);
    } finally {
      this.#waiting.delete(id);
      this.#free.push(id);
      signal?.removeEventListener("abort", leave);
    }
  }

  #ask(view: RequestView, tried: readonly number[], { slots, prefillTokens, hold }: Full): FlowAsk {
    const { options, clock } = this.#parts;
    return {
      id: this.#free.pop() ?? this.#asks++,
      // Those that are kept from some endpoints stay apart: others will do for them when the pool changes.
      lane: `${view.model}\0${slots.join()}\0${tried.join()}\0${view.subset?.join() ?? "*"}`,
      slots,
      model: view.model,
      requestedModel: view.requestedModel || undefined,
      tenant: view.fairnessId,
      priority: view.priority,
      receivedAtMs: view.receivedAtMs,
      promptTokens: view.promptTokens,
      prefillTokens,
      outputTokens: expectedOutput(view, options.outputTokensAssumed),
      bodyBytes: view.bodyBytes,
      ttlMs: view.ttlMs === undefined ? undefined : Math.max(1, view.receivedAtMs + view.ttlMs - clock.now()),
      ttftMs: view.slo.ttftMs,
      serviceMs: this.#direct.prefillMs(slots, prefillTokens),
      promise: promiseKey(view),
      hold,
    };
  }
}

/** Whether a request takes a place in the engine's batch; what is only looked up or passed through does not. */
function occupies({ api }: RequestView): boolean {
  return generates(api) || api === "embeddings" || api === "rerank" || api === "score";
}

/** The same for the same request of the same tenant, sent again. */
function promiseKey({ fairnessId, model, promptTokens, bodyBytes, blocks: { hashes } }: RequestView): string {
  return `${fairnessId}\0${model}\0${promptTokens}\0${bodyBytes}\0${hashes.at(-1) ?? ""}`;
}
