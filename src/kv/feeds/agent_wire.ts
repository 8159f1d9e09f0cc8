/** What agents and routers agree on besides the messages: how hashes are packed, and how equal seeds are recognised. */
import { createHash } from "node:crypto";
import { FeedState, KvTier } from "../../core/mod.ts";
import type { BlockTreeApi } from "../../hotpath/mod.ts";
import { warmpathFeed } from "../../proto/mod.ts";

const { State, Tier } = warmpathFeed;

/** Wire number by `FeedState`, and by `KvTier`. */
export const wireState = [State.BLIND, State.RESYNC, State.SUSPECT, State.LIVE] as const;
export const wireTier = [Tier.GPU, Tier.CPU, Tier.DISK, Tier.SHARED] as const;

/** A state this release does not know counts as SUSPECT. */
export function feedStateOf(state: number): FeedState {
  const known = wireState.indexOf(state);
  return known < 0 ? FeedState.Suspect : known as FeedState;
}

/** Undefined for a tier this release does not know. */
export function tierOf(tier: number): KvTier | undefined {
  const known = wireTier.indexOf(tier);
  return known < 0 ? undefined : known as KvTier;
}

const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

/** 8 bytes a hash, little-endian; a copy. */
export function packHashes(hashes: BigUint64Array): Uint8Array {
  if (littleEndian) return new Uint8Array(hashes.slice().buffer);
  const view = new DataView(new ArrayBuffer(hashes.length * 8));
  hashes.forEach((hash, i) => view.setBigUint64(i * 8, hash, true));
  return new Uint8Array(view.buffer);
}

/** The reverse of `packHashes`; undefined when the bytes are not whole hashes. */
export function unpackHashes(bytes: Uint8Array): BigUint64Array | undefined {
  if (bytes.length % 8 !== 0) return undefined;
  // The bytes lie anywhere in a message: a copy aligns them.
  if (littleEndian) return new BigUint64Array(bytes.slice().buffer);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return BigUint64Array.from({ length: bytes.length / 8 }, (_, i) => view.getBigUint64(i * 8, true));
}

/** The number that stands for `prefix.hashSeed`, the same in every process: 0 for "", else the beginning of its SHA-256. */
export function hashSeedOf(text: string): bigint {
  return text === "" ? 0n : createHash("sha256").update(text).digest().readBigUInt64LE(0);
}

const checkTokens = Uint32Array.from({ length: 16 }, (_, i) => 0x57_61_72_6d + i);

/** Chained hash of fixed tokens: two trees give equal values when their seeds and their hash functions are equal. */
export function seedCheck(tree: Pick<BlockTreeApi, "chain">): bigint {
  return tree.chain({ tokens: checkTokens, blockTokens: checkTokens.length, lora: "" })[0];
}
