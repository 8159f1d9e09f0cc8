import { Gauge, Registry } from "prom-client";
import { aliasPrefix, catalogue, type MetricDefinition, namePrefix } from "./catalogue.ts";
import { Distribution, type Family, type MetricStore, type Scalar } from "./store.ts";

interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Labels that all samples of a series share; prom-client formats them once. */
  readonly sharedLabels: Readonly<Record<string, string>>;
  readonly metricName?: string;
}

type Labels = readonly (string | readonly [string, string])[];

/**
 * One family under one of its names. prom-client's own metrics cost about 0.3 µs a recording, for hashing labels that
 * the router knows beforehand; values are therefore kept in the store, and prom-client writes them out.
 */
class StoredMetric extends Gauge<string> {
  readonly #family: Family;
  readonly #name: string;
  readonly #labels: Labels;

  constructor(registry: Registry, family: Family, name: string, labels: Labels) {
    const labelNames = labels.map((label) => typeof label === "string" ? label : label[0]);
    super({ name, help: family.definition.help, labelNames, registers: [registry] });
    this.#family = family;
    this.#name = name;
    this.#labels = labels;
  }

  override get(): ReturnType<Gauge<string>["get"]> {
    const values: Sample[] = [];
    for (const { values: labelValues, series } of this.#family.entries()) {
      const shared = this.#labelsOf(labelValues);
      if (series instanceof Distribution) {
        // A label set without an observation is not shown: a stream's series of a model nobody streams are only text.
        if (labelValues.length === 0 || !series.empty) this.#distribution(series, shared, values);
      } else values.push({ value: (series as Scalar).value, labels: {}, sharedLabels: shared });
    }
    const { type, help } = this.#family.definition;
    // The declared type of `type` is an enum that does not exist at run time; the writer wants its name.
    return Promise.resolve({ name: this.#name, help, type, aggregator: "sum", values }) as unknown as ReturnType<
      Gauge<string>["get"]
    >;
  }

  #labelsOf(values: readonly string[]): Record<string, string> {
    const labels: Record<string, string> = {};
    for (const label of this.#labels) {
      if (typeof label === "string") labels[label] = values[this.#family.definition.labels.indexOf(label)];
      else labels[label[0]] = label[1];
    }
    return labels;
  }

  #distribution({ counts, sum }: Distribution, sharedLabels: Record<string, string>, values: Sample[]): void {
    const metricName = `${this.#name}_bucket`;
    let count = 0;
    this.#family.definition.buckets!.forEach((bound, index) => {
      count += counts[index];
      values.push({ value: count, labels: { le: String(bound) }, sharedLabels, metricName });
    });
    count += counts[counts.length - 1];
    values.push({ value: count, labels: { le: "+Inf" }, sharedLabels, metricName });
    values.push({ value: sum, labels: {}, sharedLabels, metricName: `${this.#name}_sum` });
    values.push({ value: count, labels: {}, sharedLabels, metricName: `${this.#name}_count` });
  }
}

/** A registry that shows every family under our name and, where llm-d has the metric, under llm-d's. */
export function exposeStore(store: MetricStore): Registry {
  const registry = new Registry();
  for (const family of store.families()) {
    const { labels, alias } = family.definition;
    new StoredMetric(registry, family, namePrefix + family.name, labels);
    if (alias) new StoredMetric(registry, family, aliasPrefix + family.name, alias);
  }
  return registry;
}

/** The names under which `exposeStore` shows the catalogue, in its order. */
export function exposedNames(): string[] {
  return Object.entries<MetricDefinition>(catalogue).flatMap(([name, { alias }]) =>
    alias ? [namePrefix + name, aliasPrefix + name] : [namePrefix + name]
  );
}
