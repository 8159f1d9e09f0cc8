import type { LabelValues, MetricDefinition, MetricName } from "./catalogue.ts";
import { catalogue } from "./catalogue.ts";

/** A counter or gauge of one label set. */
export class Scalar {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }

  set(value: number): void {
    this.value = value;
  }
}

/** A histogram of one label set: counts by bucket (not cumulative) in one array, so that recording is a search and two adds. */
export class Distribution {
  /** One count a bound, then the count beyond the last. */
  readonly counts: Float64Array;
  sum = 0;
  readonly #bounds: Float64Array;

  constructor(bounds: Float64Array) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  get empty(): boolean {
    return this.counts.every((count) => count === 0);
  }

  /** Adds the counts of another with the same bounds. */
  merge(counts: Float64Array, sum: number): void {
    for (let i = 0; i < counts.length; i++) this.counts[i] += counts[i];
    this.sum += sum;
  }

  /** Counts `value` in the first bucket whose bound is not below it. NaN is ignored. */
  observe(value: number): void {
    if (value !== value) return;
    const bounds = this.#bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (bounds[middle] < value) low = middle + 1;
      else high = middle;
    }
    this.counts[low]++;
    this.sum += value;
  }
}

/** What a metric's series are. */
export type SeriesOf<N extends MetricName> = (typeof catalogue)[N]["type"] extends "histogram" ? Distribution : Scalar;

interface Entry<S> {
  readonly values: readonly string[];
  readonly series: S;
}

// 1,000 endpoints in two states each, or 1,000 label sets of requests with their error codes; a scrape stays readable.
const seriesMax = 4000;

/** All series of one metric. Beyond the limit new label sets share one series whose labels all read `other`. */
export class Family<S extends Scalar | Distribution = Scalar | Distribution> {
  readonly #entries = new Map<string, Entry<S>>();
  readonly #create: () => S;

  constructor(readonly name: MetricName, readonly definition: MetricDefinition, create: () => S) {
    this.#create = create;
    // Without labels there is one series, shown from the start.
    if (definition.labels.length === 0) this.with([]);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The series with these label values, in the catalogue's order; made when new. Keep it where it is used often. */
  with(values: readonly string[]): S {
    const key = values.length === 1 ? values[0] : values.join("\0");
    const known = this.#entries.get(key);
    if (known) return known.series;
    if (this.#entries.size < seriesMax) return this.#add(key, values);
    const others = values.map(() => "other");
    const otherKey = others.join("\0");
    return this.#entries.get(otherKey)?.series ?? this.#add(otherKey, others);
  }

  #add(key: string, values: readonly string[]): S {
    const entry = { values: [...values], series: this.#create() };
    this.#entries.set(key, entry);
    return entry.series;
  }

  entries(): Iterable<Entry<S>> {
    return this.#entries.values();
  }

  /** Forgets every series: for gauges that are filled anew at each scrape. */
  clear(): void {
    this.#entries.clear();
  }

  /** Forgets the series whose `label` has `value`. */
  forget(label: string, value: string): void {
    const index = this.definition.labels.indexOf(label);
    if (index < 0) return;
    for (const [key, entry] of this.#entries) {
      if (entry.values[index] === value) this.#entries.delete(key);
    }
  }
}

/** The values of every metric of the catalogue. */
export class MetricStore {
  readonly #families = new Map<MetricName, Family>();

  constructor() {
    for (const [name, definition] of Object.entries(catalogue) as [MetricName, MetricDefinition][]) {
      const bounds = Float64Array.from(definition.buckets ?? []);
      const create = definition.type === "histogram" ? () => new Distribution(bounds) : () => new Scalar();
      this.#families.set(name, new Family<Scalar | Distribution>(name, definition, create));
    }
  }

  family<N extends MetricName>(name: N): Family<SeriesOf<N>> {
    return this.#families.get(name) as unknown as Family<SeriesOf<N>>;
  }

  series<N extends MetricName>(name: N, ...values: LabelValues<N>): SeriesOf<N> {
    return this.family(name).with(values as readonly string[]);
  }

  families(): Iterable<Family> {
    return this.#families.values();
  }

  /** The value of every series, to be sent to another isolate and absorbed there. */
  dump(): MetricsDump {
    const dump: SeriesDump[] = [];
    for (const family of this.#families.values()) {
      for (const { values, series } of family.entries()) {
        if (series instanceof Scalar) {
          dump.push({ name: family.name, values, value: series.value });
        } else if (!series.empty) {
          dump.push({ name: family.name, values, counts: series.counts.slice(), sum: series.sum });
        }
      }
    }
    return dump;
  }

  /** Adds another store's values: counts stay exact, histograms bucket by bucket. */
  absorb(dump: MetricsDump): void {
    for (const { name, values, value, counts, sum } of dump) {
      const family = this.#families.get(name)!, series = family.with(values);
      if (series instanceof Scalar) family.definition.last ? series.set(value!) : series.add(value);
      else series.merge(counts!, sum!);
    }
  }
}

/** One series: `value` of a counter or gauge, `counts` by bucket and `sum` of a histogram. */
export interface SeriesDump {
  readonly name: MetricName;
  readonly values: readonly string[];
  readonly value?: number;
  readonly counts?: Float64Array;
  readonly sum?: number;
}

export type MetricsDump = readonly SeriesDump[];
