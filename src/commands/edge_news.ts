import type { Clock, EndpointTable, Timer } from "../core/mod.ts";
import type { FlowController } from "../flow/mod.ts";
import { MirrorSource, type MirrorUpdate } from "../pool/mod.ts";
import type { Edges } from "./edges.ts";

/** Changes of endpoints are told to edges together, at most so late. */
const soonMs = 5;

export interface EdgeNewsParts {
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly edges: Edges;
  readonly flow: FlowController;
  /** Whether edges run in isolates of their own: one in this sees the table itself. */
  readonly apart: boolean;
}

/** Tells edges what became of the endpoints: their names and models, and that waiting requests may have others now. */
export class EdgeNews {
  readonly #parts: EdgeNewsParts;
  readonly #mirror: MirrorSource;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(parts: EdgeNewsParts) {
    this.#parts = parts;
    this.#mirror = new MirrorSource(parts.table);
  }

  /** All there is, for an edge that begins. */
  all(): MirrorUpdate[] {
    return this.#mirror.all();
  }

  async tell(): Promise<void> {
    const { apart, edges, flow } = this.#parts;
    this.#timer?.cancel();
    this.#timer = undefined;
    const updates = apart ? this.#mirror.changes() : [];
    if (updates.length > 0) await edges.tell((door) => door.mirror(updates));
    // What an edge elsewhere asked by what it knew before may still be on its way: the edge's answer comes behind it.
    if (!apart && flow.size === 0) return;
    await edges.each((door) => door.reconsider());
    flow.look();
  }

  tellSoon(): void {
    const { apart, clock, flow } = this.#parts;
    if (this.#timer || this.#stopped || (!apart && flow.size === 0)) return;
    this.#timer = clock.after(soonMs, () => void this.tell(), { background: true });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }
}
