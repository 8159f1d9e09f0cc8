/** Which KV-cache group of a hybrid model says what is cached: one that keeps every block of a prefix. */
import type { KvGroup } from "../protocol/mod.ts";

/** Kinds that keep every block. Of windows and states, a block's presence does not mean that a prefix can be reused. */
const denseKinds: ReadonlySet<string> = new Set(["full_attention", "mla_attention", "sink_full_attention"]);

/** Groups an engine may name before further ones are left out. */
const groupsMax = 64;

export type GroupSkip = "unsupported-cache-kind" | "second-group" | "unknown-group";

/** What was learned, to be kept over a restart of the reader. */
export interface GroupCatalogState {
  readonly chosen?: number;
  readonly kinds: readonly (readonly [index: number, kind: string])[];
}

/**
 * Learns the kind of each group from its stores and chooses the first one that keeps every block. Groups share block
 * hashes, so that a second one would count each block twice. A group whose kind was never told is taken for a dense one
 * as long as it is the only one.
 */
export class GroupCatalog {
  readonly #kinds = new Map<number, string>();
  #chosen: number | undefined;

  constructor(state?: GroupCatalogState) {
    for (const [index, kind] of state?.kinds ?? []) this.#kinds.set(index, kind);
    this.#chosen = state?.chosen;
  }

  get state(): GroupCatalogState {
    return { chosen: this.#chosen, kinds: [...this.#kinds] };
  }

  forget(): void {
    this.#kinds.clear();
    this.#chosen = undefined;
  }

  /** Why a store of this group is left out; undefined when it counts. */
  store({ index, kind: told }: KvGroup): GroupSkip | undefined {
    const kind = told ?? this.#kinds.get(index) ?? "";
    if (!this.#kinds.has(index) && this.#kinds.size >= groupsMax) return "unknown-group";
    this.#kinds.set(index, kind);
    if (kind !== "" && !denseKinds.has(kind)) return "unsupported-cache-kind";
    this.#chosen ??= index;
    return this.#chosen === index ? undefined : "second-group";
  }

  /** Why a removal of this group is left out; undefined when it counts. */
  remove({ index }: KvGroup): GroupSkip | undefined {
    if (index === this.#chosen) return undefined;
    const kind = this.#kinds.get(index);
    if (kind === undefined) return "unknown-group";
    return kind === "" || denseKinds.has(kind) ? "second-group" : "unsupported-cache-kind";
  }
}
