/** How a family of series is measured and described. */
export interface MetricDefinition {
  readonly type: "counter" | "gauge" | "histogram";
  /** What one unit of the value is. */
  readonly unit: string;
  readonly labels: readonly string[];
  /** Upper bounds of a histogram, ascending, without infinity. */
  readonly buckets?: readonly number[];
  readonly help: string;
  /**
   * Labels under which llm-d names the same values: each is one of `labels`, or `[name, value]` for a label that is
   * constant here. Absent when llm-d has no such metric.
   */
  readonly alias?: readonly (string | readonly [string, string])[];
  /** Of a gauge: the value of what came last, which is any isolate's and not the sum over all. */
  readonly last?: true;
}

/** Labels of what is measured per endpoint. */
export const endpointLabels = ["endpoint_name", "namespace"] as const;
