/**
 * `precise-prefix-cache-producer`: which blocks each endpoint holds, told by the engines' own KV events over ZMQ.
 * `precise-prefix-cache-scorer` is the same and a `prefix-cache-scorer` in one, llm-d's older form.
 *
 * Parameters, with what becomes of them:
 *   tokenProcessorConfig   `blockSizeTokens` (16; older name `blockSize`) until the engines' own block size is known;
 *                          `hashSeed` (""); `hashAlgorithm` cbor-fnv|xxh64, no effect: keys never leave the router
 *   indexerConfig          `kvCacheBackendConfigs[]{name, weight}` (gpu 1, cpu 0.8): what a block counts by its tier; a list
 *                          replaces the default, a tier without weight counts 1. `kvBlockIndexConfig`: of its backends
 *                          `costAwareMemoryConfig.size` bounds the index in bytes, `inMemoryConfig` has no effect and
 *                          `redisConfig` is refused; `enableMetrics`, `metricsLoggingInterval` have no effect
 *   kvEventsConfig         `engineType` vllm|sglang (vllm), `topicFilter` ("kv@"), `podDiscoveryConfig.socketPort` (5557) and
 *                          `.replaySocketPort` (none); a data-parallel rank adds its number. Every endpoint of the pool is
 *                          listened to, so `podLabelSelector` and `podNamespace` have no effect; nor has `concurrency`.
 *                          `zmqEndpoint` and `discoverPods: false` are refused: the router dials, engines do not
 *   speculativeIndexing    (false), `speculativeTTL` (2s): whether blocks count as held while a request with them is under
 *                          way, and the longest that lasts
 * Limits: one such producer; blocks are matched by token ids, so a request without them falls back to routing history.
 */
import { z } from "zod";
import { type KvTierName, kvTiers } from "../../core/mod.ts";
import { tierOf } from "../../protocol/mod.ts";
import { definePlugin, durationMs, type LoadContext } from "../definition.ts";
import type { TierWeights } from "../prefix.ts";
import { PrefixCacheScorer } from "../scorers/prefix_cache_scorer.ts";

/** What the prefix room needs to listen to engines. */
export interface FeedsParams {
  readonly kind: "zmq";
  /** Of rank 0; rank r publishes at `port + r`, and replays at `replayPort + r`. */
  readonly port: number;
  /** Absent: what was missed cannot be asked for. */
  readonly replayPort?: number;
  /** Beginning of the topics to read; "" is all. */
  readonly topicFilter: string;
  readonly engineType: "vllm" | "sglang";
  readonly tierWeights: TierWeights;
  /** Whether blocks of requests under way count as held. */
  readonly speculative: boolean;
  /** Longest life of such a claim. */
  readonly speculativeTtlMs: number;
  /** Tokens from one block hash of a prompt to the next, until an engine has told its own. */
  readonly blockTokens: number;
  readonly hashSeed: string;
  /** Bytes the index may take; absent: the router's own default. */
  readonly indexBytesMax?: number;
}

/** A tier by our own name or by an engine's, whatever its case; undefined for one that this router does not know. */
function tierNamed(name: string): KvTierName | undefined {
  const own = kvTiers.find((tier) => tier === name.toLowerCase());
  const tier = tierOf(name, undefined);
  return own ?? (tier === undefined ? undefined : kvTiers[tier]);
}

const port = z.number().int().min(1, "must be at least 1").max(65_535, "must be at most 65535");
const positive = z.number().int().positive("must be greater than 0");

const byteUnits: Readonly<Record<string, number>> = {
  "": 1,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};
const byteSize = z.string()
  .regex(/^\d+(?:\.\d+)?(?:[KMG]i?)?B?$/, "must be a size such as 512MiB or 2GiB")
  .transform((text) => {
    const [, amount, unit] = /^([\d.]+)([KMG]i?)?B?$/.exec(text)!;
    return Math.floor(Number(amount) * byteUnits[unit ?? ""]);
  });

const params = z.strictObject({
  tokenProcessorConfig: z.strictObject({
    blockSizeTokens: positive.optional(),
    blockSize: positive.optional(),
    hashSeed: z.string().default(""),
    hashAlgorithm: z.enum(["cbor-fnv", "xxh64"], "must be cbor-fnv or xxh64").optional(),
  }).prefault({}),
  indexerConfig: z.strictObject({
    kvBlockIndexConfig: z.strictObject({
      inMemoryConfig: z.strictObject({ size: positive.optional(), podCacheSize: positive.optional() }).optional(),
      costAwareMemoryConfig: z.strictObject({ size: byteSize.default(2 * 2 ** 30) }).optional(),
      redisConfig: z.unknown().optional(),
      enableMetrics: z.boolean().optional(),
      metricsLoggingInterval: z.unknown().optional(),
    }).prefault({}),
    kvCacheBackendConfigs: z.array(z.strictObject({
      name: z.string().min(1, "must be the name of a tier"),
      weight: z.number().nonnegative("must be at least 0"),
    })).default([{ name: "gpu", weight: 1 }, { name: "cpu", weight: 0.8 }]),
  }).prefault({}),
  kvEventsConfig: z.strictObject({
    zmqEndpoint: z.string().default(""),
    topicFilter: z.string().default("kv@"),
    concurrency: positive.optional(),
    engineType: z.enum(["vllm", "sglang"], "must be vllm or sglang").default("vllm"),
    discoverPods: z.boolean().default(true),
    podDiscoveryConfig: z.strictObject({
      podLabelSelector: z.string().optional(),
      podNamespace: z.string().optional(),
      socketPort: port.default(5557),
      replaySocketPort: port.optional(),
    }).prefault({}),
  }).prefault({}),
  speculativeIndexing: z.boolean().default(false),
  speculativeTTL: durationMs.default(2000),
});
type Params = z.output<typeof params>;

function resolve(raw: Params, context: LoadContext): FeedsParams {
  refuse(raw, context);
  warnUnused(raw, context);
  const { tokenProcessorConfig: tokens, indexerConfig, kvEventsConfig: events } = raw;
  return {
    kind: "zmq",
    port: events.podDiscoveryConfig.socketPort,
    replayPort: events.podDiscoveryConfig.replaySocketPort,
    topicFilter: events.topicFilter,
    engineType: events.engineType,
    tierWeights: tierWeights(indexerConfig.kvCacheBackendConfigs, context),
    speculative: raw.speculativeIndexing,
    speculativeTtlMs: raw.speculativeTTL,
    blockTokens: tokens.blockSizeTokens ?? tokens.blockSize ?? 16,
    hashSeed: tokens.hashSeed,
    indexBytesMax: indexerConfig.kvBlockIndexConfig.costAwareMemoryConfig?.size,
  };
}

function refuse({ indexerConfig, kvEventsConfig }: Params, context: LoadContext): void {
  if (indexerConfig.kvBlockIndexConfig.redisConfig !== undefined) {
    const reason = "kvBlockIndexConfig.redisConfig must be absent: every router keeps an index of its own";
    throw context.fail("indexerConfig", reason);
  }
  if (kvEventsConfig.zmqEndpoint !== "") {
    const reason = "zmqEndpoint must be empty: the router dials every endpoint at podDiscoveryConfig.socketPort";
    throw context.fail("kvEventsConfig", `${reason}, current value is "${kvEventsConfig.zmqEndpoint}"`);
  }
  if (!kvEventsConfig.discoverPods) {
    throw context.fail("kvEventsConfig", "discoverPods must be true: the router dials the endpoints of its pool");
  }
}

/** Says which of the given parameters change nothing. */
function warnUnused({ tokenProcessorConfig, indexerConfig, kvEventsConfig }: Params, context: LoadContext): void {
  const index = indexerConfig.kvBlockIndexConfig;
  const { podLabelSelector, podNamespace } = kvEventsConfig.podDiscoveryConfig;
  const unused: readonly (readonly [string, unknown, string])[] = [
    ["hashAlgorithm", tokenProcessorConfig.hashAlgorithm, "block keys never leave the router"],
    ["inMemoryConfig", index.inMemoryConfig, "the index is bounded in bytes"],
    ["enableMetrics", index.enableMetrics, "metrics of the index are always there"],
    ["metricsLoggingInterval", index.metricsLoggingInterval, "metrics of the index are always there"],
    ["concurrency", kvEventsConfig.concurrency, "every feed is read in order"],
    ["podLabelSelector", podLabelSelector || undefined, "every endpoint of the pool is listened to"],
    ["podNamespace", podNamespace || undefined, "every endpoint of the pool is listened to"],
  ];
  for (const [key, value, why] of unused) if (value !== undefined) context.warn(`${key} has no effect, ${why}`);
}

function tierWeights(
  configs: Params["indexerConfig"]["kvCacheBackendConfigs"],
  context: LoadContext,
): TierWeights {
  const weights: Partial<Record<KvTierName, number>> = {};
  for (const { name, weight } of configs) {
    const tier = tierNamed(name);
    if (tier === undefined) {
      const known = `it is none of ${kvTiers.join(", ")} or an engine's name for one`;
      context.warn(`kvCacheBackendConfigs: weight of "${name}" has no effect, ${known}`);
    } else if (weights[tier] !== undefined && weights[tier] !== weight) {
      throw context.fail(
        "indexerConfig",
        `kvCacheBackendConfigs must not weigh tier ${tier} twice, again as "${name}"`,
      );
    } else {
      weights[tier] = weight;
    }
  }
  return weights;
}

export const precisePrefixCacheProducer = definePlugin({
  type: "precise-prefix-cache-producer",
  kinds: ["producer"],
  summary: "prefix match told by the engines' KV events",
  params,
  resolve,
});

export const precisePrefixCacheScorer = definePlugin({
  type: "precise-prefix-cache-scorer",
  kinds: ["scorer", "producer"],
  summary: "most of the prompt in cache, told by the engines' KV events",
  deprecated: "precise-prefix-cache-producer and prefix-cache-scorer",
  params,
  resolve,
  create: (name, { tierWeights }) =>
    new PrefixCacheScorer("precise-prefix-cache-scorer", name, {
      matchLengthWeight: 0,
      matchLengthScaleTokens: 8192,
      weights: tierWeights,
    }),
});
