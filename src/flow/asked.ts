import type { Waiting } from "./types.ts";

/** Requests that wait, by edge and the edge's number: edges number from 0 and use numbers again, so that these are lists. */
export class Asked {
  readonly #byEdge = new Map<number, (Waiting | undefined)[]>();

  all(): Waiting[] {
    return [...this.#byEdge.values()].flatMap((items) => items.filter((item) => item !== undefined));
  }

  add(item: Waiting): void {
    let items = this.#byEdge.get(item.edge);
    if (!items) this.#byEdge.set(item.edge, items = []);
    items[item.ask.id] = item;
  }

  get(edge: number, id: number): Waiting | undefined {
    return this.#byEdge.get(edge)?.[id];
  }

  remove({ edge, ask: { id } }: Waiting): void {
    this.#byEdge.get(edge)![id] = undefined;
  }

  /** What an edge that is gone had waiting. */
  of(edge: number): Waiting[] {
    return this.#byEdge.get(edge)?.filter((item) => item !== undefined) ?? [];
  }
}
