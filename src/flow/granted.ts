import type { Waiting } from "./types.ts";

/** Of one edge. Beyond it the ends of many were lost on the way: for all of them the assumed use stands. */
const grantedMax = 65_536;

/** Requests that were given a place and have not told what they used. */
export class Granted {
  readonly #byEdge = new Map<number, Map<number, Waiting>>();

  add(item: Waiting): void {
    let ofEdge = this.#byEdge.get(item.edge);
    if (!ofEdge) this.#byEdge.set(item.edge, ofEdge = new Map());
    if (ofEdge.size >= grantedMax) ofEdge.clear();
    ofEdge.set(item.ask.id, item);
  }

  /** It used so many tokens: its tenant is charged what that is more, or less, than was assumed. */
  settle(edge: number, id: number, inputTokens: number, outputTokens: number, nowMs: number): void {
    const ofEdge = this.#byEdge.get(edge), item = ofEdge?.get(id);
    if (!item) return;
    ofEdge!.delete(id);
    const { ask, queue: { tenant, band: { domain } } } = item;
    domain.fairness.settled(tenant, inputTokens - ask.promptTokens, outputTokens - ask.outputTokens, nowMs);
    for (const queue of tenant.queues) queue.band.queues.moved(queue);
  }

  abandon(edge: number): void {
    this.#byEdge.delete(edge);
  }
}
