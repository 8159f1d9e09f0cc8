import type { EndpointMeta, EndpointTable } from "../core/mod.ts";

/** A value a slot derived from endpoint metadata, computed once until the table's metadata changes. */
export class DerivedColumn<T> {
  #values: (T | undefined)[] = [];
  #version = -1;

  constructor(readonly table: EndpointTable, readonly derive: (meta: EndpointMeta) => T) {}

  get(slot: number): T {
    if (this.#version !== this.table.version) {
      this.#values = new Array(this.table.capacity).fill(undefined);
      this.#version = this.table.version;
    }
    return this.#values[slot] ??= this.derive(this.table.meta(slot));
  }
}

/** Compacts `slots[0..n)` to those whose verdict is true. */
export function keepWhere(column: DerivedColumn<boolean>, slots: Uint16Array, n: number): number {
  let kept = 0;
  for (let i = 0; i < n; i++) if (column.get(slots[i])) slots[kept++] = slots[i];
  return kept;
}
