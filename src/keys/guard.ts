import type { KeyLimits } from "../config/mod.ts";
import { RouterError, sameHash, secretHash } from "../core/mod.ts";
import { type HeaderFields, presentedKey } from "../protocol/mod.ts";
import { Caller, type KeyParts } from "./caller.ts";
import { quotaOf } from "./quota.ts";
import { type Bucket, type QuotaTable, type Seat } from "./quota_table.ts";
import { type KeyPlan, openPlan } from "./rows.ts";

/** Compared with where no key has the hash, so that knowing none takes as long as knowing one. */
const nobody = "0".repeat(64);

/** Tells who a request is from. One an isolate; all work on the same rows. */
export class KeyGuard {
  readonly #parts: KeyParts;
  /** By hash: a presented secret is never compared with anything, only its hash is. */
  #callers = new Map<string, Caller>();
  #plan = openPlan;

  constructor(parts: KeyParts) {
    this.#parts = parts;
  }

  /** Takes over other keys. Requests under way end by those they came with. */
  use(plan: KeyPlan): void {
    const tenants = new Map(plan.tenants.map((tenant) => [tenant.name, quotaOf(tenant.seat, tenant)]));
    const callers = plan.keys.map((key) => {
      const shared = tenants.get(key.tenant);
      return new Caller(key, [quotaOf(key.seat, key), ...(shared ? [shared] : [])], this.#parts);
    });
    this.#callers = new Map(callers.map((caller) => [caller.config.hash, caller]));
    this.#plan = plan;
  }

  /** Whether a request needs a key. */
  get enforced(): boolean {
    return this.#plan.enforced;
  }

  /** The key that the headers hold; undefined where none is asked for. Throws the 401 that its client gets. */
  identify(headers: Pick<HeaderFields, "get">): Caller | undefined {
    if (!this.#plan.enforced) return undefined;
    const secret = presentedKey(headers);
    if (secret === undefined) {
      throw this.#stranger(
        "missing",
        "No API key was given: send it as `Authorization: Bearer KEY` or `x-api-key: KEY`",
      );
    }
    const hash = secretHash(secret);
    const caller = this.#callers.get(hash);
    if (!sameHash(hash, caller?.config.hash ?? nobody)) {
      throw this.#stranger("unknown", "The API key is not valid");
    }
    const { id, disabled, expiresMs } = caller!.config;
    if (disabled) caller!.refuse("disabled", unauthorized(`The API key \`${id}\` is disabled`));
    if (expiresMs !== undefined && this.#parts.clock.wallMs() >= expiresMs) {
      caller!.refuse("expired", unauthorized(`The API key \`${id}\` has expired`));
    }
    return caller;
  }

  #stranger(reason: "missing" | "unknown", message: string): RouterError {
    this.#parts.metrics.keyRefused({ key: "", tenant: "", reason, shadow: false });
    return unauthorized(message);
  }
}

function unauthorized(message: string): RouterError {
  return new RouterError("unauthorized", message);
}

/** What each key and tenant has left, for operators; without hashes. */
export function keyReport({ enforced, keys, tenants }: KeyPlan, table: QuotaTable, nowMs: number): object {
  return {
    enforced,
    keys: keys.map(({ hash: _, seat, requestsPerMinute, tokensPerMinute, maxConcurrent, expiresMs, ...key }) => ({
      ...key,
      expires: expiresMs === undefined ? undefined : new Date(expiresMs).toISOString(),
      ...balances(table, seat, { requestsPerMinute, tokensPerMinute, maxConcurrent }, nowMs),
    })),
    tenants: tenants.map(({ name, seat, ...limits }) => ({ name, ...balances(table, seat, limits, nowMs) })),
  };
}

function balances(table: QuotaTable, seat: Seat, limits: KeyLimits, nowMs: number): object {
  const { rates, placesMax } = quotaOf(seat, limits);
  const balance = (bucket: Bucket) => {
    const rate = rates[bucket];
    if (!rate) return undefined;
    const { remaining, resetMs } = table.state(seat.row, bucket, rate, nowMs);
    return { perMinute: rate.perMinute, remaining, resetMs: Math.ceil(resetMs) };
  };
  return {
    requests: balance("requests"),
    tokens: balance("tokens"),
    inFlight: table.inFlight(seat.row),
    maxConcurrent: placesMax,
  };
}
