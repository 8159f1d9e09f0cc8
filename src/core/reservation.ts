import type { EndpointTable } from "./endpoint_table.ts";

/** What a request adds to an endpoint's in-flight load. */
export interface ReservedLoad {
  /** Prompt tokens the endpoint must compute; given back at the first byte. */
  readonly prefillTokens: number;
  /** Prompt plus expected output tokens; given back at the end. */
  readonly decodeTokens: number;
}

/**
 * A request's place at one endpoint. Taken in the same step as the choice, so that the next decision sees it;
 * given back exactly once, however often `release` is called.
 */
export class Reservation {
  readonly slot: number;
  #table: EndpointTable;
  #prefillTokens: number;
  #decodeTokens: number;
  #computedTokens = 0;
  #open = true;

  /** `entered`: the request was counted already by `EndpointTable.tryEnter`, with so many prefill tokens. */
  constructor(table: EndpointTable, slot: number, load: ReservedLoad, entered?: number) {
    this.slot = slot;
    this.#table = table;
    this.#prefillTokens = Math.round(load.prefillTokens);
    this.#decodeTokens = Math.round(load.decodeTokens);
    Atomics.add(table.totalRequests, slot, 1);
    const [requests, counted] = entered === undefined ? [1, 0] : [0, entered];
    table.inflight(slot, requests, this.#prefillTokens - counted, this.#decodeTokens);
  }

  get open(): boolean {
    return this.#open;
  }

  /** The prompt is likely to be computed by now, though nothing tells: it fills the endpoint no longer. */
  computed(): void {
    if (!this.#open || this.#computedTokens > 0) return;
    this.#computedTokens = this.#prefillTokens;
    this.#table.computed(this.slot, this.#computedTokens);
  }

  /** The prompt is computed: its tokens no longer stand ahead of others. */
  firstByte(): void {
    if (this.#prefillTokens === 0) return;
    this.#told();
    this.#table.inflight(this.slot, 0, -this.#prefillTokens, 0);
    this.#prefillTokens = 0;
  }

  release(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#told();
    this.#table.inflight(this.slot, -1, -this.#prefillTokens, -this.#decodeTokens);
    this.#prefillTokens = 0;
  }

  #told(): void {
    if (this.#computedTokens > 0) this.#table.computed(this.slot, -this.#computedTokens);
    this.#computedTokens = 0;
  }
}
