/** Which endpoints serve which models, by what the table says: for any isolate that has the table. */
import { EndpointState, type EndpointTable, type ServedModel } from "../core/mod.ts";

/** Ready endpoints that serve a model. The array belongs to the index and holds while the table's version stands. */
export interface Candidates {
  readonly slots: Uint16Array;
  readonly count: number;
}

/** One entry of the merged list. */
export interface ModelEntry extends ServedModel {
  /** Ready endpoints that serve it. */
  readonly endpoints: number;
}

const nobody: Candidates = { slots: new Uint16Array(0), count: 0 };

/** Models of the merged list. */
const modelsMaxDefault = 4096;

/**
 * An endpoint serves the models it reports at `/v1/models` and those its configuration names. One of which neither is known
 * (not asked yet, or the path answers 404) serves nothing while any other endpoint's models are known, since a guess would
 * send requests to the wrong model; in a pool where nothing is known of any endpoint, each is taken to serve every model.
 * Derived from the table, and again when the table changed.
 */
export class ModelIndex {
  readonly #table: EndpointTable;
  readonly #modelsMax: number;
  #version = -1;
  #informed = false;
  #ready: Candidates = nobody;
  readonly #byModel = new Map<string, Candidates>();
  readonly #known = new Set<string>();
  readonly #bases = new Map<string, string>();
  #merged: readonly ModelEntry[] = [];

  /** Models beyond `modelsMax` are left out of the merged list. */
  constructor(table: EndpointTable, modelsMax = modelsMaxDefault) {
    this.#table = table;
    this.#modelsMax = modelsMax;
  }

  /**
   * Ready endpoints for a model; all of them for the empty name, as of requests that name none. With `out` those that are
   * out for failed checks or requests instead.
   */
  candidates(model: string, out = false): Candidates {
    this.#refresh();
    if (out) return this.#outFor(model);
    if (model === "") return this.#ready;
    return this.#byModel.get(model) ?? (this.#informed ? nobody : this.#ready);
  }

  /** Whether the pool has the model, on endpoints ready or not: tells "no such model" from "no endpoint now". */
  hasModel(model: string): boolean {
    this.#refresh();
    return model === "" || !this.#informed || this.#known.has(model);
  }

  /** The model that `adapter` is an adapter of, as a ready endpoint says; undefined for a model of its own. */
  baseOf(adapter: string): string | undefined {
    this.#refresh();
    return this.#bases.get(adapter);
  }

  /** Models of the ready endpoints, by id, each once. */
  models(): readonly ModelEntry[] {
    this.#refresh();
    return this.#merged;
  }

  /** Not kept: asked for only by requests that failed everywhere else. */
  #outFor(model: string): Candidates {
    const table = this.#table;
    const any = model === "" || !this.#informed;
    return toCandidates(
      [...table.slots()].filter((slot) =>
        table.state[slot] === EndpointState.Unhealthy && (any || table.meta(slot).models.some(({ id }) => id === model))
      ),
    );
  }

  /** Rebuilds what is derived from the table when the table changed. */
  #refresh(): void {
    const table = this.#table;
    if (this.#version === table.version) return;
    this.#version = table.version;
    const ready: number[] = [], slotsOf = new Map<string, number[]>(), entries = new Map<string, ServedModel>();
    this.#known.clear();
    this.#bases.clear();
    this.#byModel.clear();
    for (const slot of table.slots()) {
      const state = table.state[slot];
      if (state === EndpointState.Draining) continue;
      const { models } = table.meta(slot);
      for (const { id } of models) this.#known.add(id);
      if (state !== EndpointState.Ready) continue;
      ready.push(slot);
      for (const model of models) {
        if (model.parent !== undefined) this.#bases.set(model.id, model.parent);
        const slots = slotsOf.get(model.id);
        if (slots) slots.push(slot);
        else slotsOf.set(model.id, [slot]);
        entries.set(model.id, mergeModel(entries.get(model.id), model));
      }
    }
    this.#informed = this.#known.size > 0;
    this.#ready = toCandidates(ready);
    for (const [id, slots] of slotsOf) this.#byModel.set(id, toCandidates(slots));
    this.#merged = [...entries.values()].sort((a, b) => a.id < b.id ? -1 : 1).slice(0, this.#modelsMax)
      .map((model) => ({ ...model, endpoints: slotsOf.get(model.id)!.length }));
  }
}

function toCandidates(slots: number[]): Candidates {
  return { slots: Uint16Array.from(slots), count: slots.length };
}

/** What endpoints say of one model: the shortest context any of them has, the first word on everything else. */
function mergeModel(before: ServedModel | undefined, next: ServedModel): ServedModel {
  if (!before) return next;
  const lengths = [before.maxModelLen, next.maxModelLen].filter((n) => n !== undefined);
  return {
    id: next.id,
    parent: before.parent ?? next.parent,
    created: before.created ?? next.created,
    ownedBy: before.ownedBy ?? next.ownedBy,
    maxModelLen: lengths.length > 0 ? Math.min(...lengths) : undefined,
  };
}
