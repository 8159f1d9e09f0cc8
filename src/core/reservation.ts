import type { EndpointTable } from "./endpoint.ts";

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
  #open = true;

  constructor(table: EndpointTable, slot: number, load: ReservedLoad) {
    this.slot = slot;
    this.#table = table;
    this.#prefillTokens = Math.round(load.prefillTokens);
    this.#decodeTokens = Math.round(load.decodeTokens);
    Atomics.add(table.requests, slot, 1);
    Atomics.add(table.totalRequests, slot, 1);
    Atomics.add(table.prefillTokens, slot, this.#prefillTokens);
    Atomics.add(table.decodeTokens, slot, this.#decodeTokens);
  }

  get open(): boolean {
    return this.#open;
  }

  /** The prompt is computed: its tokens no longer stand ahead of others. */
  firstByte(): void {
    if (this.#prefillTokens === 0) return;
    Atomics.sub(this.#table.prefillTokens, this.slot, this.#prefillTokens);
    this.#prefillTokens = 0;
  }

  release(): void {
    if (!this.#open) return;
    this.#open = false;
    this.firstByte();
    Atomics.sub(this.#table.requests, this.slot, 1);
    Atomics.sub(this.#table.decodeTokens, this.slot, this.#decodeTokens);
  }
}
