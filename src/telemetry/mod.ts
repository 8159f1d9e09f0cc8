/**
 * What the router tells of itself: the catalogue of every metric, their recording and exposition, logs, the access log,
 * spans. Records what it is handed and imports nothing that it observes.
 */
export { AccessLog, type AccessLogOptions } from "./access_log.ts";
export {
  aliasPrefix,
  catalogue,
  type MetricDefinition,
  type MetricName,
  metricsReference,
  namePrefix,
} from "./catalogue.ts";
export type { FlowBandSample, FlowLabels, FlowQueueSample, FlowSample, FlowSeries } from "./flow_series.ts";
export type { CacheSample, CollectedSample, EndpointSample } from "./gauges.ts";
export type { KeyName, KeyRefusal } from "./key_series.ts";
export type {
  LatencySample,
  LatencySeries,
  LatencyTargetSample,
  PredictedTarget,
  PredictionNames,
  PredictionRecord,
} from "./latency_series.ts";
export { type ByteStream, LineWriter, type LineWriterOptions, sharedPieceChars } from "./line_writer.ts";
export { type LogFields, Logger, type LoggerOptions, type LogLevel, logLevels } from "./logger.ts";
export { watchLoopLag } from "./loop_lag.ts";
export {
  type ContinuationResult,
  type DisconnectPhase,
  type EndpointName,
  Metrics,
  type MetricsOptions,
} from "./metrics.ts";
export type { PollSource, RetryReason } from "./metrics.ts";
export type { MetricsDump } from "./store.ts";
export { errorCodes, type RequestLabels, type RequestRecord } from "./record.ts";
export type { RequestSeries } from "./request_series.ts";
export { scrub, scrubText } from "./scrub.ts";
export {
  type RequestTrace,
  spanNames,
  type TraceHeaders,
  type TraceSpan,
  Tracing,
  type TracingOptions,
} from "./tracing.ts";
