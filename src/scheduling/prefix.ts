import { z } from "zod";
import type { LoadContext } from "./definition.ts";

/** Name of the prefix producer a plugin reads; omitted means the only one. */
export const prefixProducerName = z.string().optional();

/** Throws ConfigError when the named producer does not exist. */
export function checkPrefixProducer(name: string | undefined, context: LoadContext): void {
  context.find("approx-prefix-cache-producer", "prefixMatchInfoProducerName", name);
}
