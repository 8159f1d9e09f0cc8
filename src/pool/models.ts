/** What models each endpoint serves. */
import {
  type Clock,
  EndpointState,
  type EndpointTable,
  type Prng,
  reasonOf,
  type ServedModel,
  type Timer,
} from "../core/mod.ts";
import { type FetchText, HttpStatusError } from "./http.ts";

export interface ModelOptions {
  /** @default {"/v1/models"} */
  readonly path: string;
  /** Between looks at a ready endpoint. @default {30000} */
  readonly intervalMs: number;
  /** First wait after a failed look, doubling up to `intervalMs`. @default {1000} */
  readonly retryMs: number;
  /** @default {2000} */
  readonly deadlineMs: number;
  /** @default {4 MiB} */
  readonly bodyBytesMax: number;
  /** Further models of an endpoint are left out. @default {1024} */
  readonly modelsPerEndpointMax: number;
  /** `refreshModels()` looks at the endpoints at most this often. @default {1000} */
  readonly refreshIntervalMs: number;
}

export const modelDefaults: ModelOptions = {
  path: "/v1/models",
  intervalMs: 30_000,
  retryMs: 1000,
  deadlineMs: 2000,
  bodyBytesMax: 4 << 20,
  modelsPerEndpointMax: 1024,
  refreshIntervalMs: 1000,
};

/** Endpoints looked at together by one refresh. */
const refreshesTogether = 32;
/** Longer names are no model names. */
const idCharsMax = 512;

interface Subject {
  readonly slot: number;
  readonly configured: readonly string[];
  reported: readonly ServedModel[];
  timer?: Timer;
  /** The look under way: a second caller waits for the first one's. */
  looking?: Promise<void>;
  abort?: AbortController;
  retryMs: number;
  lastError?: string;
}

export interface ModelParts {
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly fetchText: FetchText;
  readonly options?: Partial<ModelOptions>;
}

/** Asks endpoints for their models and writes to the table what each serves: what it reports and what is configured. */
export class ModelDirectory {
  readonly options: ModelOptions;
  readonly #parts: ModelParts;
  readonly #subjects: (Subject | undefined)[] = [];
  #refreshing?: Promise<void>;
  #refreshedAtMs = -Infinity;

  constructor(parts: ModelParts) {
    this.#parts = parts;
    this.options = { ...modelDefaults, ...parts.options };
  }

  /** Takes a slot in, with the models its configuration names; what it reported before stays. */
  track(slot: number, configured: readonly string[] = []): void {
    const reported = this.#subjects[slot]?.reported ?? [];
    this.untrack(slot);
    const subject: Subject = { slot, configured, reported, retryMs: this.options.retryMs };
    this.#subjects[slot] = subject;
    this.#store(subject, reported);
    if (this.#parts.table.state[slot] === EndpointState.Ready) void this.#look(subject);
  }

  untrack(slot: number): void {
    const subject = this.#subjects[slot];
    if (!subject) return;
    this.#subjects[slot] = undefined;
    subject.timer?.cancel();
    subject.abort?.abort(new Error("The model list is no longer wanted"));
  }

  stop(): void {
    for (let slot = 0; slot < this.#subjects.length; slot++) this.untrack(slot);
  }

  /** An endpoint became ready: it may be another server than before. */
  onReady(slot: number): void {
    const subject = this.#subjects[slot];
    if (subject) void this.#look(subject);
  }

  /**
   * Looks at every ready endpoint now, as when a model is asked for that none is known to serve. Resolves when all have
   * answered or failed; at once when the last refresh began less than `refreshIntervalMs` ago and has ended.
   */
  refreshModels(): Promise<void> {
    if (this.#refreshing) return this.#refreshing;
    const now = this.#parts.clock.now();
    if (now - this.#refreshedAtMs < this.options.refreshIntervalMs) return Promise.resolve();
    this.#refreshedAtMs = now;
    return this.#refreshing = this.#refresh().finally(() => this.#refreshing = undefined);
  }

  lastError(slot: number): string | undefined {
    return this.#subjects[slot]?.lastError;
  }

  async #refresh(): Promise<void> {
    const { table } = this.#parts;
    const waiting = this.#subjects.filter((s) => s !== undefined && table.state[s.slot] === EndpointState.Ready);
    const worker = async () => {
      for (let next; (next = waiting.pop());) await this.#look(next);
    };
    await Promise.all(Array.from({ length: Math.min(refreshesTogether, waiting.length) }, worker));
  }

  #look(subject: Subject): Promise<void> {
    return subject.looking ??= this.#ask(subject).finally(() => subject.looking = undefined);
  }

  async #ask(subject: Subject): Promise<void> {
    const { table, clock, fetchText } = this.#parts;
    const { path, deadlineMs, bodyBytesMax } = this.options;
    const abort = subject.abort = new AbortController();
    subject.timer?.cancel();
    const current = () => this.#subjects[subject.slot] === subject;
    const deadline = clock.after(
      deadlineMs,
      () => abort.abort(new Error(`No model list within ${deadlineMs} ms`)),
      { background: true },
    );
    try {
      const body = await fetchText(table.meta(subject.slot), path, { signal: abort.signal, bytesMax: bodyBytesMax });
      if (!current()) return;
      this.#store(subject, parseModels(body, this.options.modelsPerEndpointMax));
      subject.lastError = undefined;
      subject.retryMs = this.options.retryMs;
      this.#again(subject, this.options.intervalMs);
    } catch (error) {
      if (!current()) return;
      subject.lastError = reasonOf(error);
      // A server without the path will not have it soon.
      const absent = error instanceof HttpStatusError && [404, 405, 501].includes(error.status);
      this.#again(subject, absent ? this.options.intervalMs : subject.retryMs);
      subject.retryMs = Math.min(this.options.intervalMs, subject.retryMs * 2);
    } finally {
      deadline.cancel();
    }
  }

  #again(subject: Subject, waitMs: number): void {
    const { clock, prng, table } = this.#parts;
    subject.timer = clock.after(waitMs * (0.9 + 0.2 * prng.float()), () => {
      // Not while it is out: becoming ready starts the next look.
      if (table.state[subject.slot] === EndpointState.Ready) void this.#look(subject);
    }, { background: true });
  }

  #store(subject: Subject, reported: readonly ServedModel[]): void {
    const { table } = this.#parts;
    subject.reported = reported;
    const meta = table.meta(subject.slot);
    const ids = new Set(reported.map(({ id }) => id));
    const models = [...reported, ...subject.configured.filter((id) => !ids.has(id)).map((id) => ({ id }))];
    if (sameModels(meta.models, models)) return;
    meta.models = models;
    table.touch();
  }
}

function sameModels(a: readonly ServedModel[], b: readonly ServedModel[]): boolean {
  return a.length === b.length && a.every((model, i) => {
    const other = b[i];
    return model.id === other.id && model.parent === other.parent && model.maxModelLen === other.maxModelLen &&
      model.created === other.created && model.ownedBy === other.ownedBy;
  });
}

/**
 * Reads an OpenAI model list, with vLLM's `parent` and `max_model_len`. Entries without an id and repeated ones are left out.
 *
 * @throws {Error} If the body is no such list.
 */
export function parseModels(body: Uint8Array, modelsMax: number): ServedModel[] {
  const parsed: unknown = JSON.parse(new TextDecoder().decode(body));
  const data = isRecord(parsed) ? parsed.data : undefined;
  if (!Array.isArray(data)) throw new Error("The model list must be an object with a list named data");
  const models = new Map<string, ServedModel>();
  for (const entry of data) {
    if (models.size === modelsMax) break;
    if (!isRecord(entry) || !isName(entry.id) || models.has(entry.id)) continue;
    const { id, parent, max_model_len: length, created, owned_by: owner } = entry;
    models.set(id, {
      id,
      parent: isName(parent) ? parent : undefined,
      maxModelLen: typeof length === "number" && length > 0 ? length : undefined,
      created: typeof created === "number" ? created : undefined,
      ownedBy: isName(owner) ? owner : undefined,
    });
  }
  return [...models.values()];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "" && value.length <= idCharsMax;
}
