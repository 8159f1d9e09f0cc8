/** What one slot holds, read out of the tree part by part. */
import { type BlockTreeApi, HeldBlocks } from "../hotpath/mod.ts";

export class Gathering {
  readonly blocks = new HeldBlocks();
  readonly #tree: Pick<BlockTreeApi, "heldPart">;
  readonly #slot: number;
  #next: number | undefined = 0;

  constructor(tree: Pick<BlockTreeApi, "heldPart">, slot: number) {
    this.#tree = tree;
    this.#slot = slot;
  }

  /** Reads the next part; false when there is none. */
  step(): boolean {
    if (this.#next !== undefined) this.#next = this.#tree.heldPart(this.#slot, this.#next, this.blocks);
    return this.#next !== undefined;
  }

  /** Reads the rest at once. */
  finish(): void {
    while (this.step());
  }
}
