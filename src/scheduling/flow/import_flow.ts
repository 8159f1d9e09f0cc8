import {
  type BandConfig,
  bandDefaults,
  type CeilingConfig,
  type FairnessConfig,
  type FlowConfig,
  flowDefaults,
  type OrderingName,
  type SaturationConfig,
  utilizationDefaults,
} from "../../config/mod.ts";
import type { ConfigError } from "../../core/mod.ts";
import type { DocumentPath } from "../definition.ts";
import { type ConcurrencyParams, concurrencySaturation } from "../filters/concurrency_detector.ts";
import { type UtilizationParams, utilizationSaturation } from "../filters/utilization_detector.ts";
import type { RawConfig } from "../import_schema.ts";
import type { PluginKind, PluginSpec } from "../types.ts";

type RawFlowControl = NonNullable<RawConfig["flowControl"]>;
type RawBand = NonNullable<RawFlowControl["defaultPriorityBand"]>;

/** What the rest of the configuration offers. */
export interface FlowImportParts {
  /** The plugin of that name; undefined when there is none. */
  named(name: string): PluginSpec | undefined;
  /** The plugin that stands at `at`, of that kind. Throws ConfigError when there is none. */
  refer(name: string, at: DocumentPath, kinds: readonly PluginKind[]): PluginSpec;
  fail(path: DocumentPath, expected: string): ConfigError;
}

const evictionTypes = ["sheddable-eviction-filter", "priority-then-time-eviction-order-policy"];

/** Reads what an llm-d configuration says of flow control, and fills in what llm-d would. */
export class FlowImport {
  /** Names of the plugins that flow control uses. */
  readonly used = new Set<string>();

  constructor(readonly raw: RawConfig, readonly parts: FlowImportParts) {}

  /** Whether a saturation detector is named. */
  get namesDetector(): boolean {
    const { flowControl, saturationDetector } = this.raw;
    return (flowControl?.saturationDetector?.pluginRef ?? saturationDetector?.pluginRef) !== undefined;
  }

  /** All of it, as the `flowControl` feature gate turns it on. */
  flow(fairnessHeaders: readonly string[]): FlowConfig {
    const raw: Partial<RawFlowControl> = this.raw.flowControl ?? {};
    const at = ["flowControl"];
    const defaultBand = this.#band(raw.defaultPriorityBand, [...at, "defaultPriorityBand"]);
    const ttlMs = raw.defaultRequestTTL ?? flowDefaults.ttlMs;
    const eviction = raw.enableEviction ?? false;
    if (eviction) {
      for (const { type, name = type } of this.raw.plugins) if (evictionTypes.includes(type)) this.used.add(name);
    }
    return {
      enabled: true,
      limits: { maxRequests: raw.maxRequests, maxBytes: raw.maxBytes },
      tenantLimits: {},
      tenants: {},
      ttlMs,
      noEndpointTtlMs: raw.noEndpointRequestTTL ?? ttlMs,
      holdModels: [],
      bands: this.#bands(raw.priorityBands ?? []),
      defaultBand,
      defaultNegativeBand: raw.defaultNegativePriorityBand
        ? this.#band(raw.defaultNegativePriorityBand, [...at, "defaultNegativePriorityBand"])
        : defaultBand,
      ceiling: this.#policy<CeilingConfig>(
        raw.usageLimitPolicyPluginRef,
        [...at, "usageLimitPolicyPluginRef"],
        "usage-limit-policy",
        "static-usage-limit-policy",
        { policy: "static", threshold: 1 },
      ),
      saturation: this.saturation(),
      earlyRejection: "off",
      prefixWaitMs: 0,
      eviction,
      fairnessHeaders,
    };
  }

  /** By the detector that is named, else by `utilization-detector`. */
  saturation(): SaturationConfig {
    const own = this.raw.flowControl?.saturationDetector?.pluginRef;
    const at = [...(own === undefined ? [] : ["flowControl"]), "saturationDetector", "pluginRef"];
    const name = own ?? this.raw.saturationDetector?.pluginRef;
    const spec = this.#spec(name, at, "saturation-detector", "utilization-detector");
    if (!spec) return utilizationDefaults;
    return spec.type === "concurrency-detector"
      ? concurrencySaturation(spec.params as ConcurrencyParams)
      : utilizationSaturation(spec.params as UtilizationParams);
  }

  #bands(raw: RawFlowControl["priorityBands"]): FlowConfig["bands"] {
    const priorities = raw.map(({ priority }) => priority);
    return raw.map((band, i) => {
      const at = ["flowControl", "priorityBands", i];
      if (priorities.indexOf(band.priority) !== i) {
        throw this.parts.fail([...at, "priority"], `must be unique: current value is ${band.priority}`);
      }
      return { priority: band.priority, ...this.#band(band, at) };
    });
  }

  #band(raw: RawBand | null | undefined, at: DocumentPath): BandConfig {
    return {
      maxRequests: raw?.maxRequests ?? bandDefaults.maxRequests,
      maxBytes: raw?.maxBytes ?? bandDefaults.maxBytes,
      share: 0,
      fairness: this.#policy<FairnessConfig>(
        raw?.fairnessPolicyRef,
        [...at, "fairnessPolicyRef"],
        "fairness-policy",
        "global-strict-fairness-policy",
        { policy: "global-strict" },
      ),
      ordering: this.#policy<OrderingName>(
        raw?.orderingPolicyRef,
        [...at, "orderingPolicyRef"],
        "ordering-policy",
        "fcfs-ordering-policy",
        "fcfs",
      ),
    };
  }

  /** What the plugin that a reference names was told; `fallback` where that is `standard`, not listed. */
  #policy<T>(name: string | undefined, at: DocumentPath, kind: PluginKind, standard: string, fallback: T): T {
    const spec = this.#spec(name, at, kind, standard);
    return spec ? spec.params as T : fallback;
  }

  /** `standard` need not be listed. */
  #spec(ref: string | undefined, at: DocumentPath, kind: PluginKind, standard: string): PluginSpec | undefined {
    const name = ref ?? standard;
    if (name === standard && !this.parts.named(name)) return undefined;
    const spec = this.parts.refer(name, at, [kind]);
    this.used.add(spec.name);
    return spec;
  }
}
