import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { type KvTier, VirtualClock } from "../core/mod.ts";
import { unpackHashes } from "../kv/mod.ts";
import type { warmpathFeed } from "../proto/mod.ts";
import { DeltaLog, type DeltaLogOptions } from "./delta_log.ts";

/** A log in virtual time. */
class Desk {
  readonly clock = new VirtualClock();
  written = 0;
  readonly log: DeltaLog;

  constructor(options: Partial<DeltaLogOptions> = {}) {
    this.log = new DeltaLog(this.clock, () => this.written++, options);
  }

  come(...hashes: number[]): void {
    this.log.changed(0, BigUint64Array.from(hashes, BigInt), true);
  }

  go(...hashes: number[]): void {
    this.log.changed(0, BigUint64Array.from(hashes, BigInt), false);
  }

  /** `tier+hash` came, `tier-hash` went. */
  delta(seq: number): string[] {
    const message = this.log.read(seq)!.message;
    ok(message.case === "delta");
    const { cleared, held, released } = message.value;
    const list = (sign: string, blocks: warmpathFeed.Blocks[]) =>
      blocks.flatMap(({ tier, hashes }) => [...unpackHashes(hashes)!].map((hash) => `${tier}${sign}${hash}`));
    return [...cleared ? ["cleared"] : [], ...list("-", released), ...list("+", held)];
  }
}

Deno.test("DeltaLog writes the first changes at once and gathers what follows within 5 ms", async () => {
  const desk = new Desk();
  desk.come(1);
  desk.come(2);
  equal(desk.log.seq, 0);
  await Promise.resolve();
  deepStrictEqual(desk.delta(1), ["0+1", "0+2"]);
  desk.come(3);
  await Promise.resolve();
  desk.clock.advance(4.9);
  desk.go(1);
  equal(desk.log.seq, 1);
  desk.clock.advance(0.2);
  deepStrictEqual(desk.delta(2), ["0-1", "0+3"]);
  equal(desk.written, 2);
  desk.clock.advance(5);
  desk.come(4);
  await Promise.resolve();
  equal(desk.log.seq, 3);
});

Deno.test("DeltaLog leaves out what came and went between two deltas", () => {
  const desk = new Desk();
  desk.come(1, 2);
  desk.log.flush();
  desk.come(3);
  desk.go(3);
  desk.go(1);
  desk.come(1);
  desk.log.flush();
  equal(desk.log.seq, 1);
  desk.go(2);
  desk.log.flush();
  deepStrictEqual(desk.delta(2), ["0-2"]);
});

Deno.test("DeltaLog tells a clear before what came after it, and nothing of before", () => {
  const desk = new Desk();
  desk.come(1, 2);
  desk.log.cleared();
  desk.come(3);
  desk.log.flush();
  deepStrictEqual(desk.delta(1), ["cleared", "0+3"]);
});

Deno.test("DeltaLog spreads many changes over deltas of a bounded size", () => {
  const desk = new Desk({ deltaHashesMax: 3 });
  desk.come(1, 2);
  desk.log.flush();
  desk.go(1, 2);
  desk.come(3, 4, 5, 6);
  desk.log.changed(1, BigUint64Array.of(3n), true);
  desk.log.flush();
  deepStrictEqual([2, 3, 4].map((seq) => desk.delta(seq)), [["0-1", "0-2", "0+3"], ["0+4", "0+5", "0+6"], ["1+3"]]);
  equal(desk.written, 2);
});

Deno.test("DeltaLog keeps a bounded number of deltas and of bytes", () => {
  const few = new Desk({ deltasMax: 3 });
  for (let i = 0; i < 10; i++) {
    few.come(i);
    few.log.flush();
  }
  deepStrictEqual([few.log.oldestSeq, few.log.seq, few.log.read(7)], [8, 10, undefined]);
  const small = new Desk({ bytesMax: 10_000 });
  for (let i = 0; i < 50; i++) {
    small.come(...Array.from({ length: 100 }, (_, j) => i * 100 + j));
    small.log.flush();
    ok(small.log.bytes <= 10_000);
  }
  equal(small.log.seq - small.log.oldestSeq + 1, 9);
});

Deno.test("invalidate() makes every position a reader may have too old", () => {
  const desk = new Desk();
  desk.come(1);
  desk.log.flush();
  desk.come(2);
  desk.log.invalidate();
  desk.clock.advance(10);
  deepStrictEqual([desk.log.oldestSeq, desk.log.seq, desk.log.bytes], [3, 2, 0]);
});

Deno.test("close() writes nothing any more", () => {
  const desk = new Desk();
  desk.come(1);
  desk.log.flush();
  desk.come(2);
  desk.log.close();
  desk.come(3);
  desk.clock.advance(100);
  equal(desk.log.seq, 1);
});

Deno.test("deltas from any kept position lead to the cache's state", () => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.tuple(fc.constant("flip"), fc.nat(1), fc.array(fc.nat(30), { maxLength: 8 })) },
    { weight: 2, arbitrary: fc.tuple(fc.constant("flush"), fc.constant(0), fc.constant([])) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("clear"), fc.constant(0), fc.constant([])) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 5 }), (steps, deltaHashesMax) => {
      const desk = new Desk({ deltaHashesMax });
      const cache = new Set<string>();
      /** Position and state after each flush: where a reader may stand. */
      const stands: [seq: number, state: string[]][] = [[0, []]];
      const flush = () => {
        desk.log.flush();
        stands.push([desk.log.seq, [...cache]]);
      };
      for (const [kind, tier, hashes] of steps) {
        if (kind === "flush") flush();
        else if (kind === "clear") {
          cache.clear();
          desk.log.cleared();
        } else for (const hash of new Set(hashes)) flip(desk, cache, tier as KvTier, hash);
      }
      flush();
      for (const [from, state] of stands) {
        const read = new Set(state);
        for (let seq = from + 1; seq <= desk.log.seq; seq++) apply(read, desk.delta(seq));
        deepStrictEqual([...read].sort(), [...cache].sort());
      }
    }),
    { seed: 5, numRuns: 300 },
  );
});

function flip(desk: Desk, cache: Set<string>, tier: KvTier, hash: number): void {
  const key = `${tier}+${hash}`;
  const present = !cache.delete(key);
  if (present) cache.add(key);
  desk.log.changed(tier, BigUint64Array.of(BigInt(hash)), present);
}

function apply(read: Set<string>, delta: readonly string[]): void {
  for (const change of delta) {
    if (change === "cleared") read.clear();
    else if (change.includes("+")) read.add(change);
    else read.delete(change.replace("-", "+"));
  }
}
