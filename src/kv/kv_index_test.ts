import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { FeedState, type PromptBlocks, VirtualClock } from "../core/mod.ts";
import { DueQueue } from "./due_queue.ts";
import { KvIndex, type KvIndexOptions, type Ticket } from "./kv_index.ts";
import { PrefixReader } from "./prefix_reader.ts";
import { emptyTree, noFeeds } from "./tree_testing.ts";

const slots = 4;

function setup({ blockTokens = 16, ...options }: Partial<KvIndexOptions> = {}) {
  const clock = new VirtualClock();
  const tree = emptyTree();
  const columns = noFeeds(slots);
  const index = new KvIndex(tree, { clock, blockTokens, columns, ...options });
  const reader = new PrefixReader(tree, columns, blockTokens);
  const prompt = (text: string): PromptBlocks => ({
    hashes: tree.chain({ tokens: Uint32Array.from(text, (char) => char.codePointAt(0)!), blockTokens: 1, lora: "" }),
    blockTokens: 1,
  });
  const held = (text: string) => [...reader.match(prompt(text)).blocks];
  const pass = (ms: number) => {
    clock.advance(ms);
    index.upkeep(clock.now());
  };
  /** The feed of a slot tells of the prompt's blocks. */
  const tell = (slot: number, text: string) => tree.hold(slot, 0, prompt(text).hashes);
  return { clock, tree, index, reader, prompt, held, pass, tell };
}

Deno.test("match() gives the blocks each slot holds, of how many, on which tiers, and their size", () => {
  const { index, reader, prompt, tree } = setup();
  index.speculate(1, prompt("abcd"), 0).confirm();
  tree.hold(2, 1, prompt("ab").hashes);
  const { blocks, tiers, total, blockTokens } = reader.match(prompt("abcx"));
  deepStrictEqual([[...blocks], total, blockTokens], [[0, 3, 2, 0], 4, 1]);
  deepStrictEqual([...tiers!], [0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
  deepStrictEqual([...reader.match(prompt("")).blocks], [0, 0, 0, 0]);
});

Deno.test("match() gives the claimed tokens that a LIVE feed has not told of, each once", () => {
  const { index, reader, prompt, tell } = setup();
  const pending = () => [...reader.match(prompt("abcdef")).pendingTokens!];
  deepStrictEqual(pending(), [-1, -1, -1, -1]);
  index.setFeedState(1, FeedState.Live);
  index.setFeedState(2, FeedState.Live);
  tell(1, "ab");
  index.speculate(1, prompt("abcdef"), 0);
  index.speculate(1, prompt("abcdxy"), 0);
  index.speculate(3, prompt("abc"), 0);
  deepStrictEqual(pending(), [-1, 6, 0, -1], "cd ef xy");
  tell(1, "abcde");
  deepStrictEqual(pending(), [-1, 3, 0, -1], "f xy");
  index.setFeedState(1, FeedState.Suspect);
  deepStrictEqual(pending(), [-1, -1, 0, -1]);
});

Deno.test("speculate() is seen by the next match and withdraw() takes it back", () => {
  const { index, prompt, held } = setup();
  const ticket = index.speculate(0, prompt("abcd"), 0);
  deepStrictEqual(held("abcd"), [4, 0, 0, 0]);
  ticket.withdraw();
  deepStrictEqual(held("abcd"), [0, 0, 0, 0]);
  deepStrictEqual([index.stats().openTickets, index.stats().pairs], [0, 0]);
});

Deno.test("withdraw() keeps what others confirmed or still claim", () => {
  const { index, prompt, held } = setup();
  index.speculate(0, prompt("ab"), 0).confirm();
  const longer = index.speculate(0, prompt("abcdef"), 0);
  const shorter = index.speculate(0, prompt("abcd"), 0);
  longer.withdraw();
  deepStrictEqual(held("abcdef"), [4, 0, 0, 0]);
  shorter.withdraw();
  deepStrictEqual(held("abcdef"), [2, 0, 0, 0]);
});

Deno.test("a ticket is resolved once: what comes after does nothing", () => {
  const { index, prompt, held } = setup();
  const confirmed = index.speculate(0, prompt("abcd"), 0);
  confirmed.confirm();
  confirmed.withdraw();
  deepStrictEqual(held("abcd"), [4, 0, 0, 0]);
  const withdrawn = index.speculate(1, prompt("abcd"), 0);
  withdrawn.withdraw();
  withdrawn.confirm();
  deepStrictEqual(held("abcd"), [4, 0, 0, 0]);
});

Deno.test("a ticket never resolved loses its claim by age; a late confirm() still counts", () => {
  const { index, prompt, held } = setup({ ticketTtlMs: 1000 });
  const late = index.speculate(0, prompt("abcd"), 0);
  index.speculate(1, prompt("abcd"), 500);
  index.expire(999);
  deepStrictEqual(held("abcd"), [4, 4, 0, 0]);
  index.expire(1200);
  deepStrictEqual(held("abcd"), [0, 4, 0, 0]);
  deepStrictEqual([index.stats().openTickets, index.stats().expiredTickets], [1, 1]);
  late.confirm();
  late.confirm();
  deepStrictEqual(held("abcd"), [4, 4, 0, 0]);
});

Deno.test("a ticket with a predicted time lives four times as long, at least 2 s", () => {
  const { index, prompt, held, pass } = setup();
  index.speculate(0, prompt("ab"), 0, { predictedMs: 10 });
  index.speculate(1, prompt("ab"), 0, { predictedMs: 1000 });
  index.speculate(2, prompt("ab"), 0);
  pass(1999);
  deepStrictEqual(held("ab"), [2, 2, 2, 0]);
  pass(1);
  deepStrictEqual(held("ab"), [0, 2, 2, 0]);
  pass(2000);
  deepStrictEqual(held("ab"), [0, 0, 2, 0]);
  pass(600_000);
  deepStrictEqual(held("ab"), [0, 0, 0, 0]);
});

Deno.test("open tickets are bounded: the oldest loses its claim", () => {
  const { index, prompt, held } = setup({ ticketsMax: 2 });
  for (const text of ["abc", "def", "ghi"]) index.speculate(0, prompt(text), 0);
  deepStrictEqual(["abc", "def", "ghi"].map((text) => held(text)[0]), [0, 3, 3]);
  equal(index.stats().openTickets, 2);
});

Deno.test("clear() empties a slot and voids its tickets, expired and confirmed ones too", () => {
  const { index, prompt, held } = setup({ ticketTtlMs: 1000 });
  const expired = index.speculate(0, prompt("old"), 0);
  const open = index.speculate(0, prompt("abcd"), 900);
  index.expire(1000);
  index.speculate(0, prompt("done"), 950).confirm();
  index.setFeedState(0, FeedState.Live);
  index.speculate(0, prompt("told"), 950).confirm();
  index.clear(0);
  index.setFeedState(0, FeedState.Suspect);
  open.confirm();
  expired.confirm();
  deepStrictEqual(["old", "abcd", "done", "told"].map((text) => held(text)[0]), [0, 0, 0, 0]);
  equal(index.stats().openTickets, 0);
  const successor = index.speculate(0, prompt("abcd"), 1000);
  open.withdraw();
  index.expire(1_000_000);
  deepStrictEqual(held("abcd"), [0, 0, 0, 0]);
  successor.confirm();
  deepStrictEqual(held("abcd"), [4, 0, 0, 0], "a void ticket does not touch the newcomer's blocks");
});

Deno.test("at a LIVE slot a confirmed claim ends after the grace, and what the feed did not tell is counted", () => {
  const { index, prompt, held, pass, tell } = setup();
  index.setFeedState(0, FeedState.Live);
  const told = index.speculate(0, prompt("abcd"), 0);
  const untold = index.speculate(0, prompt("xy"), 0);
  told.confirm();
  untold.confirm();
  tell(0, "abcd");
  pass(1900);
  deepStrictEqual([held("abcd")[0], held("xy")[0]], [4, 2]);
  pass(200);
  deepStrictEqual([held("abcd")[0], held("xy")[0]], [4, 0]);
  deepStrictEqual([index.stats().unconfirmed, index.stats().openTickets, index.slotBlocks(0)], [1, 0, 4]);
});

Deno.test("a claim confirmed at a LIVE slot is kept when the feed is no longer LIVE after the grace", () => {
  const { index, prompt, held, pass } = setup();
  index.setFeedState(0, FeedState.Live);
  index.speculate(0, prompt("ab"), 0).confirm();
  index.setFeedState(0, FeedState.Suspect);
  pass(2100);
  deepStrictEqual([held("ab")[0], index.stats().unconfirmed], [2, 0]);
});

Deno.test("hashes the engine will not tell of are kept as routing history even at a LIVE slot", () => {
  const { index, prompt, held, pass } = setup();
  index.setFeedState(0, FeedState.Live);
  index.speculate(0, prompt("ab"), 0, { exact: false }).confirm();
  pass(10_000);
  deepStrictEqual([held("ab")[0], index.stats().unconfirmed], [2, 0]);
});

Deno.test("a slot that becomes LIVE forgets its routing history and keeps open claims", () => {
  const { index, prompt, held, tell } = setup();
  index.speculate(0, prompt("ab"), 0).confirm();
  const open = index.speculate(0, prompt("xy"), 0);
  tell(0, "a");
  index.setFeedState(0, FeedState.Live);
  deepStrictEqual([held("ab")[0], held("xy")[0]], [1, 2]);
  open.withdraw();
  deepStrictEqual([held("ab")[0], held("xy")[0]], [1, 0]);
});

Deno.test("stride() is the largest engine block among the slots asked about, in steps of at least 16 tokens", () => {
  const { index, reader } = setup({ blockTokens: 64 });
  equal(reader.stride([0, 1, 2]), 64);
  index.setBlockTokens(0, 16);
  index.setBlockTokens(1, 128);
  deepStrictEqual([reader.stride([0, 1, 2]), reader.stride([0, 2]), reader.stride([2])], [
    128,
    16,
    64,
  ]);
  index.setBlockTokens(0, 1);
  index.setBlockTokens(1, 6);
  deepStrictEqual([reader.stride([0]), reader.stride([1])], [16, 18]);
  index.setBlockTokens(0, 0);
  equal(reader.stride([0]), 64);
});

Deno.test("setCapacity() converts engine blocks to the router's and falls back to the default", () => {
  const { index, prompt } = setup({ blockTokens: 64, capacityBlocks: 5 });
  const kept = (blockTokens = 64) => {
    index.clear(0);
    index.speculate(0, { ...prompt("abcdefghijklmnop"), blockTokens }, 0).confirm();
    return index.slotBlocks(0);
  };
  equal(kept(), 5, "unknown from the start");
  equal(kept(32), 10, "the same tokens in blocks half as long");
  index.setCapacity(0, 40, 16);
  equal(kept(), 10, "640 tokens in blocks of 64");
  equal(kept(128), 5, "and of 128");
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
      const { index, prompt, held } = setup();
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
          deepStrictEqual(held(text), models.map((model) => model.heldBlocks(text)));
        }
      }
      for (const { ticket } of tickets) ticket.withdraw();
      const confirmed = models.reduce((sum, model) => sum + model.confirmed.size, 0);
      equal(index.stats().pairs, confirmed, "nothing speculative outlives its tickets");
      equal(index.stats().openTickets, 0);
    }),
    { seed: 6, numRuns: 200 },
  );
});

Deno.test("a thousand open tickets of one burst resolve in any order without a trace", () => {
  const { index, prompt, held } = setup();
  const burst = Array.from({ length: 1000 }, (_, i) => index.speculate(0, prompt("shared" + (i % 10)), i));
  deepStrictEqual(held("shared3"), [7, 0, 0, 0]);
  for (let i = 0; i < 1000; i += 2) burst[i].withdraw();
  deepStrictEqual(held("shared3"), [7, 0, 0, 0]);
  deepStrictEqual(held("shared2"), [6, 0, 0, 0]);
  for (let i = 999; i > 0; i -= 2) burst[i].withdraw();
  deepStrictEqual([index.stats().openTickets, index.stats().pairs], [0, 0]);
});

Deno.test("DueQueue gives back what is due and nothing else, whatever is moved or deleted", () => {
  const change = fc.record({ item: fc.nat(9), dueMs: fc.option(fc.nat(2000), { nil: undefined }) });
  fc.assert(fc.property(fc.array(change), fc.array(fc.nat(2500)), (changes, reads) => {
    const items = Array.from({ length: 10 }, (_, i) => ({ i }));
    const queue = new DueQueue<{ i: number }>(250);
    const model = new Map<number, number>();
    for (const { item, dueMs } of changes) {
      if (dueMs === undefined) queue.delete(items[item]);
      else queue.set(items[item], dueMs);
      if (dueMs === undefined) model.delete(item);
      else model.set(item, dueMs);
    }
    for (const nowMs of reads) {
      const due = [...model].filter(([, dueMs]) => dueMs <= nowMs).map(([item]) => item).sort();
      deepStrictEqual(queue.take(nowMs).map(({ i }) => i).sort(), due);
      for (const item of due) model.delete(item);
      ok(queue.size === model.size);
    }
  }));
});
