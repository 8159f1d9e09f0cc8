import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { Line } from "./line.ts";
import { comesFirst } from "./ordering.ts";
import { type FlowAsk, Waiting } from "./types.ts";

Deno.test("Line holds its requests in their order, whichever come and go", () => {
  const step = fc.record({
    kind: fc.constantFrom("add", "add late", "first", "last", "any"),
    order: fc.nat(20),
    pick: fc.nat(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
    const line = new Line();
    const known: Waiting[] = [];
    steps.forEach(({ kind, order, pick }, number) => {
      if (kind.startsWith("add")) {
        const item = new Waiting({ receivedAtMs: order } as FlowAsk, 0, number, () => {});
        item.order = kind === "add" ? order : Infinity;
        known.push(item);
        known.sort((a, b) => comesFirst(a, b) ? -1 : 1);
        line.add(item);
      } else if (known.length > 0) {
        const at = kind === "first" ? 0 : kind === "last" ? known.length - 1 : pick % known.length;
        line.remove(known.splice(at, 1)[0]);
      }
      deepStrictEqual([...line].map(({ number }) => number), known.map(({ number }) => number));
      if (known.length > 0) deepStrictEqual([line.first, line.last], [known[0], known.at(-1)]);
      equal(line.size, known.length);
    });
  }));
});

Deno.test("Line keeps nothing of those that left at its front", () => {
  const line = new Line();
  for (let number = 0; number < 10_000; number++) {
    const item = new Waiting({ receivedAtMs: number } as FlowAsk, 0, number, () => {});
    item.order = number;
    line.add(item);
    if (number < 50) continue;
    line.remove(line.first);
    deepStrictEqual([line.size, line.first.number, line.last.number], [50, number - 49, number]);
  }
});
