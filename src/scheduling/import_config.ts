import type { FlowConfig, SaturationConfig } from "../config/mod.ts";
import { ConfigError } from "../core/mod.ts";
import type { AgentIdentityParams } from "./data/agent_identity.ts";
import type { PrefixParams } from "./data/approx_prefix_cache_producer.ts";
import type { CoreMetricsParams } from "./data/core_metrics_extractor.ts";
import type { FileDiscoveryParams } from "./data/file_discovery.ts";
import type { InflightLoadParams } from "./data/inflight_load_producer.ts";
import type { HttpSourceParams } from "./data/metrics_source.ts";
import type { FeedsParams } from "./data/precise_prefix_cache_producer.ts";
import type { PredictedLatencyParams } from "./data/predicted_latency_producer.ts";
import type { RenderParams, TokenParams } from "./data/token_producer.ts";
import { type DocumentPath, keyText, parseValue, type Source } from "./definition.ts";
import { YamlSource } from "./document.ts";
import { FlowImport } from "./flow/import_flow.ts";
import { configSchema, type RawConfig } from "./import_schema.ts";
import { fallbacksMaxDefault, staleAfterMsDefault } from "./plan.ts";
import { PluginSet } from "./plugin_set.ts";
import { prefixProducerTypes } from "./prefix.ts";
import { nearNames } from "./registry.ts";
import type { HeaderProfileParams } from "./profiles/header_profile_handler.ts";
import type { PluginKind, PluginSpec, ProfilePlan, SchedulingPlan } from "./types.ts";

/** An llm-d configuration, taken apart for the rooms that need its parts. */
export interface ImportedConfig {
  readonly plan: SchedulingPlan;
  readonly prefix: PrefixParams;
  /** Present when the configuration asks for an exact prefix match. */
  readonly feeds?: FeedsParams;
  /** Present when the configuration lists the producer of predictions. */
  readonly latency?: PredictedLatencyParams;
  /** Present when the configuration names a server that renders prompts to token ids. */
  readonly render?: RenderParams;
  readonly inflight: InflightLoadParams;
  /** Absent when the configuration turns metrics off (`injectDefaults: false` without a source). */
  readonly metrics?: { readonly source: HttpSourceParams; readonly extractor: CoreMetricsParams };
  /** Present when the configuration asks for model lists. */
  readonly models?: HttpSourceParams;
  readonly discovery?: FileDiscoveryParams;
  /** Parser types the configuration names; absent when it names none. */
  readonly parsers?: readonly string[];
  /** Complete, as llm-d would behave; absent while its feature gate is off. */
  readonly flow?: FlowConfig;
  /** How it is told that an endpoint has room, where the configuration names a way while that gate is off. */
  readonly saturation?: SaturationConfig;
  /** Headers that name a tenant, in the order they are looked at; empty when the configuration names no such plugin. */
  readonly fairnessHeaders: readonly string[];
  /** What the operator should know that is no error, each with its line. */
  readonly warnings: readonly string[];
}

/**
 * Reads an llm-d `EndpointPickerConfig` strictly and fills in what llm-d would. Anything that cannot be honoured is a
 * ConfigError with its line; `file` is what errors call the document.
 */
export function importEndpointPickerConfig(text: string, file: string): ImportedConfig {
  const source = new YamlSource(text, file);
  return new Import(parseValue(configSchema, source.value, source, [], "EndpointPickerConfig"), source).run();
}

/**
 * The same for plugins and profiles that stand in another document, at keys of these names; `where` gives the place of a
 * path that begins with them.
 */
export function importScheduling(
  parts: { readonly plugins: readonly unknown[]; readonly schedulingProfiles: readonly unknown[] },
  where: (path: DocumentPath) => string,
): ImportedConfig {
  const document = { apiVersion: "llm-d.ai/v1alpha1", kind: "EndpointPickerConfig", ...parts };
  const source: Source = { where };
  return new Import(parseValue(configSchema, document, source, [], "scheduling"), source).run();
}

const exactProducers = ["precise-prefix-cache-producer", "precise-prefix-cache-scorer"];

/** What may read each source. */
const extractorsOf: Readonly<Record<string, readonly string[]>> = {
  "metrics-data-source": ["core-metrics-extractor"],
  "models-data-source": ["models-data-extractor"],
  "endpoint-notification-source": exactProducers,
};

/** An empty key is as good as none. */
const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

const aKind = (kinds: string): string => `${/^[aeio]/.test(kinds) ? "an" : "a"} ${kinds}`;

/** Producers and admitters work in every profile, named in it or not; llm-d's own configurations name them. */
const profileKinds: readonly PluginKind[] = ["filter", "scorer", "picker", "producer", "admitter"];

const flowKinds: readonly PluginKind[] = [
  "fairness-policy",
  "ordering-policy",
  "usage-limit-policy",
  "eviction-policy",
];

class Import {
  readonly #raw: RawConfig;
  readonly #source: Source;
  readonly #set: PluginSet;

  constructor(raw: RawConfig, source: Source) {
    this.#raw = raw;
    this.#source = source;
    this.#set = new PluginSet(raw.plugins, source, ["plugins"]);
  }

  run(): ImportedConfig {
    const flowControl = this.#featureGates();
    this.#refuseUnsupported();
    const specs = this.#set.all();
    this.#onlyOne(specs, ["approx-prefix-cache-producer"]);
    this.#onlyOne(specs, exactProducers);
    this.#onlyOne(specs, ["inflight-load-producer"]);
    this.#onlyOne(specs, ["predicted-latency-producer"]);
    this.#onlyOne(specs, ["agent-identity"]);
    const profiles = this.#profiles(specs);
    const handler = this.#handler(specs, profiles);
    const { metrics, models } = this.#dataSources();
    const discovery = this.#discovery();
    const parsers = this.#parsers();
    const { usedByFlow, ...flow } = this.#flow(flowControl);
    this.#warnUnused(specs, profiles, usedByFlow);
    const prefix = this.#prefix(profiles);
    const feeds = this.#feeds();
    const latency = this.#set.ofType("predicted-latency-producer")?.params as PredictedLatencyParams | undefined;
    const render = this.#render(specs);
    const inflight = this.#set.ensure("inflight-load-producer").params as InflightLoadParams;
    const plugins = this.#set.all().filter((spec) => spec.create !== undefined);
    const plan = { plugins, profiles, handler, fallbacksMax: fallbacksMaxDefault, staleAfterMs: staleAfterMsDefault };
    const parts = { plan, prefix, feeds, latency, render, inflight, metrics, models, discovery, parsers, ...flow };
    return { ...parts, warnings: this.#set.warnings };
  }

  #fail(path: DocumentPath, expected: string): ConfigError {
    return new ConfigError(this.#source.where(path), keyText(path), expected);
  }

  #warn(path: DocumentPath, message: string): void {
    this.#set.warnings.push(`${this.#source.where(path)}: ${message}`);
  }

  /** Whether flow control is on. */
  #featureGates(): boolean {
    let flowControl = false;
    this.#raw.featureGates.forEach((gate, i) => {
      const [name, value = "true"] = gate.split("=", 2);
      if (value !== "true" && value !== "false") {
        throw this.#fail(["featureGates", i], `must be name, name=true or name=false: current value is "${gate}"`);
      }
      if (name === "flowControl") {
        flowControl = value === "true";
      } else if (name === "haPopulateNonLeaderDatastore") {
        this.#warn(["featureGates", i], "haPopulateNonLeaderDatastore has no effect, there is no leader");
      } else {
        const known = "flowControl, haPopulateNonLeaderDatastore";
        throw this.#fail(["featureGates", i], `must be one of ${known}: current value is "${name}"`);
      }
    });
    return flowControl;
  }

  #refuseUnsupported(): void {
    const { dataLayer } = this.#raw;
    for (const key of ["peerDiscovery", "crossReplicaSyncerPluginRef", "crossReplicaSyncInterval"] as const) {
      if (isGiven(dataLayer?.[key])) {
        throw this.#fail(["dataLayer", key], "state shared by replicas is not supported yet");
      }
    }
  }

  #flow(on: boolean): Pick<ImportedConfig, "flow" | "saturation" | "fairnessHeaders"> & { usedByFlow: Set<string> } {
    const { flowControl, saturationDetector } = this.#raw;
    if (isGiven(saturationDetector)) {
      this.#warn(["saturationDetector"], "saturationDetector is deprecated, use flowControl.saturationDetector");
    }
    if (isGiven(flowControl) && !on) {
      const message = "flowControl has no effect while feature gate flowControl is off, saturationDetector excepted";
      this.#warn(["flowControl"], message);
    }
    const identity = this.#set.ofType("agent-identity")?.params as AgentIdentityParams | undefined;
    const fairnessHeaders = identity?.headers ?? [];
    const flow = new FlowImport(this.#raw, {
      named: (name) => this.#set.named(name),
      refer: (name, at, kinds) => this.#refer(name, at, kinds),
      fail: (path, expected) => this.#fail(path, expected),
    });
    return {
      flow: on ? flow.flow(fairnessHeaders) : undefined,
      saturation: !on && flow.namesDetector ? flow.saturation() : undefined,
      fairnessHeaders,
      usedByFlow: flow.used,
    };
  }

  #onlyOne(specs: readonly PluginSpec[], types: readonly string[]): void {
    const second = specs.filter((spec) => types.includes(spec.type))[1];
    if (second) throw this.#failAt(second, `must be the only plugin of type ${types.join(" or ")}`);
  }

  #failAt({ name }: PluginSpec, expected: string): ConfigError {
    return this.#fail(
      ["plugins", this.#raw.plugins.findIndex((entry) => (entry.name ?? entry.type) === name)],
      expected,
    );
  }

  /** The plugin that the reference at `at` names, of one of `kinds`. */
  #refer(ref: string, at: DocumentPath, kinds: readonly PluginKind[]): PluginSpec {
    const spec = this.#set.named(ref);
    if (!spec) {
      const near = nearNames(ref, this.#raw.plugins.map((entry) => entry.name ?? entry.type));
      const hint = near.length > 0 ? `, did you mean ${near.join(" or ")}` : "";
      throw this.#fail(at, `must name a plugin that is listed: current value is "${ref}"${hint}`);
    }
    if (!spec.kinds.some((kind) => kinds.includes(kind))) {
      throw this.#fail(at, `must be ${aKind(kinds.join(", "))}: "${ref}" is ${aKind(spec.kinds.join(" and "))}`);
    }
    return spec;
  }

  #profiles(specs: readonly PluginSpec[]): ProfilePlan[] {
    const raw = this.#raw.schedulingProfiles;
    if (raw.length === 0) return [this.#collectedProfile(specs)];
    const names = raw.map((profile) => profile.name);
    return raw.map(({ name, plugins }, i) => {
      const path = ["schedulingProfiles", i];
      if (names.indexOf(name) !== i) throw this.#fail([...path, "name"], `profile name "${name}" must be unique`);
      const uses = plugins.map(({ pluginRef, weight }, j) => {
        const at = [...path, "plugins", j];
        const spec = this.#refer(pluginRef, [...at, "pluginRef"], profileKinds);
        if (weight !== undefined && !spec.kinds.includes("scorer")) {
          this.#warn([...at, "weight"], `weight has no effect, "${pluginRef}" is no scorer`);
        }
        return { spec, weight, path: at };
      });
      return this.#profile(name, uses);
    });
  }

  /** Without profiles: one of all filters, scorers and pickers, as listed; of llm-d's default scorers when there are none. */
  #collectedProfile(specs: readonly PluginSpec[]): ProfilePlan {
    const uses = specs.map((spec, i) => ({ spec, weight: undefined, path: ["plugins", i] }))
      .filter(({ spec }) => spec.kinds.some((kind) => kind === "filter" || kind === "scorer" || kind === "picker"));
    if (uses.length > 0) return this.#profile("default", uses);
    const defaults = [["queue-scorer", 2], ["kv-cache-utilization-scorer", 2], ["prefix-cache-scorer", 3]] as const;
    return this.#profile(
      "default",
      defaults.map(([type, weight]) => ({ spec: this.#set.ensure(type), weight, path: [] })),
    );
  }

  #profile(name: string, uses: readonly { spec: PluginSpec; weight?: number; path: DocumentPath }[]): ProfilePlan {
    const of = (kind: PluginKind) => uses.filter(({ spec }) => spec.kinds.includes(kind));
    const pickers = of("picker");
    if (pickers.length > 1) throw this.#fail(pickers[1].path, `must be the only picker of profile "${name}"`);
    return {
      name,
      filters: of("filter").map(({ spec }) => spec.name),
      scorers: of("scorer").map(({ spec, weight = 1 }) => ({ plugin: spec.name, weight })),
      picker: pickers[0]?.spec.name ?? this.#set.ensure("max-score-picker").name,
    };
  }

  #handler(specs: readonly PluginSpec[], profiles: readonly ProfilePlan[]): string {
    const handlers = specs.filter((spec) => spec.kinds.includes("profile-handler"));
    if (handlers.length > 1) {
      throw this.#fail(["plugins", specs.indexOf(handlers[1])], "must be the only profile handler");
    }
    const handler = handlers[0] ?? this.#set.ensure("single-profile-handler");
    if (handler.type === "single-profile-handler" && profiles.length > 1) {
      const expected = `must hold one profile for single-profile-handler: it holds ${profiles.length}`;
      throw this.#fail(["schedulingProfiles"], expected);
    }
    if (handler.type === "header-profile-handler" && profiles.length > 1) {
      const { defaultProfile } = handler.params as HeaderProfileParams;
      if (!profiles.some((profile) => profile.name === defaultProfile)) {
        const message = `no profile is named "${defaultProfile}", requests without the header are refused`;
        this.#warn(["plugins", specs.indexOf(handler)], `${handler.name}: ${message}`);
      }
    }
    return handler.name;
  }

  #dataSources(): Pick<ImportedConfig, "metrics" | "models"> {
    const { injectDefaults = true, sources = [] } = this.#raw.dataLayer ?? {};
    const found = new Map<string, { source: PluginSpec; extractor?: PluginSpec }>();
    sources.forEach(({ pluginRef, extractors }, i) => {
      const path = ["dataLayer", "sources", i];
      const spec = this.#refer(pluginRef, [...path, "pluginRef"], ["source"]);
      const wanted = extractorsOf[spec.type];
      if (found.has(spec.type)) throw this.#fail(path, `must be the only ${spec.type}`);
      const used = extractors.map((ref, j) => {
        const at = [...path, "extractors", j, "pluginRef"];
        const extractor = this.#refer(ref.pluginRef, at, ["extractor", "producer"]);
        if (wanted.includes(extractor.type)) return extractor;
        throw this.#fail(at, `must be a ${wanted.join(" or ")} for a ${spec.type}`);
      });
      found.set(spec.type, { source: spec, extractor: used[0] });
    });
    const listed = found.get("metrics-data-source");
    const metrics = listed?.source ?? (injectDefaults ? this.#set.ensure("metrics-data-source") : undefined);
    const extractor = listed?.extractor ?? (injectDefaults ? this.#set.ensure("core-metrics-extractor") : undefined);
    return {
      metrics: metrics && extractor &&
        { source: metrics.params as HttpSourceParams, extractor: extractor.params as CoreMetricsParams },
      models: found.get("models-data-source")?.source.params as HttpSourceParams | undefined,
    };
  }

  #discovery(): FileDiscoveryParams | undefined {
    const ref = this.#raw.dataLayer?.discovery?.pluginRef;
    if (ref === undefined) return undefined;
    return this.#refer(ref, ["dataLayer", "discovery", "pluginRef"], ["discovery"]).params as FileDiscoveryParams;
  }

  #parsers(): readonly string[] | undefined {
    const { requestHandler, parser } = this.#raw;
    const parsers = (requestHandler?.parsers ?? []).map(({ pluginRef }, i) =>
      this.#refer(pluginRef, ["requestHandler", "parsers", i, "pluginRef"], ["parser"]).type
    );
    if (parser) {
      this.#warn(["parser"], "parser is deprecated, use requestHandler.parsers");
      parsers.push(this.#refer(parser.pluginRef, ["parser", "pluginRef"], ["parser"]).type);
    }
    return parsers.length > 0 ? [...new Set(parsers)] : undefined;
  }

  #prefix(profiles: readonly ProfilePlan[]): PrefixParams {
    const scored = profiles.some((profile) =>
      profile.scorers.some(({ plugin }) => this.#set.named(plugin)?.type === "prefix-cache-scorer")
    );
    if (scored && !this.#set.ofAnyType(prefixProducerTypes)) {
      this.#warn(
        ["plugins"],
        "prefix-cache-scorer reads an approx-prefix-cache-producer that is not listed, its defaults apply",
      );
    }
    return this.#set.ensure("approx-prefix-cache-producer").params as PrefixParams;
  }

  #feeds(): FeedsParams | undefined {
    return this.#set.ofAnyType(exactProducers)?.params as FeedsParams | undefined;
  }

  #render(specs: readonly PluginSpec[]): RenderParams | undefined {
    const types = ["token-producer", "tokenizer"];
    const asking = specs.filter(({ type, params }) => types.includes(type) && (params as TokenParams).render);
    if (asking.length > 1) throw this.#failAt(asking[1], "must be the only token-producer with a vllm section");
    return (asking[0]?.params as TokenParams | undefined)?.render;
  }

  #warnUnused(specs: readonly PluginSpec[], profiles: readonly ProfilePlan[], usedByFlow: Iterable<string>): void {
    const ofProfiles = profiles.flatMap((profile) => [
      ...profile.filters,
      ...profile.scorers.map(({ plugin }) => plugin),
      profile.picker,
    ]);
    const used = new Set([...ofProfiles, ...usedByFlow]);
    specs.forEach((spec, i) => {
      const placeable = spec.kinds.some((kind) => kind === "filter" || kind === "scorer" || kind === "picker");
      if (used.has(spec.name)) return;
      if (placeable) this.#warn(["plugins", i], `plugin "${spec.name}" is used by no profile`);
      else if (spec.kinds.some((kind) => flowKinds.includes(kind))) {
        this.#warn(["plugins", i], `plugin "${spec.name}" is not used by flow control`);
      }
    });
  }
}
