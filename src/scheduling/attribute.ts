import { z } from "zod";
import type { DecisionContext } from "./types.ts";
import type { LoadContext } from "./definition.ts";

/** Producer of an endpoint attribute: omitted means the core metrics extractor, "" means any. */
export const attributeProducer = z.string().optional();

/** Refuses what would never be found: a qualified name without a producer, a producer that is no extractor. */
export function checkAttribute(
  key: string,
  attribute: string,
  producer: string | undefined,
  context: LoadContext,
): void {
  if (producer === undefined && attribute.includes("/")) {
    throw context.fail(key, `must not contain "/" while producer is not given: current value is "${attribute}"`);
  }
  if (producer) {
    context.find(["core-metrics-extractor"], "producer", producer === "core-metrics-extractor" ? undefined : producer);
  }
}

/** The attribute's number at `slot`; NaN when it is missing or its sample is stale. */
export function attributeOf(ctx: DecisionContext, slot: number, attribute: string): number {
  if (ctx.load.fresh[slot] === 0) return NaN;
  return ctx.table.meta(slot).attributes.get(attribute) ?? NaN;
}
