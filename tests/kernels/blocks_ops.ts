/** Random operations on block trees, applied alike to the kernel and to its twin. */
import fc from "fast-check";
import { KvTier } from "../../src/core/mod.ts";
import type { BlockTreeApi } from "../../src/hotpath/mod.ts";

export const slots = 6;
/** Slots told by engine hash, and slots told by chained hash: a feed is of one kind. */
const isDirect = (slot: number) => slot % 2 === 1;

export interface Op {
  readonly kind:
    | "store"
    | "locate"
    | "remove"
    | "hold"
    | "release"
    | "clear"
    | "doubt"
    | "trust"
    | "drop"
    | "claim"
    | "settle"
    | "forget"
    | "capacity"
    | "reap";
  readonly slot: number;
  readonly tier: KvTier;
  /** Which prompt of the few there are, and which of its blocks. */
  readonly path: number;
  readonly from: number;
  readonly count: number;
  readonly flag: boolean;
}

const weights: Record<Op["kind"], number> = {
  store: 12,
  locate: 4,
  remove: 8,
  hold: 6,
  release: 4,
  clear: 1,
  doubt: 1,
  trust: 1,
  drop: 1,
  claim: 6,
  settle: 6,
  forget: 1,
  capacity: 1,
  reap: 1,
};

export const operation: fc.Arbitrary<Op> = fc.record({
  kind: fc.oneof(
    ...Object.entries(weights).map(([kind, weight]) => ({ weight, arbitrary: fc.constant(kind as Op["kind"]) })),
  ),
  slot: fc.nat(slots - 1),
  tier: fc.constantFrom<KvTier>(KvTier.Gpu, KvTier.Gpu, KvTier.Cpu, KvTier.Disk, KvTier.Shared),
  path: fc.nat(7),
  from: fc.nat(11),
  count: fc.integer({ min: 1, max: 12 }),
  flag: fc.boolean(),
});

/** Tokens a block of a slot's engine: different ones meet in the same tree. */
const blockTokensOf = (slot: number) => slot < 4 ? 4 : 8;

/** Prompts share their first blocks by pairs and fours. */
export function promptOf(path: number): Uint32Array {
  return Uint32Array.from({ length: 96 }, (_, i) => i < 16 ? path >> 2 : i < 40 ? 10 + (path >> 1) : 20 + path * 7 + i);
}

/** An engine's own hash of a block: says nothing of the chained hash, differs by engine. */
function engineHashes(tree: BlockTreeApi, slot: number, path: number, blockTokens: number): BigUint64Array {
  return tree.chain({ tokens: promptOf(path), blockTokens, lora: "" })
    .map((hash) => BigInt.asUintN(64, hash * 3n + BigInt(slot) * 77n));
}

export function pathOf(tree: BlockTreeApi, path: number): BigUint64Array {
  return tree.chain({ tokens: promptOf(path), blockTokens: 4, lora: "" });
}

/** What the operation answers, for comparison. */
export function apply(tree: BlockTreeApi, op: Op): unknown {
  const { kind, slot, tier } = op;
  const path = pathOf(tree, op.path);
  const part = path.slice(op.from, op.from + op.count);
  switch (kind) {
    case "store":
    case "locate":
    case "remove":
      return isDirect(slot) ? undefined : byEngineHash(tree, op);
    case "hold":
      return isDirect(slot) ? tree.hold(slot, tier, part) : undefined;
    case "release":
      return isDirect(slot) ? tree.release(slot, tier, part) : undefined;
    case "clear":
      return tree.clear(slot);
    case "doubt":
      return tree.doubt(slot);
    case "trust":
      return tree.trust(slot);
    case "drop":
      return tree.dropDoubted(slot);
    case "claim":
      return tree.claim(slot, path.subarray(0, op.count + op.from));
    case "settle":
      return tree.settle(slot, path.subarray(0, op.count + op.from), op.flag);
    case "forget":
      return tree.forgetRouted(slot);
    case "capacity":
      return tree.setCapacity(slot, op.count * 3 - 3);
    case "reap":
      tree.reap(op.count);
  }
}

function byEngineHash(tree: BlockTreeApi, { kind, slot, tier, path, from, count, flag }: Op): unknown {
  const blockTokens = blockTokensOf(slot);
  const all = engineHashes(tree, slot, path, blockTokens);
  // A chain's beginning half of the time, so that later parts find their parent.
  const start = flag ? 0 : from % all.length;
  const hashes = all.slice(start, start + count);
  if (kind === "store") {
    const tokens = promptOf(path).subarray(start * blockTokens, (start + hashes.length) * blockTokens);
    const parent = start === 0 ? undefined : all[start - 1];
    const done = tree.store(slot, { tier, hashes, parent, tokens, blockTokens, lora: "" });
    return [done, [...tree.changed], parent === undefined || tree.knows(slot, parent)];
  }
  const known = kind === "locate" ? tree.locate(slot, tier, hashes) : tree.remove(slot, tier, hashes);
  return [known, [...tree.changed]];
}
