/** The shape of llm-d's `EndpointPickerConfig`; parameters of plugins are their types' own. */
import { z } from "zod";
import { durationMs } from "./definition.ts";
import { quantity } from "./flow/quantity.ts";

const list = <T extends z.ZodType>(item: T) => z.array(item).nullish().transform((items) => items ?? []);
const pluginRef = z.strictObject({ pluginRef: z.string().min(1, "must be a plugin name") });

/** An empty name is as good as none. */
const ref = z.string().optional().transform((name) => name || undefined);

const band = {
  maxRequests: quantity,
  maxBytes: quantity,
  fairnessPolicyRef: ref,
  orderingPolicyRef: ref,
};
const priority = z.int("must be an integer");
// A template has the keys of a band; its priority counts for nothing.
const bandTemplate = z.strictObject({ ...band, priority: priority.optional() }).nullish();
const saturationDetector = z.strictObject({ pluginRef: ref }).nullish();

const flowControl = z.strictObject({
  maxBytes: quantity,
  maxRequests: quantity,
  defaultRequestTTL: durationMs.nullish(),
  noEndpointRequestTTL: durationMs.nullish(),
  defaultPriorityBand: bandTemplate,
  defaultNegativePriorityBand: bandTemplate,
  priorityBands: list(z.strictObject({ ...band, priority })),
  usageLimitPolicyPluginRef: ref,
  saturationDetector,
  enableEviction: z.boolean().default(false),
}).nullish();

export const configSchema = z.strictObject({
  apiVersion: z.enum(
    ["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1"],
    "must be llm-d.ai/v1alpha1 or inference.networking.x-k8s.io/v1alpha1",
  ),
  kind: z.literal("EndpointPickerConfig", 'must be "EndpointPickerConfig"'),
  featureGates: list(z.string()),
  plugins: list(z.strictObject({
    name: z.string().min(1, "must be a plugin name").optional(),
    type: z.string().min(1, "must be a plugin type"),
    parameters: z.unknown().optional(),
  })),
  schedulingProfiles: list(z.strictObject({
    name: z.string().min(1, "must be a profile name"),
    plugins: list(pluginRef.extend({ weight: z.number().optional() })),
  })),
  dataLayer: z.strictObject({
    injectDefaults: z.boolean().default(true),
    sources: list(pluginRef.extend({ extractors: list(pluginRef) })),
    discovery: pluginRef.optional(),
    peerDiscovery: z.unknown().optional(),
    crossReplicaSyncerPluginRef: z.unknown().optional(),
    crossReplicaSyncInterval: z.unknown().optional(),
  }).nullish().transform((dataLayer) => dataLayer ?? undefined),
  flowControl,
  requestHandler: z.strictObject({ parsers: list(pluginRef) }).nullish(),
  saturationDetector,
  parser: pluginRef.optional(),
});
export type RawConfig = z.output<typeof configSchema>;
