import { endpointLabels, type MetricDefinition } from "./definition.ts";

/** Metrics of what goes wrong and of what is done about it. */
export const resilienceCatalogue = {
  client_disconnects_total: {
    type: "counter",
    unit: "requests",
    labels: ["phase"],
    help: "Clients that left before the end: while placing, waiting for the first byte, or streaming.",
  },
  upstream_retries_total: {
    type: "counter",
    unit: "attempts",
    labels: ["reason"],
    help: "Attempts given up before the first byte in favour of the next candidate.",
  },
  upstream_retries_refused_total: {
    type: "counter",
    unit: "requests",
    labels: [],
    help: "Failures that were given to the client as the retry budget was spent.",
  },
  upstream_hedges_total: {
    type: "counter",
    unit: "attempts",
    labels: ["what"],
    help: "Second attempts made beside one that was slow to answer (`begun`), and those of them that answered (`won`).",
  },
  upstream_continuations_total: {
    type: "counter",
    unit: "requests",
    labels: ["result"],
    help: "Streams that lost their endpoint: `continued` elsewhere, `impossible` for such a request, or `failed`.",
  },
  requests_shed_total: {
    type: "counter",
    unit: "requests",
    labels: ["reason", "priority"],
    help: "Requests refused before their body was read as the router itself had too much to do.",
  },
  overloaded: {
    type: "gauge",
    unit: "levels",
    labels: [],
    help: "0 when every request is taken, 1 when those of negative priority are refused, 2 when all are.",
  },
  endpoint_ejections_total: {
    type: "counter",
    unit: "ejections",
    labels: [...endpointLabels, "reason"],
    help:
      "Times an endpoint's circuit opened: `failures` in a row, `error-rate`, `success-rate` below the others', `slow`.",
  },
  endpoint_circuit: {
    type: "gauge",
    unit: "endpoints",
    labels: [...endpointLabels, "state"],
    help: "1 for the state of an endpoint's circuit: `closed`, `open`, `half-open`.",
  },
  endpoint_slowness: {
    type: "gauge",
    unit: "ratio",
    labels: endpointLabels,
    help: "Times slower to the first token than the other endpoints at similar work; absent while too little is known.",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
