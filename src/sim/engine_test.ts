import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { Engine } from "./engine.ts";
import type { EngineEvent, EngineOptions, EngineRequest } from "./engine_types.ts";
import { promptFromTokens } from "./prompt.ts";

/** A prompt of `tokens` tokens; prompts of one family share their longest common prefix. */
function request(tokens: number, outputTokens: number, family = 0, more: Partial<EngineRequest> = {}): EngineRequest {
  const ids = Uint32Array.from({ length: tokens }, (_, i) => family * 1_000_003 + i);
  return { prompt: promptFromTokens(ids, { blockSize: 16, adapter: more.adapter }), outputTokens, ...more };
}

/** Runs until idle, waking exactly when the engine asks. */
function drain(engine: Engine, fromMs = 0): EngineEvent[] {
  const events: EngineEvent[] = [];
  for (let wake = engine.wakeMs(); wake !== undefined; wake = engine.wakeMs()) {
    fromMs = Math.max(wake, fromMs);
    events.push(...engine.advance(fromMs));
  }
  return events;
}

function near(actual: number, expected: number): void {
  ok(Math.abs(actual - expected) < 1e-6, `${actual} is not ${expected}`);
}

const finishes = (events: EngineEvent[]) => events.filter((event) => event.kind === "finish");

Deno.test("advance() times one request as base, per-request and prefill cost, then decode steps", () => {
  const engine = new Engine();
  const one = request(100, 3, 0, { everyToken: true });
  ok(engine.submit(one, 10));
  const events = drain(engine);
  // Prefill: 6 + 0.35 + 100 / 8 = 18.85 ms; a decode step: 6.35 ms.
  deepStrictEqual(events.map((event) => event.kind), ["token", "token", "token", "finish"]);
  near(events[0].atMs, 28.85);
  near(events[1].atMs, 35.2);
  near(events[2].atMs, 41.55);
  const [end] = finishes(events);
  equal(end.times.arrivedMs, 10);
  equal(end.times.scheduledMs, 10);
  near(end.times.firstTokenMs, 28.85);
  near(end.times.finishedMs, 41.55);
  equal(engine.metrics().generationTokens, 3);
  equal(engine.metrics().kvUsage, 0);
});

Deno.test("advance() computes a long prompt in chunks of the token budget, decodes first", () => {
  const engine = new Engine();
  const short = request(8, 10, 1, { everyToken: true });
  const long = request(5000, 1, 2);
  engine.submit(short, 0);
  engine.submit(long, 1);
  const events = drain(engine);
  // Step 1: 6.35 + 1 = 7.35. Then chunks of 2047, 2047 and 906 tokens beside the decode: 6.7 + tokens / 8.
  const shortAt = events.filter((event) => event.request === short && event.kind === "token").map((e) => e.atMs);
  near(shortAt[0], 7.35);
  near(shortAt[1], 7.35 + 6.7 + 2047 / 8);
  near(shortAt[2], 7.35 + 2 * (6.7 + 2047 / 8));
  near(shortAt[3], 7.35 + 2 * (6.7 + 2047 / 8) + 6.7 + 906 / 8);
  near(shortAt[4], shortAt[3] + 6.35);
  near(finishes(events).find((event) => event.request === long)!.atMs, shortAt[3]);
});

Deno.test("advance() charges attention by token pairs and by context read", () => {
  const cost = {
    stepBaseMs: 1,
    stepPerRequestMs: 0,
    prefillTokensPerS: 1000,
    prefillAttentionNs: 1000,
    decodeAttentionNs: 10_000,
  };
  const engine = new Engine({ cost, maxBatchedTokens: 60 });
  engine.submit(request(100, 3, 0, { everyToken: true }), 0);
  const at = drain(engine).filter((event) => event.kind === "token").map((event) => event.atMs);
  // Chunks of 60 and 40: pairs 60·61/2 = 1830 and 40·60 + 40·41/2 = 3220, at 1 µs each.
  near(at[0], 1 + 60 + 1.83 + 1 + 40 + 3.22);
  near(at[1] - at[0], 1 + 1.01);
  near(at[2] - at[1], 1 + 1.02);
});

Deno.test("submit() at the instant a step would begin joins that step", () => {
  const engine = new Engine();
  engine.submit(request(80, 1, 1), 5);
  engine.submit(request(80, 1, 2), 5);
  const events = finishes(drain(engine));
  near(events[0].atMs, 5 + 6 + 0.7 + 160 / 8);
  near(events[1].atMs, events[0].atMs);
});

Deno.test("the prefix cache spares all full blocks but the one of the last token", () => {
  const engine = new Engine();
  engine.submit(request(64, 1), 0);
  drain(engine);
  engine.submit(request(64, 1), 1000);
  engine.submit(request(70, 1), 2000);
  const [again, longer] = finishes(drain(engine));
  equal(again.times.cachedTokens, 48);
  near(again.atMs, 1000 + 6.35 + 16 / 8);
  equal(longer.times.cachedTokens, 64);
  near(longer.atMs, 2000 + 6.35 + 6 / 8);
  const { prefixHits, prefixQueries, cachedBlocks } = engine.metrics();
  equal(prefixHits, 112);
  equal(prefixQueries, 198);
  equal(cachedBlocks, 4);
});

Deno.test("the prefix cache serves blocks that the same step computes", () => {
  const engine = new Engine();
  engine.submit(request(64, 1), 0);
  engine.submit(request(80, 1), 0);
  const [, second] = finishes(drain(engine));
  equal(second.times.cachedTokens, 64);
});

Deno.test("the prefix cache keeps adapters apart", () => {
  const engine = new Engine({ maxLoras: 2 });
  for (const adapter of [undefined, "a", "b", "a"]) engine.submit(request(64, 1, 0, { adapter }), 0);
  deepStrictEqual(finishes(drain(engine)).map((event) => event.times.cachedTokens), [0, 0, 0, 48]);
});

Deno.test("the prefix cache loses the least recently used chain, its end first", () => {
  const engine = new Engine({ cacheBlocks: 10 });
  engine.submit(request(64, 1, 1), 0);
  engine.submit(request(64, 1, 2), 100);
  // 2 blocks were never used and 8 hold chains 1 and 2: a chain of 5 takes the 2 and the last 3 of chain 1.
  engine.submit(request(80, 1, 3), 200);
  engine.submit(request(64, 1, 1), 300);
  // Chain 1 found its first block and took 3 others: the last 3 of chain 2.
  engine.submit(request(64, 1, 2), 400);
  deepStrictEqual(finishes(drain(engine)).map((event) => event.times.cachedTokens), [0, 0, 0, 16, 16]);
});

Deno.test("advance() never evicts blocks of running requests: the next one waits for room", () => {
  const engine = new Engine({ cacheBlocks: 8 });
  const holder = request(80, 20, 1);
  const late = request(64, 1, 2);
  engine.submit(holder, 0);
  engine.submit(late, 1);
  engine.advance(30);
  equal(engine.metrics().waiting, 1);
  equal(engine.metrics().running, 1);
  const [first, second] = finishes(drain(engine));
  equal(first.request, holder);
  equal(second.times.scheduledMs, first.atMs);
});

Deno.test("advance() preempts the youngest request when blocks run out and recomputes it later", () => {
  const engine = new Engine({ cacheBlocks: 8 });
  const old = request(48, 33, 1);
  const young = request(48, 33, 2);
  engine.submit(old, 0);
  engine.submit(young, 0);
  const events = drain(engine);
  const ends = finishes(events);
  deepStrictEqual(ends.map((event) => event.request), [old, young]);
  equal(ends[0].times.preemptions, 0);
  equal(ends[1].times.preemptions, 1);
  equal(events.filter((event) => event.kind === "token" && event.request === young).length, 1);
  const { preemptions, generationTokens, kvUsage } = engine.metrics();
  deepStrictEqual({ preemptions, generationTokens, kvUsage }, { preemptions: 1, generationTokens: 66, kvUsage: 0 });
});

Deno.test("advance() runs no more adapters at once than maxLoras and passes others over", () => {
  const engine = new Engine({ maxLoras: 1 });
  const a = request(16, 5, 1, { adapter: "a" });
  const b = request(16, 1, 2, { adapter: "b" });
  const base = request(16, 1, 3);
  for (const each of [a, b, base]) engine.submit(each, 0);
  engine.advance(1);
  deepStrictEqual(engine.metrics().runningAdapters, ["a"]);
  deepStrictEqual(engine.metrics().waitingAdapters, ["b"]);
  deepStrictEqual(finishes(drain(engine)).map((event) => event.request), [base, a, b]);
});

Deno.test("advance() runs at most maxRunning requests, first come first served", () => {
  const engine = new Engine({ maxRunning: 2 });
  const all = [1, 2, 3, 4].map((family) => request(16, 4, family));
  for (const each of all) engine.submit(each, 0);
  engine.advance(1);
  equal(engine.metrics().running, 2);
  equal(engine.metrics().waiting, 2);
  deepStrictEqual(finishes(drain(engine)).map((event) => event.request), all);
});

Deno.test("submit() refuses when the queue is full and throws for what can never run", () => {
  const engine = new Engine({ maxRunning: 1, maxWaiting: 1, cacheBlocks: 4 });
  ok(engine.submit(request(16, 4, 1), 0));
  engine.advance(0);
  ok(engine.submit(request(16, 4, 2), 1));
  equal(engine.submit(request(16, 4, 3), 1), false);
  throws(() => engine.submit(request(64, 2, 3), 1), /must fit in 4 blocks: current value is 5/);
  throws(() => engine.submit(request(0, 2, 3), 1), /must have a prompt/);
  throws(() => new Engine({ blockSize: 0 }), /blockSize must be a positive integer/);
  drain(engine);
});

Deno.test("state() tells what runs and what waits, as far as it has come, and when the step ends", () => {
  const engine = new Engine({ maxRunning: 1 });
  const running = request(3000, 5), waiting = request(3000, 5);
  engine.submit(running, 0);
  engine.submit(waiting, 0);
  // Steps of 6.35 ms and 2,048, then 952 tokens at 8 a millisecond; then of 6.35 ms.
  const prefill = engine.state(1);
  deepStrictEqual(prefill.running.map(({ computed, scheduled, produced }) => [computed, scheduled, produced]), [[
    0,
    2048,
    0,
  ]]);
  deepStrictEqual(prefill.waiting.map((one) => one.request), [waiting]);
  near(prefill.stepEndsMs, 6.35 + 2048 / 8);
  const decode = engine.state(2 * 6.35 + 3000 / 8 + 1);
  deepStrictEqual(decode.running.map(({ computed, produced }) => [computed, produced]), [[3000, 1]]);
  near(decode.running[0].firstTokenMs, 2 * 6.35 + 3000 / 8);
  // Full blocks of the prompt; the last token is always computed.
  equal(engine.cachedTokens(waiting.prompt), 2992);
  equal(engine.cachedTokens(request(3000, 5, 1).prompt), 0);
});

Deno.test("abort() frees blocks and place at once, and the request is not heard of again", () => {
  const engine = new Engine({ maxRunning: 1 });
  const running = request(100, 50, 1);
  const waiting = request(100, 50, 2);
  engine.submit(running, 0);
  engine.submit(waiting, 0);
  engine.advance(30);
  ok(engine.abort(running, 30));
  equal(engine.metrics().kvUsage, 0);
  equal(engine.metrics().running, 0);
  ok(engine.abort(waiting, 30));
  equal(engine.abort(waiting, 31), false);
  deepStrictEqual(drain(engine, 31), []);
  equal(engine.metrics().aborted, 2);
  equal(engine.wakeMs(), undefined);
});

Deno.test("slowDown() multiplies the steps that begin later", () => {
  const engine = new Engine();
  engine.submit(request(8, 3, 0, { everyToken: true }), 0);
  engine.advance(0);
  engine.slowDown(10, 1);
  const at = drain(engine).filter((event) => event.kind === "token").map((event) => event.atMs);
  near(at[0], 7.35);
  near(at[1], 7.35 + 63.5);
});

interface Plan {
  gapMs: number;
  family: number;
  tokens: number;
  output: number;
  abortAfterMs?: number;
  adapter?: string;
}

const plans = fc.array(
  fc.record({
    gapMs: fc.double({ min: 0, max: 40, noNaN: true }),
    family: fc.nat(3),
    tokens: fc.integer({ min: 1, max: 200 }),
    output: fc.integer({ min: 0, max: 40 }),
    abortAfterMs: fc.option(fc.double({ min: 0, max: 300, noNaN: true }), { nil: undefined }),
    adapter: fc.option(fc.constantFrom("a", "b", "c"), { nil: undefined }),
  }),
  { minLength: 1, maxLength: 40 },
);

const tight: Partial<EngineOptions> = { cacheBlocks: 24, maxRunning: 6, maxBatchedTokens: 64, maxLoras: 2 };

/** Plays `plan`; between its calls, `wakes` decides when else the engine is advanced. */
function play(plan: Plan[], everyToken: boolean, wakes: (engine: Engine, untilMs: number) => EngineEvent[]) {
  const engine = new Engine(tight);
  const log: string[] = [];
  const ids = new Map<EngineRequest, number>();
  const actions: { atMs: number; run: (atMs: number) => void }[] = [];
  let at = 0;
  plan.forEach((each, id) => {
    at += each.gapMs;
    const own = request(each.tokens, each.output, each.family, { adapter: each.adapter, everyToken });
    ids.set(own, id);
    actions.push({ atMs: at, run: (atMs) => ok(engine.submit(own, atMs)) });
    if (each.abortAfterMs !== undefined) {
      actions.push({
        atMs: at + each.abortAfterMs,
        run: (atMs) => void (engine.abort(own, atMs) && log.push(`${id} aborted`)),
      });
    }
  });
  const note = (events: readonly EngineEvent[]) => {
    for (const event of events) {
      if (event.kind === "finish") log.push(`${ids.get(event.request)} ended ${JSON.stringify(event.times)}`);
    }
  };
  actions.sort((a, b) => a.atMs - b.atMs);
  for (const action of actions) {
    note(wakes(engine, action.atMs));
    action.run(action.atMs);
    const { running, kvUsage } = engine.metrics();
    ok(running <= 6 && kvUsage <= 1);
  }
  note(wakes(engine, Infinity));
  return { engine, log: log.sort() };
}

/** Wakes when asked, and only strictly before `untilMs`, as calls of the same instant come first. */
function exactly(engine: Engine, untilMs: number): EngineEvent[] {
  const events: EngineEvent[] = [];
  for (let wake = engine.wakeMs(); wake !== undefined && wake < untilMs; wake = engine.wakeMs()) {
    events.push(...engine.advance(wake));
  }
  return events;
}

Deno.test("every submitted request ends exactly once and all blocks are free at the end", () => {
  fc.assert(fc.property(plans, fc.boolean(), (plan, everyToken) => {
    const { engine, log } = play(plan, everyToken, exactly);
    const ends = log.map((line) => Number(line.split(" ")[0]));
    deepStrictEqual(ends.sort((a, b) => a - b), plan.map((_, i) => i));
    const { running, waiting, kvUsage, finished, aborted, runningAdapters } = engine.metrics();
    deepStrictEqual({ running, waiting, kvUsage, runningAdapters }, {
      running: 0,
      waiting: 0,
      kvUsage: 0,
      runningAdapters: [],
    });
    equal(finished + aborted, plan.length);
    equal(engine.wakeMs(), undefined);
  }));
});

Deno.test("results are the same step by step, as runs of steps, and with a driver that wakes late or for nothing", () => {
  fc.assert(fc.property(plans, fc.nat(), (plan, seed) => {
    const prng = new Prng(seed);
    const sloppily = (engine: Engine, untilMs: number) => {
      const events: EngineEvent[] = [];
      for (let wake = engine.wakeMs(); wake !== undefined && wake < untilMs; wake = engine.wakeMs()) {
        const at = wake + prng.float() * 30 - 10;
        if (at >= untilMs) break;
        events.push(...engine.advance(Math.max(0, at)));
      }
      return events;
    };
    const expected = play(plan, true, exactly).log;
    deepStrictEqual(play(plan, false, exactly).log, expected);
    deepStrictEqual(play(plan, false, sloppily).log, expected);
  }));
});
