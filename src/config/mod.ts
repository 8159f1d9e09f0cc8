/**
 * What the operator wrote: the file's schema, flags and environment, defaults with their reasons; partial in, complete
 * and frozen out. Mistakes are ConfigErrors with file, line, key, what was expected and what stands there.
 */
export { ConfigErrors } from "./errors.ts";
export { readConfigFile, withKeysFile } from "./file.ts";
export {
  agingShareDefault,
  bandDefaults,
  concurrencyDefaults,
  flowDefaults,
  fusedDefaults,
  programAwareDefaults,
  utilizationDefaults,
  vtcDefaults,
} from "./flow_defaults.ts";
export * from "./flow_types.ts";
export { latencyDefaults } from "./latency_defaults.ts";
export * from "./latency_types.ts";
export { loadKeysText } from "./keys_file.ts";
export { emptyRawConfig, endpointPickerConfigKind, loadConfigText } from "./load.ts";
export type { EndpointPickerSource, RawConfig } from "./load.ts";
export { type ModelRewrite, ModelRewriter } from "./model_rewrite.ts";
export { mergeOverrides, overridesFromEnv, overridesFromFlags } from "./overrides.ts";
export type { EndpointOverride, Flags, Overrides } from "./overrides.ts";
export { parseServerUrl, type ServerAddress } from "./fields.ts";
export { configReference, type ReferenceRow, referenceRows } from "./reference.ts";
export { keysAndTenantsMax } from "./resolve_keys.ts";
export { publicConfig } from "./public_config.ts";
export { aliasRuleName, resolveConfig } from "./resolve.ts";
export { forestBytesMax } from "./resolve_latency.ts";
export { policyNames, type RawValues } from "./schema.ts";
export { documentKind, type Path, pathText, SourceDocument } from "./source.ts";
export * from "./types.ts";
export { formatBytes, formatDuration, parseBytes, parseDurationMs } from "./units.ts";
