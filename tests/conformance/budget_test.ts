/** Bounds generous enough for a busy machine and tight enough that a change of complexity breaks them. */
import { equal, ok } from "node:assert/strict";
import { benchRouter, prepareNow } from "../../bench/lib/router.ts";
import { systemClock, VirtualClock } from "../../src/core/mod.ts";
import type { Inbound } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";

const encoder = new TextEncoder();
const { signal } = new AbortController();
const headers = new Headers({ "content-type": "application/json" });

function chat(id: string, content: string): Inbound {
  const body = encoder.encode(JSON.stringify({ model: "bench", messages: [{ role: "user", content }] }));
  const path = "/v1/chat/completions";
  return { id, api: "chat", method: "POST", path, headers, body, errorShape: "openai", signal, receivedAtMs: 0 };
}

const sizes = { bodyBytesMax: 1 << 20, cacheBlocks: 8192, cacheBlockTokens: 16, seed: 1 };

for (const policy of ["default", "llm-d"] as const) {
  Deno.test(`the ${policy} policy decides over 100 endpoints for a prompt of 32 kB in half a millisecond`, async () => {
    const plan = planFromPolicy(policy);
    const router = await benchRouter({ ...sizes, clock: systemClock, endpoints: 100, plan, blockTreeBytes: 16 << 20 });
    const text = "And then the ship went on and met another ship. ".repeat(700).slice(0, 32_000);
    // 40 conversations that begin alike: matches of every length at many endpoints.
    const requests = Array.from(
      { length: 40 },
      (_, i) => chat(`r${i}`, `${text.slice(0, i * 800)} ${i} ${text.slice(i * 800)}`),
    );
    const tookMs: number[] = [];
    for (let i = 0; i < 1000; i++) {
      const from = performance.now();
      const { view } = prepareNow(requests[i % requests.length], router.parts);
      const { reservation, ticket } = router.dispatch.place(view, []);
      tookMs.push(performance.now() - from);
      ticket!.confirm();
      reservation.release();
    }
    const warm = tookMs.slice(200).sort((a, b) => a - b);
    const medianMs = warm[warm.length >> 1];
    ok(medianMs < 0.5, `median ${medianMs.toFixed(3)} ms`);
  });
}

Deno.test("200,000 distinct prompts leave memory as it was", async () => {
  const clock = new VirtualClock();
  const plan = planFromPolicy("default");
  const router = await benchRouter({ ...sizes, clock, endpoints: 8, plan, blockTreeBytes: 2 << 20 });
  const { caches, parts, table, dispatch } = router;
  const { memory } = parts.hotpath.instance;
  const pages = memory.buffer.byteLength;
  const tail = "word ".repeat(300);
  const pass = (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const { view } = prepareNow(chat(`r${i}`, `${i} ${tail}`), parts);
      const { reservation, ticket } = dispatch.place(view, []);
      if (i % 10 === 0) ticket!.withdraw();
      else ticket!.confirm();
      reservation.release();
      clock.advance(1);
    }
    // Of this isolate: the process may run other tests meanwhile.
    const { heapUsed, external } = Deno.memoryUsage();
    return { usedMiB: (heapUsed + external) / 2 ** 20, ...caches.stats() };
  };
  // By then the tree is full and gives up the oldest for the newest.
  const full = pass(0, 50_000);
  const after = pass(50_000, 200_000);
  const report = JSON.stringify({ full, after });
  ok(full.evicted + full.trimmed > 0, report);
  ok(after.bytesUsed <= after.bytesMax && after.bytesMax <= 2 << 20, report);
  ok(after.blocks <= full.blocks * 1.1 && after.blocks > 0, report);
  equal(after.openTickets, 0);
  equal(memory.buffer.byteLength, pages);
  // The 150,000 bodies of the second part alone are 240 MB.
  ok(after.usedMiB - full.usedMiB < 150, report);
  for (let slot = 0; slot < 8; slot++) {
    equal(table.requests[slot] + table.prefillTokens[slot] + table.decodeTokens[slot], 0);
  }
});
