import { z } from "zod";
import type { DecisionContext, PluginSpec } from "./types.ts";
import type { LoadContext } from "./definition.ts";
import type { InflightLoadParams } from "./data/inflight_load_producer.ts";

/** Name of the in-flight load producer a plugin reads; omitted means the only one. */
export const inflightProducerName = z.string().optional();

/** Which in-flight tokens count: `prefill` until the first byte, `all` (prompt and expected output) until the end. */
export type InflightTokens = "prefill" | "all";

/** The producer a plugin reads, if any is configured. Throws ConfigError when the named one does not exist. */
export function checkInflightProducer(name: string | undefined, context: LoadContext): PluginSpec | undefined {
  return context.find(["inflight-load-producer"], "inFlightLoadProducerName", name);
}

/** `all` when the producer is told to add estimated output tokens. */
export function inflightTokensKind(name: string | undefined, context: LoadContext): InflightTokens {
  const spec = checkInflightProducer(name, context);
  return (spec?.params as InflightLoadParams | undefined)?.addEstimatedOutputTokens ? "all" : "prefill";
}

/** Tokens of our requests in flight at `slot`. */
export function inflightTokens(ctx: DecisionContext, slot: number, kind: InflightTokens): number {
  return kind === "all" ? ctx.table.decodeTokens[slot] : ctx.table.prefillTokens[slot];
}
