/** Where a request goes: profiles of filters, weighted scorers and a picker over the endpoint table. No I/O, no waiting. */
export { parseAddress } from "./address.ts";
export type { Address } from "./address.ts";
export type { PrefixParams } from "./data/approx_prefix_cache_producer.ts";
export type { CoreMetricsParams, EngineMetricsConfig } from "./data/core_metrics_extractor.ts";
export type { FileDiscoveryParams } from "./data/file_discovery.ts";
export type { InflightLoadParams } from "./data/inflight_load_producer.ts";
export type { HttpSourceParams } from "./data/metrics_source.ts";
export type { FeedsParams } from "./data/precise_prefix_cache_producer.ts";
export type { RenderParams } from "./data/token_producer.ts";
export { Scheduler } from "./engine.ts";
export type { SchedulerOptions } from "./engine.ts";
export { importEndpointPickerConfig, importScheduling } from "./import_config.ts";
export type { ImportedConfig } from "./import_config.ts";
export { notYet } from "./not_yet.ts";
export { defaultPlan, llmdDefaultPlan, onePlan, planFromPolicy, policies } from "./plan.ts";
export type { Policy } from "./plan.ts";
export { registry } from "./registry.ts";
export * from "./types.ts";
