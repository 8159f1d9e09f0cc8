import type { FlowSample } from "./flow_series.ts";
import type { LatencySample, LatencyTargetSample, PredictionRecord } from "./latency_series.ts";
import type { RequestRecord } from "./record.ts";

/** One sample of a Prometheus text, labels by name. */
export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface ParsedText {
  readonly help: ReadonlyMap<string, string>;
  readonly type: ReadonlyMap<string, string>;
  readonly samples: readonly ParsedSample[];
}

/** Reads the Prometheus text format strictly; throws on a line that is none. For tests. */
export function parsePrometheus(text: string): ParsedText {
  const help = new Map<string, string>();
  const type = new Map<string, string>();
  const samples: ParsedSample[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
    if (comment) {
      const target = comment[1] === "HELP" ? help : type;
      if (target.has(comment[2])) throw new Error(`${comment[1]} of ${comment[2]} appears twice`);
      target.set(comment[2], comment[3]);
      continue;
    }
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!sample) throw new Error(`Cannot read the line ${line}`);
    const value = sample[3] === "+Inf" ? Infinity : Number(sample[3]);
    samples.push({ name: sample[1], labels: parseLabels(sample[2] ?? ""), value });
  }
  return { help, type, samples };
}

function parseLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  const pair = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(,|$)/y;
  while (pair.lastIndex < text.length) {
    const at = pair.lastIndex;
    const match = pair.exec(text);
    if (!match) throw new Error(`Cannot read the labels ${text.slice(at)}`);
    labels[match[1]] = match[2].replace(/\\(.)/g, (_, c) => c === "n" ? "\n" : c);
  }
  return labels;
}

/** A completed, streamed chat request; `part` replaces what a test is about. */
export function requestRecord(part: Partial<RequestRecord> = {}): RequestRecord {
  return {
    id: "req-1",
    api: "chat",
    method: "POST",
    path: "/v1/chat/completions",
    model: "llama",
    targetModel: "llama",
    fairnessId: "default-flow",
    priority: 0,
    stream: true,
    outcome: "completed",
    status: 200,
    durationMs: 2100,
    ttftMs: 100,
    processingMs: 1.5,
    decisionMs: 0.2,
    requestBytes: 3000,
    responseBytes: 9000,
    promptTokens: 800,
    cachedTokens: 640,
    outputTokens: 101,
    finishReason: "stop",
    endpoint: { name: "a", namespace: "default" },
    profile: "default",
    matchedTokens: 640,
    attempts: 1,
    ...part,
  };
}

/** One request that waits, every part of it known; `part` replaces what a test is about. */
export function flowSample(part: Partial<FlowSample> = {}): FlowSample {
  return {
    saturation: { decode: 0.5, effective: 0.5 },
    stale: { detector: "fused", endpoints: 1 },
    bands: [
      { priority: 0, tokens: 15, oldestWaitMs: 250, estimatedWaitMs: 1500, requestsRatio: 0.25, bytesRatio: 0.125 },
    ],
    queues: [{ tenant: "t", priority: 0, model: "llama", requestedModel: "alias", requests: 1, bytes: 100 }],
    tenants: [{ tenant: "t", requests: 1, tokens: 15 }],
    requestsRatio: 0.5,
    bytesRatio: 0.75,
    requiredReplicas: 1.5,
    promises: 2,
    reclaim: { target: 0.1, pending: 0.2 },
    ...part,
  };
}

/** A prediction for an endpoint of which everything came as expected; `part` replaces what a test is about. */
export function predictionRecord(part: Partial<PredictionRecord> = {}): PredictionRecord {
  return {
    target: "ttft",
    model: "llama",
    requestedModel: "alias",
    endpoint: { name: "a", namespace: "default" },
    medianMs: 100,
    highMs: 150,
    quantile: 0.9,
    ms: 100,
    censored: false,
    ...part,
  };
}

/** What is known of both targets and of an endpoint, every part of it; `part` replaces what a test is about. */
export function latencySample(part: Partial<LatencyTargetSample> = {}): LatencySample {
  const target = (target: "ttft" | "tpot") => ({
    target,
    source: "model",
    scores: [
      { source: "told", mape: 0.1, coverage: 0.9 },
      { source: "prior", mape: 0.2, coverage: 0.8, loss: 0.25 },
      { source: "model", mape: 0.125, coverage: 0.875, loss: 0.0625 },
    ],
    overSlo: 1.5,
    reservoirRows: 200,
    heldBackRows: 64,
    model: { trees: 100, ageMs: 2000 },
    trialLoss: { challenger: 0.05, prior: 0.1, champion: 0.06 },
    ...part,
  });
  return {
    targets: [target("ttft"), target("tpot")],
    endpoints: [{ name: "a", namespace: "default", pace: 2.5, suspect: true }],
  };
}
