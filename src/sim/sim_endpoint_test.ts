import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Prng, systemClock, VirtualClock } from "../core/mod.ts";
import type { RequestTimes } from "./engine_types.ts";
import type { KvWatchOptions } from "./kv/watch_options.ts";
import { promptFromTokens, promptFromTrace } from "./prompt.ts";
import { createFleet, scaledClock, SimEndpoint } from "./sim_endpoint.ts";

const prompt = (tokens: number, family = 0) =>
  promptFromTokens(Uint32Array.from({ length: tokens }, (_, i) => family * 100_003 + i), { blockSize: 16 });

Deno.test("SimEndpoint tells first token, tokens and end in virtual time", () => {
  const clock = new VirtualClock();
  const endpoint = new SimEndpoint(clock, "a");
  const heard: string[] = [];
  endpoint.submit({ prompt: prompt(100), outputTokens: 2 }, {
    onFirstToken: (atMs) => heard.push(`first ${atMs.toFixed(2)} ${clock.now().toFixed(2)}`),
    onToken: (index, atMs) => heard.push(`token ${index} ${atMs.toFixed(2)}`),
    onFinish: (times) => heard.push(`end ${times.finishedMs.toFixed(2)}`),
  });
  while (clock.step());
  deepStrictEqual(heard, ["first 18.85 18.85", "token 0 18.85", "token 1 25.20", "end 25.20"]);
});

Deno.test("SimEndpoint.submit() works inside a callback", () => {
  const clock = new VirtualClock();
  const endpoint = new SimEndpoint(clock, "a");
  const ends: number[] = [];
  const turn = (left: number) => {
    endpoint.submit({ prompt: prompt(32), outputTokens: 1 }, {
      onFinish: (times) => {
        ends.push(times.arrivedMs);
        if (left > 1) turn(left - 1);
      },
    });
  };
  turn(4);
  while (clock.step());
  equal(ends.length, 4);
  ok(ends.every((at, i) => i === 0 || at > ends[i - 1]));
});

Deno.test("close() leaves no timer, not even that of a step under way, and the endpoint can be used again", () => {
  const clock = new VirtualClock();
  const endpoint = new SimEndpoint(clock, "a");
  const request = { prompt: prompt(1000), outputTokens: 5 };
  endpoint.submit(request, { onFinish: () => {} });
  clock.advance(1);
  endpoint.close();
  equal(clock.step(), false);
  let finished = false;
  endpoint.submit(request, { onFinish: () => finished = true });
  clock.advance(10_000);
  ok(finished);
});

Deno.test("SimHandle.abort() silences the request and frees the engine; close() ends all", () => {
  const clock = new VirtualClock();
  const endpoint = new SimEndpoint(clock, "a");
  let ends = 0;
  const handles = [1, 2, 3].map((family) =>
    endpoint.submit({ prompt: prompt(64, family), outputTokens: 100 }, { onFinish: () => ends++ })!
  );
  clock.advance(50);
  equal(endpoint.metrics().running, 3);
  handles[0].abort();
  handles[0].abort();
  equal(endpoint.metrics().running, 2);
  endpoint.close();
  equal(endpoint.metrics().running, 0);
  equal(endpoint.metrics().kvUsage, 0);
  while (clock.step());
  equal(endpoint.engine.wakeMs(), undefined);
  equal(ends, 0);
});

Deno.test("metrics() in the middle of a run of decode steps sees tokens and blocks of that moment", () => {
  const clock = new VirtualClock();
  const endpoint = new SimEndpoint(clock, "a", { cacheBlocks: 100 });
  endpoint.submit({ prompt: prompt(16), outputTokens: 100 }, { onFinish: () => {} });
  // First token at 8.35 ms, then one each 6.35 ms: at 100 ms 1 + 14 are out, 30 computed and one on its way.
  clock.advance(100);
  const { generationTokens, kvUsage, running } = endpoint.metrics();
  equal(running, 1);
  equal(generationTokens, 15);
  equal(Math.round(kvUsage * 100), 2);
});

Deno.test("createFleet() replays a trace the same way twice, with load read in between or not", () => {
  const run = (peekMs: number) => {
    const clock = new VirtualClock();
    const fleet = createFleet(clock, 3, { cacheBlocks: 600 });
    const prng = new Prng(5);
    const results: RequestTimes[] = [];
    let at = 0;
    for (let i = 0; i < 300; i++) {
      at += prng.exponential(30);
      const endpoint = fleet[prng.below(3)];
      const hashIds = [prng.below(4), prng.below(4) + 10, i + 100];
      const trace = promptFromTrace(hashIds, 1024 + 1 + prng.below(500), { blockSize: 16 });
      const outputTokens = 1 + prng.below(200);
      clock.after(
        at,
        () => endpoint.submit({ prompt: trace, outputTokens }, { onFinish: (times) => results.push(times) }),
      );
    }
    if (peekMs > 0) {
      for (let t = 0; t < at; t += peekMs) clock.after(t, () => fleet.forEach((endpoint) => endpoint.metrics()));
    }
    while (clock.step());
    for (const endpoint of fleet) equal(endpoint.metrics().kvUsage, 0);
    return results;
  };
  const results = run(0);
  equal(results.length, 300);
  ok(results.some((times) => times.cachedTokens > 0));
  deepStrictEqual(run(7.3), results);
});

Deno.test("the engine gives the same results on the system's clock as on a virtual one for the same arrivals", async () => {
  // Ten times as fast as real; what is recorded are the arrival times, which the virtual run then repeats.
  const clock = scaledClock(systemClock, 10);
  const real = new SimEndpoint(clock, "real", { cacheBlocks: 60, maxRunning: 4 });
  const results: RequestTimes[] = [];
  const prng = new Prng(11);
  const jobs = Array.from(
    { length: 30 },
    () => ({ tokens: 1 + prng.below(300), family: prng.below(3), output: 1 + prng.below(20) }),
  );
  await new Promise<void>((resolve) => {
    let sent = 0;
    const next = () => {
      const { tokens, family, output } = jobs[sent++];
      real.submit({ prompt: prompt(tokens, family), outputTokens: output }, {
        onFinish: (times) => {
          results.push(times);
          if (results.length === jobs.length) resolve();
        },
      });
      if (sent < jobs.length) clock.after(15, next);
    };
    next();
  });
  const virtualClock = new VirtualClock();
  const virtual = new SimEndpoint(virtualClock, "virtual", { cacheBlocks: 60, maxRunning: 4 });
  const again: RequestTimes[] = [];
  const arrivals = results.map((times) => times.arrivedMs).sort((a, b) => a - b);
  jobs.forEach(({ tokens, family, output }, i) =>
    virtualClock.after(
      arrivals[i],
      () =>
        void virtual.submit({ prompt: prompt(tokens, family), outputTokens: output }, {
          onFinish: (times) => again.push(times),
        }),
    )
  );
  while (virtualClock.step());
  deepStrictEqual(again, results);
});

Deno.test("a watched cache changes nothing of what its engine does", () => {
  const replay = (kv?: () => Partial<KvWatchOptions>) => {
    const clock = new VirtualClock();
    const fleet = createFleet(clock, 2, { cacheBlocks: 120 }, kv);
    const prng = new Prng(9);
    const times: RequestTimes[] = [];
    for (let i = 0; i < 150; i++) {
      clock.advance(prng.below(200));
      const hashIds = Array.from({ length: 1 + prng.below(3) }, (_, k) => prng.below(6) * 10 + k);
      const request = {
        prompt: promptFromTrace(hashIds, hashIds.length * 512 - 9, { blockSize: 16 }),
        outputTokens: 40,
      };
      fleet[i % 2].submit(request, { onFinish: (its) => times.push(its) });
    }
    while (clock.step());
    return times;
  };
  const unwatched = replay();
  equal(unwatched.length, 150);
  ok(unwatched.some(({ cachedTokens }) => cachedTokens > 0));
  let events = 0;
  deepStrictEqual(replay(() => ({ onBatch: (batch) => events += batch.events.length })), unwatched);
  ok(events > 1000);
});
