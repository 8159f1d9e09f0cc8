import { type Clock, RouterError } from "../core/mod.ts";
import type { KeyConfig } from "../config/mod.ts";
import type { KeyRefusal, Metrics } from "../telemetry/mod.ts";
import { modelMatcher } from "./model_globs.ts";
import { drawAll, type Drawn, type Quota, rateLimitHeaders, settleAll, type Shortage } from "./quota.ts";
import type { QuotaTable, Seat } from "./quota_table.ts";

/** What a request used: tokens the engine reported, or what stands in for them. */
export interface UsedTokens {
  readonly prompt: number;
  readonly completion: number;
}

/** What keys work with in one isolate. */
export interface KeyParts {
  readonly table: QuotaTable;
  /** This isolate's number in the table. */
  readonly isolate: number;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, "keyRefused" | "tokensCharged">;
}

/** The key a request came with. */
export class Caller {
  readonly key: string;
  readonly tenant: string;
  readonly config: KeyConfig & { readonly seat: Seat };
  readonly #quotas: readonly Quota[];
  readonly #allows: (model: string) => boolean;
  readonly #parts: KeyParts;

  /** `quotas` are the key's own and its tenant's. */
  constructor(config: KeyConfig & { readonly seat: Seat }, quotas: readonly Quota[], parts: KeyParts) {
    this.key = config.id;
    this.tenant = config.tenant;
    this.config = config;
    this.#quotas = quotas;
    this.#allows = modelMatcher(config.models);
    this.#parts = parts;
  }

  /** The tenant, unless the key speaks for others and says for whom. */
  fairnessId(named: string | undefined): string {
    return this.config.trustFairnessHeader && named !== undefined ? named : this.tenant;
  }

  /** The priority asked for, or the most that the key may ask for. */
  priority(asked: number): number {
    return Math.min(asked, this.config.priorityMax ?? asked);
  }

  /** Whether the client is told that this model exists. */
  lists(model: string): boolean {
    return this.config.shadow || this.#allows(model);
  }

  /**
   * Throws unless the key may ask for the model: the one the client named, not what the router's own rules make of it. A
   * key with a list of models must name one, as the engine would choose another where none is named.
   */
  allow(model: string): void {
    if (this.config.models.length === 0 || this.#allows(model)) return;
    const shown = model.length > 200 ? `${model.slice(0, 200)}…` : model;
    const message = model === ""
      ? "The request names no model, and this API key is for certain models only"
      : `The model \`${shown}\` does not exist or you do not have access to it`;
    // The same answer for what exists and for what does not, so that nobody learns names by asking.
    this.refuse("model", new RouterError("model-not-found", message, { param: "model" }));
  }

  /** Throws the error; of a key in shadow it is only counted. */
  refuse(reason: KeyRefusal, error: RouterError): void {
    const { shadow } = this.config;
    this.#parts.metrics.keyRefused({ key: this.key, tenant: this.tenant, reason, shadow });
    if (!shadow) throw error;
  }

  /** Draws one request and `tokens`, to be settled at the request's end. Throws when the key or its tenant has not so many left. */
  reserve(tokens: number): Charge {
    const { table, isolate, clock } = this.#parts;
    const drawn = { requests: 1, tokens: Math.ceil(tokens) };
    const shortage = drawAll(table, isolate, this.#quotas, drawn, clock.now());
    if (!shortage) return new Charge(this, this.#quotas, drawn, this.#parts);
    this.refuse(shortage.reason === "gone" ? "changed" : shortage.reason, this.#shortageError(shortage, drawn));
    return new Charge(this, [], drawn, this.#parts);
  }

  #shortageError(shortage: Shortage, drawn: Drawn): RouterError {
    const { table, clock } = this.#parts;
    const refusal = (message: string, retryAfterS?: number, more?: Readonly<Record<string, string>>) =>
      new RouterError("rate-limited", message, {
        retryAfterS,
        headers: { ...rateLimitHeaders(table, this.#quotas, clock.now()), ...more },
      });
    switch (shortage.reason) {
      case "gone":
        return refusal("The limits of this API key have just changed: try again", 1);
      case "concurrency":
        return refusal(`Too many requests at once: the limit is ${shortage.limit}`, 1);
      default: {
        const { reason, limit, waitMs } = shortage;
        const asked = reason === "tokens" ? `, this request needs ${drawn.tokens}` : "";
        const reached = `Rate limit reached for ${reason} per minute: the limit is ${limit}${asked}`;
        // The official clients do not try again what says so.
        if (waitMs === Infinity) return refusal(`${reached}`, undefined, { "x-should-retry": "false" });
        return refusal(`${reached}. Try again in ${Math.ceil(waitMs / 1000)} s`, waitMs / 1000);
      }
    }
  }
}

/** What one request has drawn; settled once, whichever way the request ends. */
export class Charge {
  readonly #caller: Caller;
  /** Empty where a key in shadow has drawn nothing. */
  readonly #quotas: readonly Quota[];
  readonly #drawn: Drawn;
  readonly #parts: KeyParts;
  #open = true;

  constructor(caller: Caller, quotas: readonly Quota[], drawn: Drawn, parts: KeyParts) {
    this.#caller = caller;
    this.#quotas = quotas;
    this.#drawn = drawn;
    this.#parts = parts;
  }

  /** What is left, for the client. */
  headers(): Readonly<Record<string, string>> {
    return rateLimitHeaders(this.#parts.table, this.#quotas, this.#parts.clock.now());
  }

  /** The request ended: what it used is what it costs. Without `used` it costs nothing. */
  settle(used: UsedTokens | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    const { table, isolate, clock, metrics } = this.#parts;
    const prompt = whole(used?.prompt), completion = whole(used?.completion);
    const costs = { requests: used ? 1 : 0, tokens: prompt + completion };
    settleAll(table, isolate, this.#quotas, this.#drawn, costs, clock.now());
    if (used) metrics.tokensCharged({ key: this.#caller.key, tenant: this.#caller.tenant, prompt, completion });
  }
}

// More than any context holds: an engine's count is not trusted beyond it.
const tokensMax = 2 ** 31;

function whole(tokens = 0): number {
  return Math.min(tokensMax, Math.ceil(tokens));
}
