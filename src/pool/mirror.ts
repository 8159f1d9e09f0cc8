/** Tells other isolates of the metadata in the endpoint table, which shared memory cannot hold. */
import type { EndpointMeta, EndpointTable } from "../core/mod.ts";

/** What changed of one slot: `meta` is absent when it is free. It can be sent to other isolates. */
export interface MirrorUpdate {
  readonly slot: number;
  readonly generation: number;
  readonly meta?: EndpointMeta;
}

interface Sent {
  readonly generation: number;
  readonly meta: EndpointMeta;
  readonly models: EndpointMeta["models"];
  readonly adapters: EndpointMeta["adapters"];
  readonly attributes: string;
}

/** Finds what changed in a table since it was last asked. */
export class MirrorSource {
  readonly #table: EndpointTable;
  readonly #sent: (Sent | undefined)[] = [];

  constructor(table: EndpointTable) {
    this.#table = table;
  }

  /** Everything there is, for an isolate that knows nothing yet. */
  all(): MirrorUpdate[] {
    const { generation } = this.#table;
    return [...this.#table.slots()].map((slot) => ({
      slot,
      generation: generation[slot],
      meta: this.#table.meta(slot),
    }));
  }

  /** What changed since the last call. */
  changes(): MirrorUpdate[] {
    const { table, sent } = { table: this.#table, sent: this.#sent };
    const updates: MirrorUpdate[] = [];
    for (let slot = 0; slot < Math.max(table.high, sent.length); slot++) {
      const meta = table.peek(slot), before = sent[slot], generation = table.generation[slot];
      if (!meta) {
        if (before) updates.push({ slot, generation });
        sent[slot] = undefined;
        continue;
      }
      // Adapters and attributes change with every sample of an engine that has them.
      const { models, adapters } = meta;
      const now = { generation, meta, models, adapters, attributes: JSON.stringify([...meta.attributes]) };
      if (before && same(before, now)) continue;
      sent[slot] = now;
      updates.push({ slot, generation, meta });
    }
    return updates;
  }
}

function same(a: Sent, b: Sent): boolean {
  return a.generation === b.generation && a.meta === b.meta && a.models === b.models && a.adapters === b.adapters &&
    a.attributes === b.attributes;
}
