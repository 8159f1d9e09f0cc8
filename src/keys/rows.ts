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
  #retired = new Set<number>();
  /** Rows from here on were never given out. */
  #next = 0;

  constructor(table: QuotaTable) {
    this.#table = table;
  }

  /** Changes nothing for those who are seated: it counts from `commit` on, and may be left. */
  plan({ enforced, list, tenants }: KeysConfig): KeyPlan {
    const newcomers = [...list.map(keyName), ...tenants.map(tenantName)].filter((name) => !this.#seats.has(name));
    const free = this.#free(newcomers.length);
    const seats = new Map(this.#seats);
    newcomers.forEach((name, i) => seats.set(name, { row: free[i], generation: this.#table.generation(free[i]) }));
    for (const row of free) this.#table.clear(row);
    return {
      enforced,
      keys: list.map((key) => ({ ...key, seat: seats.get(keyName(key))! })),
      tenants: tenants.map((tenant) => ({ ...tenant, seat: seats.get(tenantName(tenant))! })),
    };
  }

  /** The last plan is in force: who is not in it has lost its row. */
  commit({ keys, tenants }: KeyPlan): void {
    const before = this.#seats;
    this.#seats = new Map([
      ...keys.map((key) => [keyName(key), key.seat] as const),
      ...tenants.map((tenant) => [tenantName(tenant), tenant.seat] as const),
    ]);
    for (const { row } of this.#seats.values()) {
      this.#retired.delete(row);
      this.#next = Math.max(this.#next, row + 1);
    }
    for (const [name, { row }] of before) {
      if (this.#seats.has(name)) continue;
      this.#table.retire(row);
      this.#retired.add(row);
    }
  }

  /** So many rows that nobody uses, those used before first. */
  #free(count: number): number[] {
    const { capacity } = this.#table;
    const rows = [...this.#retired].filter((row) => this.#table.inFlight(row) === 0).slice(0, count);
    for (let row = this.#next; rows.length < count && row < capacity; row++) rows.push(row);
    if (rows.length === count) return rows;
    throw new RangeError(`Cannot seat ${count} more keys and tenants: ${rows.length} of ${capacity} rows are free`);
  }
}

function keyName({ id }: { readonly id: string }): string {
  return `key ${id}`;
}

function tenantName({ name }: { readonly name: string }): string {
  return `tenant ${name}`;
}
