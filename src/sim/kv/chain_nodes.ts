/** Block size, digest length and the room to begin with. */
export interface ChainNodeSizes {
  readonly blockSize: number;
  readonly digestBytes: number;
}

const noNode = -1;

/**
 * Blocks of all chains that matter, each with its parent: a slab of columns, so that a hundred thousand blocks cost their
 * tokens and digests and little more. A node lives while something refers to it; a node refers to its parent.
 */
export class ChainNodes {
  readonly #sizes: ChainNodeSizes;
  #tokens: Uint32Array;
  #digests: Uint8Array;
  #key: Float64Array;
  /** Parent, or -1; of a free node the next free one. */
  #parent: Int32Array;
  #refs: Int32Array;
  #index: Int32Array;
  readonly #ofKey = new Map<number, number>();
  #used = 0;
  #free = noNode;

  constructor(sizes: ChainNodeSizes) {
    this.#sizes = sizes;
    const room = 256;
    this.#tokens = new Uint32Array(room * sizes.blockSize);
    this.#digests = new Uint8Array(room * sizes.digestBytes);
    this.#key = new Float64Array(room);
    this.#parent = new Int32Array(room);
    this.#refs = new Int32Array(room);
    this.#index = new Int32Array(room);
  }

  /** Nodes there are. */
  get size(): number {
    return this.#ofKey.size;
  }

  /** The node of a block's key, or -1. */
  find(key: number): number {
    return this.#ofKey.get(key) ?? noNode;
  }

  /** A new node under `key`, with a digest to be written and no reference to it yet. */
  add(key: number, parent: number): number {
    const node = this.#free !== noNode ? this.#free : this.#used++;
    if (node === this.#free) this.#free = this.#parent[node];
    if (node === this.#key.length) this.#growTo(node * 2);
    this.#key[node] = key;
    this.#parent[node] = parent;
    this.#refs[node] = 0;
    this.#index[node] = parent === noNode ? 0 : this.#index[parent] + 1;
    if (parent !== noNode) this.#refs[parent]++;
    this.#ofKey.set(key, node);
    return node;
  }

  hold(node: number): void {
    this.#refs[node]++;
  }

  /** One reference less; frees the node and every ancestor that nothing refers to any more, telling each. */
  release(node: number, freed: (node: number) => void): void {
    this.#refs[node]--;
    while (node !== noNode && this.#refs[node] === 0) {
      const parent = this.#parent[node];
      freed(node);
      this.#ofKey.delete(this.#key[node]);
      this.#parent[node] = this.#free;
      this.#free = node;
      node = parent;
      if (node !== noNode) this.#refs[node]--;
    }
  }

  key(node: number): number {
    return this.#key[node];
  }

  parent(node: number): number {
    return this.#parent[node];
  }

  /** Position in its chain, from 0. */
  index(node: number): number {
    return this.#index[node];
  }

  /** The node's tokens, to read or to write before the next `add`. */
  tokens(node: number): Uint32Array {
    const { blockSize } = this.#sizes;
    return this.#tokens.subarray(node * blockSize, (node + 1) * blockSize);
  }

  /** The node's digest, to read or to write before the next `add`. */
  digest(node: number): Uint8Array {
    const { digestBytes } = this.#sizes;
    return this.#digests.subarray(node * digestBytes, (node + 1) * digestBytes);
  }

  /** Tokens and digests as they are now, to keep. */
  copy(): Pick<ChainNodes, "tokens" | "digest"> {
    const { blockSize, digestBytes } = this.#sizes;
    const tokens = this.#tokens.slice(0, this.#used * blockSize);
    const digests = this.#digests.slice(0, this.#used * digestBytes);
    return {
      tokens: (node) => tokens.subarray(node * blockSize, (node + 1) * blockSize),
      digest: (node) => digests.subarray(node * digestBytes, (node + 1) * digestBytes),
    };
  }

  /** Every node, in no order. */
  all(): Iterable<number> {
    return this.#ofKey.values();
  }

  #growTo(room: number): void {
    const grown = <A extends Int32Array | Uint32Array | Float64Array | Uint8Array>(larger: A, from: A): A => {
      larger.set(from);
      return larger;
    };
    const { blockSize, digestBytes } = this.#sizes;
    this.#tokens = grown(new Uint32Array(room * blockSize), this.#tokens);
    this.#digests = grown(new Uint8Array(room * digestBytes), this.#digests);
    this.#key = grown(new Float64Array(room), this.#key);
    this.#parent = grown(new Int32Array(room), this.#parent);
    this.#refs = grown(new Int32Array(room), this.#refs);
    this.#index = grown(new Int32Array(room), this.#index);
  }
}
