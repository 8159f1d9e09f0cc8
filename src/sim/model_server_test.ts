import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { answerTo } from "./generation.ts";
import { type Job, ModelServer } from "./model_server.ts";
import { resolveSimOptions, type SimOptions } from "./options.ts";

function make(partial: Partial<SimOptions> = {}) {
  const clock = new VirtualClock();
  return { clock, server: new ModelServer(resolveSimOptions(partial), clock) };
}

function job(tokens: number, output: number, first = 0): Job {
  const ids = Uint32Array.from({ length: tokens }, (_, i) => first + i);
  return { ids, answer: answerTo(ids, 0, 0, { tokensMax: output, mayStop: false }) };
}

Deno.test("resolve() knows the base model's names and the adapters", () => {
  const { server } = make({ servedModelNames: ["a", "b"], loraModules: [{ name: "l", path: "p" }] });
  deepStrictEqual(server.resolve(undefined), { name: "a" });
  deepStrictEqual(server.resolve("b"), { name: "b" });
  deepStrictEqual(server.resolve("l"), { name: "l", adapter: "l" });
  throws(() => server.resolve("c"), /`c` does not exist/);
});

Deno.test("start() runs simulated time at `speed`", () => {
  const { clock, server } = make({ speed: 10 });
  const ends: number[] = [];
  server.start([job(100, 2)], {}, { onEnd: () => ends.push(clock.now()) });
  while (clock.step());
  // 25.2 ms as computed in the engine's test, at ten times the pace.
  equal(ends[0].toFixed(3), "2.520");
});

Deno.test("start() spreads requests over ranks by load, and obeys a rank that is asked for", () => {
  const { clock, server } = make({ dataParallelSize: 3 });
  const running = () => server.ranks.map((rank) => rank.metrics().running + rank.metrics().waiting);
  for (let i = 0; i < 6; i++) server.start([job(16, 50, i * 100)], {}, { onEnd: () => {} });
  deepStrictEqual(running(), [2, 2, 2]);
  server.start([job(16, 50, 900)], { rank: 2 }, { onEnd: () => {} });
  clock.advance(1);
  deepStrictEqual(running(), [2, 2, 3]);
});

Deno.test("start() keeps none of a call's jobs when the queue cannot take all", () => {
  const { clock, server } = make({ maxWaitingQueueLength: 3 });
  const jobs = [1, 2, 3, 4].map((i) => job(16, 5, i * 100));
  throws(() => server.start(jobs, {}, { onEnd: () => {} }), /queue is full/);
  equal(server.ranks[0].metrics().waiting, 0);
  server.start(jobs.slice(0, 3), {}, { onEnd: () => {} });
  while (clock.step());
  equal(server.ranks[0].metrics().finished, 3);
});

Deno.test("the function start() returns aborts what has not ended, and counts it", async () => {
  const { clock, server } = make();
  const abort = server.start([job(16, 2), job(16, 1000, 500)], {}, { onEnd: () => {} });
  clock.advance(100);
  abort();
  abort();
  const { running, finished, aborted, kvUsage } = server.ranks[0].metrics();
  deepStrictEqual({ running, finished, aborted, kvUsage }, { running: 0, finished: 1, aborted: 1, kvUsage: 0 });
  const page = await server.metrics.text();
  equal(/finished_reason="abort"} (\d+)/.exec(page)?.[1], "1");
  equal(/finished_reason="length"} (\d+)/.exec(page)?.[1], "1");
});
