/**
 * `no-hit-lru-scorer`: spreads requests that no endpoint has in cache over the endpoints used longest ago.
 *
 * Formula: any candidate holds a block → 0.5 for all. Cold, n candidates: never used ones `1 − i/(n − 1)` in order,
 * used ones `1 − (never used + position from the oldest)/(n − 1)`, at least 0; n = 1 → 1. The endpoint a cold request
 * goes to becomes the newest.
 * Parameters: `lruSize` (1024 endpoints), `prefixMatchInfoProducerName`. Inputs: prefix match, own history.
 * Limits: the history is this process's own and forgets beyond `lruSize`.
 */
import { z } from "zod";
import { LruMap, type PrefixMatch } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";
import { prefixProducerName, producerWeights } from "../prefix.ts";
import type { DecisionContext, Scorer } from "../types.ts";

class NoHitLru implements Scorer {
  readonly type = "no-hit-lru-scorer";
  readonly category = "distribution";
  readonly #used: LruMap<string, true>;
  readonly #position = new Map<string, number>();
  #cold = false;

  constructor(readonly name: string, lruSize: number) {
    this.#used = new LruMap(lruSize);
  }

  score({ match, table }: DecisionContext, slots: Uint16Array, n: number, out: Float64Array): void {
    this.#cold = isCold(match, slots, n);
    if (!this.#cold || n === 1) return void out.fill(this.#cold ? 1 : 0.5, 0, n);
    this.#position.clear();
    for (const [id] of this.#used.entries()) this.#position.set(id, this.#position.size);
    let neverUsed = 0;
    for (let i = 0; i < n; i++) if (!this.#position.has(table.meta(slots[i]).id)) neverUsed++;
    for (let i = 0, order = 0; i < n; i++) {
      const position = this.#position.get(table.meta(slots[i]).id);
      const rank = position === undefined ? order++ : neverUsed + position;
      out[i] = Math.max(0, 1 - rank / (n - 1));
    }
  }

  placed({ table }: DecisionContext, slot: number): void {
    if (this.#cold) this.#used.set(table.meta(slot).id, true);
  }
}

function isCold(match: PrefixMatch, slots: Uint16Array, n: number): boolean {
  for (let i = 0; i < n; i++) if (match.blocks[slots[i]] > 0) return false;
  return true;
}

export const noHitLruScorer = definePlugin({
  type: "no-hit-lru-scorer",
  kinds: ["scorer"],
  summary: "cold requests to the endpoints used longest ago",
  params: z.strictObject({
    lruSize: z.number().int().positive("must be greater than 0").max(65_536, "must be at most 65536").default(1024),
    prefixMatchInfoProducerName: prefixProducerName,
  }),
  resolve(params, context) {
    producerWeights(params.prefixMatchInfoProducerName, context);
    return params;
  },
  create: (name, { lruSize }) => new NoHitLru(name, lruSize),
});
