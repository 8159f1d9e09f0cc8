/** Traces made by seed, where a recorded one does not answer the question or would take too long. */
import { Prng } from "../../src/core/mod.ts";
import { traceBlockTokens, type TraceRequest } from "./trace.ts";

/** What a made trace is like. */
interface Shape {
  readonly groups: number;
  /** Prompts of a group: they share `sharedTokens` and differ in the rest. */
  readonly promptsPerGroup: number;
  readonly sharedTokens: number;
  readonly uniqueTokens: number;
  readonly outputTokens: number;
  readonly requests: number;
  readonly requestsPerS: number;
}

/**
 * `b2b-saas`: 150 customers with five prompts each, 6,000 tokens of instructions in common and 1,200 of their own, 1,000
 * out: the shape of llm-d's published comparisons. `hot`: one prompt of 7,000 tokens that everyone shares, at a rate that
 * needs every engine: a policy that only follows the cache queues them all at one. `smoke`: the first in small.
 */
export const shapes = {
  "b2b-saas": {
    groups: 150,
    promptsPerGroup: 5,
    sharedTokens: 6144,
    uniqueTokens: 1200,
    outputTokens: 1000,
    requests: 6000,
    requestsPerS: 10,
  },
  "hot": {
    groups: 1,
    promptsPerGroup: 6000,
    sharedTokens: 7168,
    uniqueTokens: 100,
    outputTokens: 200,
    requests: 6000,
    requestsPerS: 100,
  },
  "smoke": {
    groups: 6,
    promptsPerGroup: 3,
    sharedTokens: 1024,
    uniqueTokens: 300,
    outputTokens: 20,
    requests: 300,
    requestsPerS: 10,
  },
} satisfies Record<string, Shape>;

export type ShapeName = keyof typeof shapes;

/** Poisson arrivals, groups drawn evenly, prompts of a group drawn evenly; the same seed gives the same trace. */
export function shapeTrace(name: ShapeName, seed: number): TraceRequest[] {
  const shape: Shape = shapes[name];
  const prng = new Prng(seed);
  const sharedBlocks = shape.sharedTokens / traceBlockTokens;
  const inputTokens = shape.sharedTokens + shape.uniqueTokens;
  const blocks = Math.ceil(inputTokens / traceBlockTokens);
  let atMs = 0;
  return Array.from({ length: shape.requests }, () => {
    atMs += prng.exponential(1000 / shape.requestsPerS);
    const group = prng.below(shape.groups);
    const prompt = group * shape.promptsPerGroup + prng.below(shape.promptsPerGroup);
    const hashIds = Array.from(
      { length: blocks },
      (_, i) => i < sharedBlocks ? group * blocks + i : (shape.groups + prompt) * blocks + i,
    );
    return { atMs, inputTokens, outputTokens: shape.outputTokens, hashIds };
  });
}
