import type { EngineRequest } from "./engine_types.ts";

/** What a sequence that is not running holds. */
export const noBlocks = new Int32Array(0);

/** A request inside the engine, and what it holds. */
export interface Sequence {
  readonly request: EngineRequest;
  readonly arrivedMs: number;
  ended: boolean;
  /** Tokens whose KV is in the cache when the step in flight is not counted. */
  computed: number;
  /** Output tokens sampled. */
  produced: number;
  /** Tokens the step in flight computes. */
  scheduled: number;
  blocks: Int32Array;
  held: number;
  /** Leading blocks already offered to the cache index. */
  published: number;
  cachedTokens: number;
  scheduledMs: number;
  firstTokenMs: number;
  preemptions: number;
}

/** Tokens of a sequence so far. */
export function lengthOf(sequence: Sequence): number {
  return sequence.request.prompt.tokens + sequence.produced;
}

/** Whether the sequence lacks nothing but its newest token. */
export function decodes(sequence: Sequence): boolean {
  return sequence.produced > 0 && lengthOf(sequence) - sequence.computed === 1;
}

/** A request as it arrives. */
export function newSequence(request: EngineRequest, arrivedMs: number): Sequence {
  return {
    request,
    arrivedMs,
    ended: false,
    computed: 0,
    produced: 0,
    scheduled: 0,
    blocks: noBlocks,
    held: 0,
    published: 0,
    cachedTokens: 0,
    scheduledMs: NaN,
    firstTokenMs: NaN,
    preemptions: 0,
  };
}

/** Takes `item` out of `list`; false when it is not there. */
export function remove<T>(list: T[], item: T): boolean {
  const at = list.indexOf(item);
  if (at >= 0) list.splice(at, 1);
  return at >= 0;
}
