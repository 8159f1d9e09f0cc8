/** The trainer that runs as a service of its own (`deploy/trainer`): a real XGBoost behind HTTP. */
import { createHash } from "node:crypto";
import { type Clock, concatBytes, reasonOf, sleep } from "../core/mod.ts";
import type { Target } from "./features.ts";
import { type ForestTrainer, TrainingError, type TrainingParameters, type TrainingSet } from "./trainer.ts";

/** Sends a request; as the global `fetch`. */
export type ServiceFetcher = (url: string, init: RequestInit) => Promise<Response>;

export interface ServiceTrainerOptions {
  /** Where the service is, such as `http://trainer:8100`; a path in it is kept. */
  readonly url: string;
  readonly fetcher: ServiceFetcher;
  readonly clock: Clock;
  /** For a whole training, from the first byte sent to the last byte of the model. */
  readonly timeoutMs: number;
  /** This router among those that share the service; what it sends replaces what it sent before. */
  readonly source: string;
  /** Routers of the same name share their samples and the model. Letters, digits, `.`, `_` and `-`, at most 40. */
  readonly name?: string;
  /** The token that the service wants, at the time. */
  readonly token?: () => string | undefined;
}

/** What the service reads at most. */
const samplesBytesMax = 64 * 2 ** 20;
const modelBytesMax = 32 * 2 ** 20;
const answerBytesMax = 64 * 2 ** 10;

const pollFirstMs = 100;
const pollMostMs = 2000;

/** The answer of a page, its body read within bounds. */
interface Answer {
  readonly status: number;
  readonly etag: string | null;
  readonly bytes: Uint8Array;
}

/** Sends samples, asks for a training of them, and polls for the model. */
export class ServiceTrainer implements ForestTrainer {
  readonly #options: ServiceTrainerOptions;
  readonly #base: string;
  readonly #running = new Map<Target, { readonly end: AbortController; readonly done: Promise<unknown> }>();
  /** The newest model of each target: what the service says has not changed is not sent again. */
  readonly #models = new Map<string, { readonly etag: string; readonly bytes: Uint8Array }>();
  #stopped = false;

  constructor(options: ServiceTrainerOptions) {
    const { protocol } = new URL(options.url);
    if (protocol !== "http:" && protocol !== "https:") {
      throw new TypeError(`Cannot use ${options.url} as a trainer service: it must begin with http:// or https://`);
    }
    this.#options = options;
    this.#base = options.url.replace(/\/+$/, "");
  }

  async train(
    target: Target,
    set: TrainingSet,
    parameters: TrainingParameters,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    if (this.#stopped || signal.aborted) throw cancelled(signal);
    if (this.#running.has(target)) throw new TrainingError("busy", `A training of ${target} is under way`);
    const { clock, timeoutMs } = this.#options;
    const end = new AbortController();
    const leave = () => end.abort();
    let late = false;
    const timer = clock.after(timeoutMs, () => {
      late = true;
      leave();
    }, { background: true });
    signal.addEventListener("abort", leave, { once: true });
    const work = this.#train(target, set, parameters, end.signal);
    this.#running.set(target, { end, done: work.catch(() => {}) });
    try {
      return await work;
    } catch (error) {
      if (late) throw new TrainingError("timeout", `The trainer service had no model after ${timeoutMs} ms`);
      if (end.signal.aborted) throw cancelled(signal);
      if (error instanceof TrainingError) throw error;
      throw new TrainingError("unreachable", `Cannot ask the trainer service: ${reasonOf(error)}`, { cause: error });
    } finally {
      timer.cancel();
      signal.removeEventListener("abort", leave);
      this.#running.delete(target);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const running = [...this.#running.values()];
    for (const { end } of running) end.abort();
    await Promise.all(running.map(({ done }) => done));
  }

  async #train(target: Target, samples: TrainingSet, parameters: TrainingParameters, signal: AbortSignal) {
    const set = setName(this.#options.name ?? "router", samples);
    const body = samplesBody({ set, source: this.#options.source, target }, samples);
    const samplesType = "application/vnd.warmpath.samples";
    await this.#post("/v1/samples", samplesType, body, signal);
    const request = new TextEncoder().encode(JSON.stringify({ set, target, parameters }));
    const { generation } = await this.#post("/v1/train", "application/json", request, signal);
    if (!Number.isSafeInteger(generation)) {
      throw new TrainingError("refused", "The trainer service answered without a generation");
    }
    const path = `/v1/models/${target}?format=ubj&set=${set}&generation=${generation}`;
    for (let waitMs = pollFirstMs;; waitMs = Math.min(2 * waitMs, pollMostMs)) {
      await sleep(this.#options.clock, waitMs, signal);
      const model = await this.#model(path, target, signal);
      if (model) return model;
    }
  }

  /** The model, once there is one. */
  async #model(path: string, target: Target, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const known = this.#models.get(target);
    const headers = known ? { "if-none-match": known.etag } : undefined;
    const { status, etag, bytes } = await this.#ask(path, { method: "GET", headers }, signal);
    if (status === 202) return undefined;
    if (status === 304 && known) return known.bytes;
    if (status === 500) throw new TrainingError("failed", `The trainer service has no model: ${detailOf(bytes)}`);
    if (status !== 200) throw refusal(path, status, bytes);
    if (!isModelFile(bytes)) {
      throw new TrainingError("bad-model", "The trainer service sent something else than a model in JSON or UBJSON");
    }
    if (etag) this.#models.set(target, { etag, bytes });
    return bytes;
  }

  async #post(path: string, type: string, body: Uint8Array<ArrayBuffer>, signal: AbortSignal) {
    const { status, bytes } = await this.#ask(
      path,
      { method: "POST", headers: { "content-type": type }, body },
      signal,
    );
    if (status !== 202) throw refusal(path, status, bytes);
    return parseObject(bytes);
  }

  async #ask(path: string, init: RequestInit, signal: AbortSignal): Promise<Answer> {
    const headers = new Headers(init.headers);
    const token = this.#options.token?.();
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    // A redirect could lead the samples and the token to a place that nobody configured.
    const response = await this.#options.fetcher(this.#base + path, { ...init, headers, signal, redirect: "error" });
    const { status } = response;
    const bytesMax = status === 200 ? modelBytesMax : answerBytesMax;
    const bytes = await readBounded(response, bytesMax);
    if (!bytes) throw new TrainingError("refused", `The trainer service answered with more than ${bytesMax} bytes`);
    return { status, etag: response.headers.get("etag"), bytes };
  }
}

function cancelled(signal: AbortSignal): TrainingError {
  return new TrainingError("cancelled", "The training was cancelled", { cause: signal.reason });
}

function refusal(path: string, status: number, bytes: Uint8Array): TrainingError {
  const message = `The trainer service answered ${path} with status ${status}: ${detailOf(bytes)}`;
  return new TrainingError(status === 503 || status === 429 ? "busy" : "refused", message);
}

/** Other features make another set: while routers of two versions share the service, each has models it can read. */
function setName(name: string, { featureNames, featureTypes }: TrainingSet): string {
  const schema = createHash("sha256").update(JSON.stringify([featureNames, featureTypes])).digest("hex");
  return `${name}.${schema.slice(0, 16)}`;
}

/** A line of JSON, then float32 little-endian (as typed arrays lie here): columns, labels, margins, weights. */
function samplesBody(names: Readonly<Record<string, string>>, samples: TrainingSet): Uint8Array<ArrayBuffer> {
  const { featureNames, featureTypes, rows, columns, labels, margins, weights } = samples;
  const parts = [...columns, labels, margins, weights];
  if (columns.length !== featureNames.length || parts.some(({ length }) => length !== rows)) {
    throw new TrainingError("invalid", `Every column of a training set must have its ${rows} rows`);
  }
  const head = new TextEncoder().encode(JSON.stringify({ ...names, featureNames, featureTypes, rows }) + "\n");
  const size = head.length + parts.length * rows * Float32Array.BYTES_PER_ELEMENT;
  if (rows === 0 || size > samplesBytesMax) {
    throw new TrainingError(
      "invalid",
      `A training set must have rows and at most ${samplesBytesMax} bytes, not ${size}`,
    );
  }
  const body = new Uint8Array(size);
  body.set(head);
  let at = head.length;
  for (const { buffer, byteOffset, byteLength } of parts) {
    body.set(new Uint8Array(buffer, byteOffset, byteLength), at);
    at += byteLength;
  }
  return body;
}

/** As XGBoost tells its files apart: `{"` begins JSON, `{L` UBJSON. A pickle begins otherwise. */
function isModelFile([first, second]: Uint8Array): boolean {
  return first === 0x7b && (second === 0x22 || second === 0x4c);
}

/** The whole body; undefined when it is longer than the bound. */
async function readBounded(response: Response, bytesMax: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    // Leaving the loop cancels the stream.
    if (size > bytesMax) return undefined;
    chunks.push(chunk);
  }
  return concatBytes(chunks);
}

function parseObject(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch { /* Told below. */ }
  throw new TrainingError("refused", "The trainer service answered with something else than a JSON object");
}

/** What an error answer says of itself, cut short. */
function detailOf(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  try {
    const { detail } = JSON.parse(text);
    if (detail !== undefined) return (typeof detail === "string" ? detail : JSON.stringify(detail)).slice(0, 300);
  } catch { /* Shown as it is. */ }
  return text.slice(0, 300);
}
