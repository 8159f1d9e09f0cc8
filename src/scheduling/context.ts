import { type EndpointTable, type PrefixMatch, Prng, type RequestView } from "../core/mod.ts";
import { EffectiveLoad } from "./load.ts";
import type { DecisionContext, LatencyView } from "./types.ts";

/** The one context of a scheduler, set anew for each decision. */
export class Decision implements DecisionContext {
  view!: RequestView;
  match!: PrefixMatch;
  nowMs = 0;
  latency: LatencyView | undefined;
  profile = "";
  peer = -1;
  held = -1;
  readonly rng = new Prng(0);
  readonly load: EffectiveLoad;
  readonly pickedAt: Float64Array;

  /** Real decisions so far. */
  #count = 0;

  constructor(readonly table: EndpointTable, staleAfterMs: number, readonly seed: number) {
    this.load = new EffectiveLoad(table, staleAfterMs);
    this.pickedAt = new Float64Array(table.capacity);
    this.rng.reseed(seed);
    // Negative, so that whoever was never picked comes first, in an order of the seed's making. The slot breaks a draw
    // of two equal numbers, which 32 random bits allow.
    for (let slot = 0; slot < table.capacity; slot++) this.pickedAt[slot] = -1 - this.rng.u32() - slot / table.capacity;
  }

  begin(view: RequestView, match: PrefixMatch, nowMs: number, peer: number, held = -1): void {
    this.view = view;
    this.match = match;
    this.nowMs = nowMs;
    this.peer = peer;
    this.held = held;
    this.latency = undefined;
    // An odd factor unlike the generator's own step keeps the streams of successive decisions apart.
    this.rng.reseed((this.seed + Math.imul(this.#count, 0x85ebca6b)) | 0);
  }

  /** Counts the decision and remembers who was picked. */
  record(slot: number): void {
    this.pickedAt[slot] = ++this.#count;
  }
}
