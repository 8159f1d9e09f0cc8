/** The world in which predictions are compared: that it is fair, and that what oracles foresee comes true. */
import { deepStrictEqual, equal, notDeepStrictEqual, ok } from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { Progress } from "../../bench/lib/progress.ts";
import { median } from "../../bench/lib/stats.ts";
import { slo } from "../../bench/slo.ts";
import { foresee, jobsOf } from "../../bench/slo/foresight.ts";
import { harmRule, named, oracle } from "../../bench/slo/policies.ts";
import type { FleetPolicy } from "../../bench/slo/policy.ts";
import { predicted } from "../../bench/slo/predicted.ts";
import { type Ask, workload } from "../../bench/slo/workload.ts";
import { fleetEngine, runFleet } from "../../bench/slo/world.ts";
import { latencyDefaults } from "../../src/config/mod.ts";
import { Prng, RouterError, VirtualClock } from "../../src/core/mod.ts";
import { promptFromTrace } from "../../src/sim/prompt.ts";
import { SimEndpoint } from "../../src/sim/sim_endpoint.ts";

const steps = [{ seconds: 10, perS: 8 }];
const fleet = { speeds: [1, 1, 2], engine: fleetEngine, seed: 1 };

Deno.test("what is foreseen of an engine is what it does when nothing more comes", () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 60 }), (seed, count) => {
      const rng = new Prng(seed);
      const clock = new VirtualClock();
      const endpoint = new SimEndpoint(clock, "sim", { ...fleetEngine, maxRunning: 8 });
      const times = new Map<unknown, number[]>();
      for (let i = 1; i <= count; i++) {
        clock.advance(rng.exponential(40));
        const tokens = 1 + rng.below(3000);
        const prompt = promptFromTrace([...Array(60).keys()].map((j) => i * 100 + j), tokens, { blockSize: 16 }, 64);
        const mine: number[] = [];
        times.set(prompt, mine);
        endpoint.submit({ prompt, outputTokens: 1 + rng.below(200) }, {
          onFirstToken: (atMs) => mine.push(atMs),
          onFinish: ({ finishedMs }) => mine.push(finishedMs),
        });
      }
      const { engine } = endpoint;
      const state = engine.state(clock.now());
      const { batch, queue } = jobsOf(engine, state);
      foresee(engine.options, state, batch, queue);
      while (clock.step());
      for (const { prompt, firstMs, endMs } of [...batch, ...queue]) {
        const [first, end] = times.get(prompt)!;
        ok(Math.abs(firstMs - first) < 1e-3 && Math.abs(endMs - end) < 1e-3, `${firstMs} ${first}, ${endMs} ${end}`);
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("a workload has the rate of its steps, and sessions whose prompts grow", () => {
  const asks = workload({ seed: 5, steps: [{ seconds: 100, perS: 5 }, { seconds: 100, perS: 15 }] });
  deepStrictEqual(asks, workload({ seed: 5, steps: [{ seconds: 100, perS: 5 }, { seconds: 100, perS: 15 }] }));
  notDeepStrictEqual(asks, workload({ seed: 6, steps }));
  ok(Math.abs(asks.filter(({ atMs }) => atMs < 100_000).length - 500) < 150);
  ok(Math.abs(asks.filter(({ atMs }) => atMs >= 100_000).length - 1500) < 300);
  ok(asks.every(({ atMs }, i) => i === 0 || atMs >= asks[i - 1].atMs));
  const turns = asks.filter(({ kind }) => kind === "chat");
  const extended = turns.filter((turn, i) =>
    turns.slice(0, i).some(({ blockIds, promptTokens }) =>
      promptTokens < turn.promptTokens && blockIds.at(-1) === turn.blockIds[blockIds.length - 1]
    )
  );
  ok(extended.length > turns.length / 2, `${extended.length} of ${turns.length}`);
});

Deno.test("what was predicted for the chosen endpoint is kept beside what came", async () => {
  const asks = workload({ seed: 1, steps: [{ seconds: 30, perS: 2 }] });
  const outcomes = await runFleet(asks, oracle("oracle", harmRule), fleet);
  deepStrictEqual(outcomes.map(({ ask }) => ask.id), asks.map(({ id }) => id));
  // A first token comes at another time only where further requests came before it.
  const near = outcomes.filter(({ forecast, engineTtftMs }) => Math.abs(forecast!.ttftMs - engineTtftMs) < 1);
  ok(near.length > 0.7 * outcomes.length, `${near.length} of ${outcomes.length}`);
  // Nobody predicts, nothing is kept.
  ok((await runFleet(asks, named("default"), fleet)).every(({ forecast }) => forecast === undefined));
});

Deno.test("a policy that predicts learns from every answer of the run, and goes by a forest once there is one", async () => {
  const asks = workload({ seed: 1, steps: [{ seconds: 350, perS: 2 }] });
  const [prior, trained] = await Promise.all(
    [false, true].map((training) => runFleet(asks, predicted("predicted", { seed: 1, training }), fleet)),
  );
  for (const outcomes of [prior, trained]) {
    equal(outcomes.length, asks.length);
    ok(outcomes.every(({ refused, forecast }) => !refused && forecast !== undefined));
    const known = outcomes.slice(100).filter(({ ask }) => ask.stream);
    const errors = known.map(({ forecast, engineTtftMs }) => Math.abs(forecast!.ttftMs / engineTtftMs - 1));
    ok(median(errors) < 0.15, `${median(errors)}`);
    const covered = known.filter(({ forecast, engineTtftMs }) => engineTtftMs <= forecast!.ttftHighMs).length;
    ok(Math.abs(covered / known.length - 0.9) < 0.05, `${covered} of ${known.length}`);
  }
  // The same prior predicts in both until there are labels enough to train on.
  const first = prior.findIndex(({ forecast }, i) => !isDeepStrictEqual(forecast, trained[i].forecast));
  ok(first >= latencyDefaults.training.minSamples, `${first}`);
});

Deno.test("who is refused is counted and runs nowhere", async () => {
  const picky: FleetPolicy = {
    name: "picky",
    make: (world) => ({
      ...named("default").make(world),
      admit: ({ id }) => {
        if (world.ask(id).kind === "document") throw new RouterError("rejected-saturated", "Too long");
      },
    }),
  };
  const outcomes = await runFleet(workload({ seed: 2, steps }), picky, fleet);
  const isDocument = ({ ask }: { readonly ask: Ask }) => ask.kind === "document";
  ok(outcomes.some(isDocument));
  for (const outcome of outcomes) equal(outcome.refused, isDocument(outcome));
});

Deno.test("bench slo compares the policies in every scenario, the same way each time", async () => {
  const run = () =>
    slo.run({ fleet: "mixed", policies: "llm-d,oracle", seed: "1" }, { smoke: true, progress: new Progress() });
  const report = await run();
  for (const table of ["ladder", "cold", "beyond", "slowdown"]) {
    deepStrictEqual(Object.keys(report[table] as object), ["llm-d", "oracle"], table);
  }
  deepStrictEqual(Object.keys(report.accuracy as object), ["oracle"]);
  const rows = report.slo as Record<string, Record<string, number>>;
  deepStrictEqual(Object.keys(rows).slice(0, 2), ["llm-d", "llm-d, queue"]);
  for (const { goodput_rps, asked_rps, refused } of Object.values(rows)) {
    ok(goodput_rps >= 0 && goodput_rps <= asked_rps && refused >= 0 && refused <= 1);
  }
  deepStrictEqual(await run(), report);
});
