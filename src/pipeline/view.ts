import { type RequestView, RouterError, type Slo } from "../core/mod.ts";
import { parseDurationMs } from "../config/mod.ts";
import { type BodyEditSpan, includeUsageEdit, modelEdit, type RequestScan, spliceBody } from "../hotpath/mod.ts";
import { controlHeader, controlHeaders, hasStreamOptions, type HeaderFields } from "../protocol/mod.ts";
import { type HashedPrompt, hashPrompt } from "./blocks.ts";
import type { PipelineOptions, PipelineParts } from "./parts.ts";
import type { Inbound } from "./types.ts";

/** A request ready to be placed: what is known of it, and the bytes that go on. */
export interface Prepared {
  readonly view: RequestView;
  readonly prompt: HashedPrompt;
  readonly body: Uint8Array | undefined;
  /** The usage event in the answer is ours to take out again. */
  readonly removesUsage: boolean;
  /** Name of the rewrite rule that chose the model. */
  readonly rule?: string;
}

/** Whether the answer is a stream whose events are of a form in which tokens can be told. */
export function streamsTokens({ stream, api }: RequestView): boolean {
  return stream && hasStreamOptions(api);
}

/**
 * Reads a request: scan, rewrite, headers, then token ids and block hashes. Throws `RouterError` for what no endpoint
 * should see. Takes a pause only where token ids have to be waited for.
 */
export function prepare(inbound: Inbound, parts: PipelineParts): Prepared | Promise<Prepared> {
  const read = readRequest(inbound, parts);
  const prompt = hashPrompt(inbound, read.scan, read.model, read.body, parts);
  return prompt instanceof Promise
    ? prompt.then((prompt) => withPrompt(inbound, read, prompt, parts))
    : withPrompt(inbound, read, prompt, parts);
}

/** What a request says, before anything is computed of its prompt. */
interface ReadRequest {
  readonly scan: RequestScan | undefined;
  readonly requestedModel: string;
  readonly model: string;
  readonly rule?: string;
  /** As it goes to the endpoint. */
  readonly body: Uint8Array | undefined;
  readonly removesUsage: boolean;
}

function readRequest(inbound: Inbound, parts: PipelineParts): ReadRequest {
  const { options, models } = parts;
  const scan = scanBody(inbound.body, inbound, parts);
  const requestedModel = scan?.model ?? "";
  const header = controlHeader(inbound.headers, controlHeaders.modelRewrite);
  const session = inbound.headers.get("x-session-id") ?? inbound.headers.get("x-session-token") ?? scan?.user;
  const { model, rule } = models.rewrite(requestedModel, { header, sessionKey: session ?? undefined });
  inbound.caller?.allow(requestedModel || model);
  // Chosen by the client's header and not by a rule of ours.
  if (rule === undefined && model !== requestedModel) inbound.caller?.allow(model);

  const edits: BodyEditSpan[] = [];
  if (scan && model !== requestedModel) edits.push(modelEdit(scan, model));
  const removesUsage = scan !== undefined && options.usage === "always" && scan.stream &&
    hasStreamOptions(inbound.api) &&
    scan.includeUsage !== true;
  if (removesUsage) edits.push(includeUsageEdit(scan));
  const body = inbound.body && edits.length > 0 ? spliceBody(inbound.body, edits) : inbound.body;
  return { scan, requestedModel, model, rule, body, removesUsage };
}

function withPrompt(
  inbound: Inbound,
  { scan, requestedModel, model, rule, body, removesUsage }: ReadRequest,
  prompt: HashedPrompt,
  { options }: PipelineParts,
): Prepared {
  const { caller } = inbound;
  const named = fairnessOf(inbound.headers, options);
  const priority = priorityOf(inbound.headers, options);
  const view: RequestView = {
    id: inbound.id,
    api: inbound.api,
    receivedAtMs: inbound.receivedAtMs,
    model,
    requestedModel,
    stream: scan?.stream ?? false,
    maxOutputTokens: scan?.maxOutputTokens,
    promptTokens: prompt.tokens ?? scan?.promptTokens ?? 0,
    bodyBytes: inbound.body?.length ?? 0,
    blocks: prompt.blocks,
    fairnessId: caller ? caller.fairnessId(named) : named ?? "default-flow",
    objective: objectiveOf(inbound.headers),
    priority: caller ? caller.priority(priority) : priority,
    slo: readSlo(inbound.headers, scan?.stream ?? false, options),
    ttlMs: readTtl(inbound.headers),
    requeue: controlHeader(inbound.headers, controlHeaders.onEviction) === "requeue",
    mediaParts: scan?.mediaParts ?? 0,
    headers: inbound.headers,
    subset: readSubset(inbound.headers),
  };
  return { view, prompt, body, removesUsage, rule };
}

function objectiveOf(headers: HeaderFields): string {
  return controlHeader(headers, controlHeaders.objective) ?? "";
}

/** The priority that the headers name, by number or by an objective's name; 0 for none. */
export function priorityOf(headers: HeaderFields, { objectives }: PipelineOptions): number {
  const number = controlHeader(headers, controlHeaders.priority);
  if (number !== undefined && /^-?\d{1,9}$/.test(number)) return Number(number);
  return objectives.get(objectiveOf(headers))?.priority ?? 0;
}

/** Whose request it is, as the headers say: by name, else by the session of an agent. */
function fairnessOf(headers: HeaderFields, { flow }: PipelineOptions): string | undefined {
  const named = controlHeader(headers, controlHeaders.fairnessId);
  return named ?? controlHeader(headers, flow?.fairnessHeaders ?? []);
}

/**
 * Scans a JSON body; undefined when the request has none to scan. A path the router does not know is not its to judge: what
 * cannot be read there goes on as it is, placed by load alone.
 */
function scanBody(
  body: Uint8Array | undefined,
  { api, headers }: Inbound,
  parts: PipelineParts,
): RequestScan | undefined {
  const known = api !== "passthrough";
  if (!body || body.length === 0) {
    if (!known) return undefined;
    throw new RouterError("bad-request", "Cannot read the request: its body is empty, a JSON object was expected");
  }
  if (!known && !jsonType.test(headers.get("content-type") ?? "")) return undefined;
  const scan = parts.hotpath.scanner.scan(body, api);
  if (scan.ok) return scan;
  if (!known) return undefined;
  throw new RouterError("bad-request", scan.message, { param: scan.param });
}

const jsonType = /^application\/(?:[\w.-]+\+)?json\b/i;

/** The latency targets that the headers name, else those of the request's objective, each for itself. */
function readSlo(headers: HeaderFields, stream: boolean, { objectives }: PipelineOptions): Slo {
  const usual = objectives.get(objectiveOf(headers))?.slo;
  const tpotMs = readTarget(headers, controlHeaders.sloTpotMs) ?? usual?.tpotMs;
  return {
    ttftMs: readTarget(headers, controlHeaders.sloTtftMs) ?? usual?.ttftMs,
    tpotMs: stream ? tpotMs : undefined,
  };
}

const decimal = /^\+?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

function readTarget(headers: HeaderFields, names: readonly string[]): number | undefined {
  const name = names.find((name) => headers.get(name));
  if (name === undefined) return undefined;
  const text = headers.get(name)!;
  const ms = decimal.test(text) ? Number(text) : NaN;
  if (Number.isFinite(ms) && ms > 0) return ms;
  const message = `Cannot use header ${name}: it must be a positive number of milliseconds`;
  throw new RouterError("bad-request", message, { param: name });
}

function readTtl(headers: HeaderFields): number | undefined {
  const text = controlHeader(headers, controlHeaders.ttl);
  if (text === undefined) return undefined;
  const ms = /^\d+$/.test(text) ? Number(text) : parseDurationMs(text);
  if (ms !== undefined && ms > 0) return ms;
  const [name] = controlHeaders.ttl;
  throw new RouterError("bad-request", `Cannot use header ${name}: it must be milliseconds or a duration such as 30s`, {
    param: name,
  });
}

/** The endpoints a proxy in front restricts the choice to; a header that is there but empty leaves none. */
function readSubset(headers: HeaderFields): readonly string[] | undefined {
  const text = headers.get(controlHeaders.subset[0]);
  if (text === null) return undefined;
  return text.split(",").map((entry) => entry.trim()).filter((entry) => entry !== "");
}
