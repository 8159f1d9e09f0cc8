import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { type PromptBlocks } from "../core/mod.ts";
import { Hotpath } from "../hotpath/mod.ts";
import { ApproximateIndex, type ApproximateIndexOptions, type Ticket } from "./mod.ts";

const slots = 3;
const bytes = 1 << 20;
const hotpath = await Hotpath.load(
  { endpoints: slots, prefixTreeBytes: bytes, bodyBytesMax: 64, prefixTokensMax: 16_384 },
  1,
);

/** An empty index; the tree's memory is shared by all tests. */
function emptyIndex(options: Partial<ApproximateIndexOptions> = {}): ApproximateIndex {
  hotpath.prefixTree.init(bytes);
  return new ApproximateIndex(hotpath.prefixTree, { blockTokens: 16, ...options });
}

/** A prompt whose blocks are the characters of `text`. */
function prompt(text: string): PromptBlocks {
  const canonical = new TextEncoder().encode([...text].map((char) => char.repeat(64)).join(""));
  return { hashes: hotpath.hashPrompt(canonical, { model: "m", salt: "", blockTokens: 16 }), blockTokens: 16 };
}

const held = (index: ApproximateIndex, text: string) => [...index.match(prompt(text)).blocks];

Deno.test("match() gives the blocks each slot holds, of how many, and their size", () => {
  const index = emptyIndex();
  index.speculate(1, prompt("abcd"), 0).confirm();
  const { blocks, total, blockTokens } = index.match(prompt("abcx"));
  deepStrictEqual([[...blocks], total, blockTokens], [[0, 3, 0], 4, 16]);
  deepStrictEqual([...index.match(prompt("")).blocks], [0, 0, 0]);
});

Deno.test("speculate() is seen by the next match and withdraw() takes it back", () => {
  const index = emptyIndex();
  const ticket = index.speculate(0, prompt("abcd"), 0);
  deepStrictEqual(held(index, "abcd"), [4, 0, 0]);
  ticket.withdraw();
  deepStrictEqual(held(index, "abcd"), [0, 0, 0]);
  equal(index.stats().openTickets, 0);
  equal(index.stats().bytesUsed, 0);
});

Deno.test("withdraw() keeps what others confirmed or still claim", () => {
  const index = emptyIndex();
  index.speculate(0, prompt("ab"), 0).confirm();
  const longer = index.speculate(0, prompt("abcdef"), 0);
  const shorter = index.speculate(0, prompt("abcd"), 0);
  longer.withdraw();
  deepStrictEqual(held(index, "abcdef"), [4, 0, 0]);
  shorter.withdraw();
  deepStrictEqual(held(index, "abcdef"), [2, 0, 0]);
});

Deno.test("a ticket is resolved once: what comes after does nothing", () => {
  const index = emptyIndex();
  const confirmed = index.speculate(0, prompt("abcd"), 0);
  confirmed.confirm();
  confirmed.withdraw();
  deepStrictEqual(held(index, "abcd"), [4, 0, 0]);
  const withdrawn = index.speculate(1, prompt("abcd"), 0);
  withdrawn.withdraw();
  withdrawn.confirm();
  deepStrictEqual(held(index, "abcd"), [4, 0, 0]);
});

Deno.test("a ticket never resolved loses its claim by age; a late confirm() still counts", () => {
  const index = emptyIndex({ ticketTtlMs: 1000 });
  const late = index.speculate(0, prompt("abcd"), 0);
  index.speculate(1, prompt("abcd"), 500);
  index.expire(1200);
  deepStrictEqual(held(index, "abcd"), [0, 4, 0]);
  deepStrictEqual([index.stats().openTickets, index.stats().expiredTickets], [1, 1]);
  late.confirm();
  deepStrictEqual(held(index, "abcd"), [4, 4, 0]);
  index.speculate(2, prompt("x"), 9000);
  deepStrictEqual(held(index, "abcd"), [4, 0, 0], "speculate() expires as well");
});

Deno.test("open tickets are bounded: the oldest loses its claim", () => {
  const index = emptyIndex({ ticketsMax: 2 });
  for (const text of ["abc", "def", "ghi"]) index.speculate(0, prompt(text), 0);
  deepStrictEqual(["abc", "def", "ghi"].map((text) => held(index, text)[0]), [0, 3, 3]);
  equal(index.stats().openTickets, 2);
});

Deno.test("clear() empties a slot and voids its tickets, expired ones too", () => {
  const index = emptyIndex({ ticketTtlMs: 1000 });
  const expired = index.speculate(0, prompt("old"), 0);
  const open = index.speculate(0, prompt("abcd"), 900);
  index.expire(1000);
  index.speculate(0, prompt("done"), 950).confirm();
  index.clear(0);
  open.confirm();
  expired.confirm();
  deepStrictEqual(["old", "abcd", "done"].map((text) => held(index, text)[0]), [0, 0, 0]);
  equal(index.stats().openTickets, 0);
  const successor = index.speculate(0, prompt("abcd"), 1000);
  open.withdraw();
  deepStrictEqual(held(index, "abcd"), [4, 0, 0], "a void ticket does not touch the newcomer's blocks");
  successor.confirm();
});

Deno.test("setCapacity() converts engine blocks to the router's and falls back to the default", () => {
  const index = emptyIndex({ blockTokens: 64, capacityBlocks: 5 });
  const long = "abcdefghijklmnop";
  const kept = () => {
    index.clear(0);
    index.speculate(0, prompt(long), 0).confirm();
    return index.slotBlocks(0);
  };
  equal(kept(), 5, "unknown from the start");
  index.setCapacity(0, 40, 16);
  equal(kept(), 10, "640 tokens in blocks of 64");
  index.setCapacity(0, 0, 16);
  equal(kept(), 5);
  index.setCapacity(0, 1, 16);
  equal(kept(), 0, "a cache smaller than one block holds none");
  index.setCapacity(0, 1e12, 1e6);
  equal(kept(), 16);
});

/** What the header says, block by block: held is what is confirmed or claimed by an open ticket. */
class Model {
  readonly confirmed = new Set<string>();
  readonly open = new Map<number, string>();

  heldBlocks(text: string): number {
    const has = (prefix: string) =>
      this.confirmed.has(prefix) || [...this.open.values()].some((claimed) => claimed.startsWith(prefix));
    let n = 0;
    while (n < text.length && has(text.slice(0, n + 1))) n++;
    return n;
  }

  confirm(text: string): void {
    for (let n = 1; n <= text.length; n++) this.confirmed.add(text.slice(0, n));
  }
}

const text = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 12 });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("speculate" as const), slot: fc.nat(slots - 1), text }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("confirm" as const), ticket: fc.nat(100) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("withdraw" as const), ticket: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), slot: fc.nat(slots - 1) }) },
);

Deno.test("after any order of tickets a slot holds exactly what is confirmed or claimed", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const index = emptyIndex();
      const models = Array.from({ length: slots }, () => new Model());
      const tickets: { ticket: Ticket; slot: number; text: string }[] = [];
      for (const step of steps) {
        if (step.kind === "speculate") {
          models[step.slot].open.set(tickets.length, step.text);
          tickets.push({ ticket: index.speculate(step.slot, prompt(step.text), 0), slot: step.slot, text: step.text });
        } else if (step.kind === "clear") {
          models[step.slot] = new Model();
          index.clear(step.slot);
        } else if (tickets.length > 0) {
          const id = step.ticket % tickets.length;
          const { ticket, slot, text } = tickets[id];
          ticket[step.kind]();
          // A ticket that is resolved, or void by a clear, is no longer in the model.
          if (models[slot].open.delete(id) && step.kind === "confirm") models[slot].confirm(text);
        }
        for (const { text } of tickets) {
          deepStrictEqual(held(index, text), models.map((model) => model.heldBlocks(text)));
        }
      }
      for (const { ticket } of tickets) ticket.withdraw();
      const confirmed = models.reduce((sum, model) => sum + model.confirmed.size, 0);
      equal(index.stats().pairs, confirmed, "nothing speculative outlives its tickets");
      equal(index.stats().openTickets, 0);
    }),
    { seed: 6, numRuns: 400 },
  );
});

Deno.test("a thousand open tickets of one burst resolve in any order without a trace", () => {
  const index = emptyIndex();
  const burst = Array.from({ length: 1000 }, (_, i) => index.speculate(0, prompt("shared" + (i % 10)), i));
  burst.forEach((ticket, i) => {
    if (i < 999) ticket.withdraw();
    if (i < 990) equal(held(index, "shared")[0], 6);
  });
  ok(index.stats().pairs > 0);
  burst[999].withdraw();
  equal(index.stats().bytesUsed, 0);
});
