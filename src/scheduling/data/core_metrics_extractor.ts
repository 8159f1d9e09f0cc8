/**
 * `core-metrics-extractor`: which metric of which engine means what. `models-data-extractor`: reads `/v1/models`.
 *
 * Parameters: `engineLabelKey` (`llm-d.ai/engine-type`), `defaultEngine` (vllm), `engineConfigs[]` of `{name,
 * queuedRequestsSpec, runningRequestsSpec, kvUsageSpec, loraSpec, cacheInfoSpec, cacheBlockSizeLabelName,
 * cacheNumBlocksLabelName, cacheBlockSizeSpec, cacheNumBlocksSpec, customMetrics[]{attributeKey, metricSpec}}`.
 * A spec is a metric name with an optional label selector, `name{label=value}`; its syntax is the pool's to check.
 * The engine name `default` is reserved.
 */
import { z } from "zod";
import { definePlugin, noParams } from "../definition.ts";

const spec = z.string().min(1, "must be a metric selector");

const engineConfig = z.strictObject({
  name: z.string().min(1, "must be an engine name").refine((name) => name !== "default", 'must not be "default"'),
  queuedRequestsSpec: spec.optional(),
  runningRequestsSpec: spec.optional(),
  kvUsageSpec: spec.optional(),
  loraSpec: spec.optional(),
  cacheInfoSpec: spec.optional(),
  cacheBlockSizeLabelName: z.string().optional(),
  cacheNumBlocksLabelName: z.string().optional(),
  cacheBlockSizeSpec: spec.optional(),
  cacheNumBlocksSpec: spec.optional(),
  customMetrics: z.array(z.strictObject({
    attributeKey: z.string().min(1, "must be an attribute key"),
    metricSpec: spec,
  })).default([]),
});

const params = z.strictObject({
  engineLabelKey: z.string().min(1, "must be a label key").default("llm-d.ai/engine-type"),
  defaultEngine: z.string().min(1, "must be an engine name").default("vllm"),
  engineConfigs: z.array(engineConfig).default([]),
});

/** What the pool needs to read a metrics page. */
export type CoreMetricsParams = z.output<typeof params>;
export type EngineMetricsConfig = z.output<typeof engineConfig>;

export const coreMetricsExtractor = definePlugin({
  type: "core-metrics-extractor",
  kinds: ["extractor"],
  summary: "queue, running, KV usage, adapters and custom metrics",
  params,
  resolve(params, context): CoreMetricsParams {
    const names = params.engineConfigs.map((engine) => engine.name);
    const repeated = names.find((name, i) => names.indexOf(name) !== i);
    if (repeated !== undefined) throw context.fail("engineConfigs", `must not name engine "${repeated}" twice`);
    return params;
  },
});

export const modelsDataExtractor = definePlugin({
  type: "models-data-extractor",
  kinds: ["extractor"],
  summary: "model list of each endpoint",
  params: noParams,
});
