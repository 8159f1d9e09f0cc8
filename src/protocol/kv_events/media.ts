import { KvTier } from "../../core/mod.ts";

/**
 * Tier by medium, where the event does not say whose the medium is:
 *
 *   CPU_TIER2        SGLang's older name for the third level of its hierarchical cache, which is storage; CPU_TIER1 is
 *                    host memory
 *   FS               a directory of the engine's own tiering; the publisher can read back what it wrote, others perhaps
 *   OBJ              an object store
 *   STORAGE          FS and OBJ under one name, hence counted as the slower
 *   EXTERNAL         SGLang's storage backends, which are stores of a cluster
 *   SHARED_STORAGE, OBJECT_STORE   llm-d's file-system backend
 */
const tiers: ReadonlyMap<string, KvTier> = new Map([
  ["GPU", KvTier.Gpu],
  ["CPU", KvTier.Cpu],
  ["CPU_PINNED", KvTier.Cpu],
  ["CPU_TIER1", KvTier.Cpu],
  ["CPU_TIER2", KvTier.Disk],
  ["DISK", KvTier.Disk],
  ["FS", KvTier.Disk],
  ["STORAGE", KvTier.Shared],
  ["OBJ", KvTier.Shared],
  ["EXTERNAL", KvTier.Shared],
  ["SHARED_STORAGE", KvTier.Shared],
  ["OBJECT_STORE", KvTier.Shared],
]);

/**
 * Tier of a medium, whatever its case; absent is the GPU. `REMOTE` locality makes any medium shared, as it lies outside the
 * publishing server; `LOCAL` makes a shared one the server's own disk. Undefined when either is not known: what cannot be
 * placed counts as not held.
 */
export function tierOf(medium: string | undefined, locality: string | undefined): KvTier | undefined {
  if (medium === undefined && locality === undefined) return KvTier.Gpu;
  const tier = medium === undefined ? KvTier.Gpu : tiers.get(medium.toUpperCase());
  if (tier === undefined || locality === undefined) return tier;
  switch (locality.toUpperCase()) {
    case "REMOTE":
      return KvTier.Shared;
    case "LOCAL":
      return tier === KvTier.Shared ? KvTier.Disk : tier;
    default:
      return undefined;
  }
}
