import type { KeyConfig, KeysConfig, TenantConfig } from "../config/mod.ts";
import type { QuotaTable, Seat } from "./quota_table.ts";

/** The configured keys with their rows: plain data that the isolate which gives rows out sends to the others. */
export interface KeyPlan {
  /** Whether a request needs a key. */
  readonly enforced: boolean;
  readonly keys: readonly (KeyConfig & { readonly seat: Seat })[];
  /** Those with limits of their own. */
  readonly tenants: readonly (TenantConfig & { readonly seat: Seat })[];
}

/** Nobody needs a key. */
export const openPlan: KeyPlan = { enforced: false, keys: [], tenants: [] };

/**
 * Gives keys and tenants their rows, in the order of the configuration. Who stays keeps the row, and with it what is left
 * and what is in flight, whatever else of it changes. One isolate has the rows of a table to give.
 */
export class KeyRows {
  readonly #table: QuotaTable;
  #seats = new Map<string, Seat>();
  /** Left by keys that are gone, whose requests may not all have ended. */
  #retired: number[] = [];
  #next = 0;

  constructor(table: QuotaTable) {
    this.#table = table;
  }

  plan({ enforced, list, tenants }: KeysConfig): KeyPlan {
    const before = this.#seats;
    const names = [...list.map(keyName), ...tenants.map(tenantName)];
    const stays = new Set(names);
    this.#checkRoom(names.filter((name) => !before.has(name)).length);
    for (const [name, { row }] of before) {
      if (stays.has(name)) continue;
      before.delete(name);
      this.#table.retire(row);
      this.#retired.push(row);
    }
    const seats = new Map(names.map((name) => [name, before.get(name) ?? this.#take()]));
    this.#seats = seats;
    return {
      enforced,
      keys: list.map((key) => ({ ...key, seat: seats.get(keyName(key))! })),
      tenants: tenants.map((tenant) => ({ ...tenant, seat: seats.get(tenantName(tenant))! })),
    };
  }

  /** Looked at before anything changes. */
  #checkRoom(wanted: number): void {
    const { capacity } = this.#table;
    const free = capacity - this.#next + this.#retired.filter((row) => this.#table.inFlight(row) === 0).length;
    if (wanted <= free) return;
    throw new RangeError(`Cannot seat ${wanted} more keys and tenants: ${free} of ${capacity} rows are free`);
  }

  #take(): Seat {
    const free = this.#retired.findIndex((row) => this.#table.inFlight(row) === 0);
    const row = free >= 0 ? this.#retired.splice(free, 1)[0] : this.#next++;
    this.#table.clear(row);
    return { row, generation: this.#table.generation(row) };
  }
}

function keyName({ id }: KeyConfig): string {
  return `key ${id}`;
}

function tenantName({ name }: TenantConfig): string {
  return `tenant ${name}`;
}
