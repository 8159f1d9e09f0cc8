/** What is known of endpoints' caches, joined to the feeds and the log. */
import { type Clock, type EndpointMeta, type EndpointTable, feedStateNames, Prng, randomSeed } from "../core/mod.ts";
import type { FeedConfig } from "../config/mod.ts";
import type { BlockTree } from "../hotpath/mod.ts";
import { Caches, type CachesParts } from "../kv/mod.ts";
import type { Logger } from "../telemetry/mod.ts";
import { feedSources } from "./knowledge.ts";
import type { SchedulingSetup } from "./scheduling.ts";

export interface OpenCachesParts {
  readonly tree: BlockTree;
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly log: Logger;
  /** The feed of an endpoint, by the configuration in force. */
  readonly feedOf: (meta: EndpointMeta) => FeedConfig;
  readonly onLoad: CachesParts["onLoad"];
}

export function openCaches(
  { prefix, knowledge: { feed } }: SchedulingSetup,
  caCerts: readonly string[] | undefined,
  { tree, table, clock, log, feedOf, onLoad }: OpenCachesParts,
): Caches {
  const named = (slot: number) => table.peek(slot)?.id ?? "";
  const open = feedSources({ clock, seedCheck: () => caches.seedCheck, caCerts });
  const caches: Caches = new Caches({
    tree,
    table,
    clock,
    rng: new Prng(randomSeed()),
    source: (meta) => open(meta, feedOf(meta)),
    onLoad,
    onFull: (pairs) =>
      log.warn("The prefix tree is full and gives up the least used blocks: raise memory.prefixTree", { pairs }),
    onTrouble: (slot, address, cause) => log.warn("No link to a feed", { endpoint: named(slot), address, cause }),
    onState: (slot, to, from, reason) => {
      const states = { from: feedStateNames[from], to: feedStateNames[to] };
      log.info("Feed changed state", { endpoint: named(slot), ...states, reason });
    },
  }, {
    blockTokens: prefix.blockTokens,
    capacityBlocks: prefix.lruCapacityPerServer,
    feed: { reorderMs: feed.reorderWindowMs, graceMs: feed.graceMs },
  });
  return caches;
}
