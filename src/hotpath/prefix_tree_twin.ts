// The prefix tree in TypeScript, block by block and without a memory limit, for differential tests.

interface Block {
  readonly parent: bigint | undefined;
  confirmed: boolean;
  kids: number;
}

interface Slot {
  capacity: number;
  /** Blocks by hash, least recent first; a block is always newer than the blocks that follow it in a prompt. */
  readonly blocks: Map<bigint, Block>;
}

export class PrefixTreeTwin {
  readonly #slots: Slot[];

  constructor(readonly slots: number) {
    this.#slots = Array.from({ length: slots }, () => ({ capacity: 0, blocks: new Map() }));
  }

  match(path: BigUint64Array): Int32Array {
    return Int32Array.from(this.#slots, ({ blocks }) => {
      const miss = path.findIndex((hash) => !blocks.has(hash));
      return miss < 0 ? path.length : miss;
    });
  }

  insert(slot: number, path: BigUint64Array, confirmed: boolean): number {
    const { capacity, blocks } = this.#slots[slot];
    const n = Math.min(path.length, capacity);
    for (let i = 0; i < n; i++) {
      const parent = i > 0 ? path[i - 1] : undefined;
      const block = blocks.get(path[i]);
      if (!block) {
        blocks.set(path[i], { parent, confirmed, kids: 0 });
        if (parent !== undefined) blocks.get(parent)!.kids++;
      } else if (confirmed) block.confirmed = true;
    }
    for (let i = n - 1; i >= 0; i--) {
      const block = blocks.get(path[i])!;
      blocks.delete(path[i]);
      blocks.set(path[i], block);
    }
    this.#trim(slot);
    return n;
  }

  withdraw(slot: number, path: BigUint64Array, from: number): number {
    const { blocks } = this.#slots[slot];
    let at = this.match(path)[slot] - 1;
    const held = at;
    for (; at >= from; at--) {
      const block = blocks.get(path[at])!;
      if (block.confirmed || block.kids > 0) break;
      this.#drop(slot, path[at]);
    }
    return held - at;
  }

  clearSlot(slot: number): void {
    this.#slots[slot].blocks.clear();
  }

  setCapacity(slot: number, blocks: number): void {
    this.#slots[slot].capacity = blocks;
    this.#trim(slot);
  }

  slotBlocks(slot: number): number {
    return this.#slots[slot].blocks.size;
  }

  /** Hashes a slot holds, least recent first. */
  held(slot: number): bigint[] {
    return [...this.#slots[slot].blocks.keys()];
  }

  #trim(slot: number): void {
    const { capacity, blocks } = this.#slots[slot];
    while (blocks.size > capacity) this.#drop(slot, blocks.keys().next().value!);
  }

  #drop(slot: number, hash: bigint): void {
    const { blocks } = this.#slots[slot];
    const { parent } = blocks.get(hash)!;
    blocks.delete(hash);
    if (parent !== undefined) blocks.get(parent)!.kids--;
  }
}
