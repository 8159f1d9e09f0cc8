import type { SimKvBatch, TrueBlock } from "./events.ts";

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * What a reader of events knows, the slow and plain way: the path of each hash and, by tier, how often it was told stored
 * more than removed. The measure the simulator's own tests hold its events against.
 */
export class NaiveIndex {
  readonly #path = new Map<string, string>();
  readonly #count = new Map<string, number>();

  apply({ events }: SimKvBatch): void {
    for (const event of events) {
      if (event.kind === "cleared") {
        this.#count.clear();
        continue;
      }
      const change = event.kind === "stored" ? 1 : -1;
      if (event.kind === "stored" && event.blockSize > 0) {
        let path = event.parent === undefined ? "" : this.#pathOf(hex(event.parent));
        event.hashes.forEach((hash, i) => {
          const tokens = event.tokens.subarray(i * event.blockSize, (i + 1) * event.blockSize);
          path += blockText(tokens, event.extras[i]);
          this.#path.set(hex(hash), path);
        });
      }
      for (const hash of event.hashes) {
        const place = `${event.tier} ${hex(hash)}`;
        const count = (this.#count.get(place) ?? 0) + change;
        if (count < 0) throw new Error(`A block was removed that was not stored: ${place}`);
        this.#count.set(place, count);
      }
    }
  }

  #pathOf(hash: string): string {
    const path = this.#path.get(hash);
    if (path === undefined) throw new Error(`The parent of a stored block was never told: ${hash}`);
    return path;
  }

  /** Tier and token path of each block that is held, in order. */
  held(): string[] {
    const places = [...this.#count].filter(([, count]) => count > 0).map(([place]) => place.split(" "));
    return places.map(([tier, hash]) => `${tier} ${this.#pathOf(hash)}`).sort();
  }
}

function blockText(tokens: ArrayLike<number>, extras: TrueBlock["extras"]): string {
  return `/${Array.from(tokens).join(",")}${JSON.stringify(extras)}`;
}

/** The same of an engine's true cache. */
export function heldIn(cache: readonly TrueBlock[]): string[] {
  const paths = new Map<TrueBlock, string>();
  for (const block of cache) {
    const before = block.parent === undefined ? "" : paths.get(block.parent)!;
    paths.set(block, before + blockText(block.tokens, block.extras));
  }
  return cache.flatMap((block) => block.tiers.map((tier) => `${tier} ${paths.get(block)}`)).sort();
}
