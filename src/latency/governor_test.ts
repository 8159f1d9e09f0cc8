import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { Prng, sleep } from "../core/mod.ts";
import { columnOf, columns, modelColumns } from "./features.ts";
import { ForestError, type MadeForest } from "./forest_shop.ts";
import { Governor, type GovernorOptions, type Verdict } from "./governor.ts";
import { type TestForest, testRow, TestWorld } from "./latency_testing.ts";
import { ForestKind, High, Median, Model, Prior } from "./state.ts";

const noise = 0.2;
const at = columnOf.get("prefix_cache_score")!;
/** ln(actual ÷ prior) of a row: what no prior knows. */
const truth = (row: ArrayLike<number>) => 1.2 * row[at] - 0.6;
const spread = 1.2816 * noise;

const forests: Readonly<Record<string, TestForest>> = {
  perfect: { sums: (row) => [truth(row), truth(row) + spread] },
  "another perfect": { sums: (row) => [truth(row), truth(row) + spread] },
  better: { sums: (row) => [0.7 * truth(row), 0.7 * truth(row) + 0.4] },
  worse: { sums: (row) => [-truth(row), -truth(row) + 0.3] },
  milliseconds: {
    kind: ForestKind.LogMilliseconds,
    baseMargin: Math.log(100),
    sums: (row) => [truth(row), truth(row) + spread],
  },
  "no number": { sums: () => [NaN, NaN] },
  "too large": { kind: ForestKind.LogMilliseconds, baseMargin: 5, sums: (row) => [truth(row), truth(row) + spread] },
};

function bed(options: Partial<GovernorOptions> = {}, labels = 400) {
  const verdicts: Verdict[] = [], failures: unknown[] = [], sources: string[] = [];
  const world = new TestWorld({
    learnerObserver: { sourceChanged: (target, source) => sources.push(`${target} ${source}`) },
  });
  for (const [name, forest] of Object.entries(forests)) world.forests.known.set(name, forest);
  const governor = new Governor({
    learner: world.learner,
    state: world.state,
    forests: world.forests,
    shop: world.shop,
    clock: world.clock,
    options: {
      quantile: 0.9,
      training: true,
      intervalMs: 10_000,
      labelsMin: 200,
      trees: 20,
      depth: 4,
      learningRate: 0.2,
      seed: 7,
      ...options,
    },
    observer: {
      judged: (verdict) => verdicts.push(verdict),
      failed: (target, cause) => failures.push([target, cause]),
    },
  });
  const rng = new Prng(5);
  let row = 0;
  const label = (count: number) => {
    for (let i = 0; i < count; i++) {
      const known = testRow({ prefix_cache_score: rng.float(), sample_age_ms: row++, effective_input_tokens: 1000 });
      world.label({ ms: 100 * Math.exp(truth(known) + rng.normal(0, noise)), row: known });
    }
  };
  label(labels);
  /** Everything a decision reads of models. */
  const inForce = () => [
    world.forests.version(0),
    world.state.source(0),
    world.state.kind(0),
    world.state.offset(0, Model, Median),
    world.state.offset(0, Model, High),
    governor.champion(0)?.file,
  ];
  const round = async (forest: string) => {
    world.shop.next = () => forest;
    await governor.round();
  };
  return { ...world, world, governor, verdicts, failures, sources, label, inForce, round };
}

const name = (file: Uint8Array | undefined) => file && new TextDecoder().decode(file);

/** Lets promises go on as far as they can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}

Deno.test("where the median is the high prediction, one quantile is asked for: no trainer takes one twice", async () => {
  const { governor, world } = bed({ quantile: 0.5 });
  await governor.round();
  deepStrictEqual(world.shop.jobs[0].parameters.quantiles, [0.5]);
});

Deno.test("a job asks for the target's columns, quantiles and signs, and for a verdict on what was held back", async () => {
  const { shop, round, learner } = bed();
  await round("perfect");
  const [{ target, set, parameters, heldBack }] = shop.jobs;
  equal(target, "ttft");
  deepStrictEqual(set.featureNames, modelColumns.ttft.map(([name]) => name));
  deepStrictEqual([set.columns.length, set.featureTypes.length], [set.featureNames.length, set.featureNames.length]);
  deepStrictEqual([set.labels.length, set.margins.length, set.weights.length], [set.rows, set.rows, set.rows]);
  equal(Math.max(...set.margins.map(Math.abs)), 0, "what is learned begins at the prior");
  deepStrictEqual(parameters, {
    quantiles: [0.5, 0.9],
    trees: 20,
    depth: 4,
    learningRate: 0.2,
    monotone: modelColumns.ttft.map(([, sign]) => sign),
    seed: 7,
    rowSample: 0.8,
    columnSample: 0.8,
    minChildWeight: 20,
    gamma: 0.2,
    l1: 0.01,
    l2: 0.1,
    bins: 256,
  });
  equal(heldBack.length, columns.length);
  equal(heldBack[0].length, learner.heldBack(0).length);
  equal(heldBack[0].length + set.rows, 400);
  equal(shop.jobs.length, 1, "of the other target nothing is known");
});

Deno.test("a challenger that is better than the prior on the newer labels predicts from then on, calibrated", async () => {
  const { round, governor, verdicts, state, sources, clock, label, learner } = bed();
  clock.advance(77);
  await round("better");
  equal(verdicts.length, 1);
  const [{ target, promoted, challenger, prior, champion, coverage, rows }] = verdicts;
  deepStrictEqual([target, promoted, champion, rows], ["ttft", true, NaN, learner.reservoir(0).size]);
  ok(challenger < prior, `${challenger}, ${prior}`);
  ok(Math.abs(coverage - 0.9) <= 0.1);
  deepStrictEqual([name(governor.champion(0)?.file), governor.champion(0)?.sinceMs], ["better", 77]);
  equal(governor.verdict(0), verdicts[0]);
  deepStrictEqual([state.source(0), state.kind(0), sources], [Model, ForestKind.Residual, ["ttft model"]]);
  // What it was told too much of is taken off: 0.4 − 1.28 × what is left of the noise.
  ok(state.offset(0, Model, High) < 0.1, `${state.offset(0, Model, High)}`);

  label(100);
  await round("perfect");
  ok(verdicts[1].promoted && verdicts[1].challenger < verdicts[1].champion);
  equal(name(governor.champion(0)?.file), "perfect");
  deepStrictEqual(sources, ["ttft model"], "a model predicted before, too");
});

Deno.test("a challenger that is worse than the prior or the champion, or no number, changes nothing", async () => {
  const { round, verdicts, inForce, label } = bed();
  await round("better");
  const before = inForce();
  for (const forest of ["worse", "better", "no number"]) {
    label(100);
    await round(forest);
    equal(verdicts.at(-1)!.promoted, false, forest);
    // The corrections of the champion go on learning.
    deepStrictEqual(inForce().slice(0, 4).concat(inForce().slice(6)), before.slice(0, 4).concat(before.slice(6)));
  }
  equal(verdicts.length, 4);
});

Deno.test("a challenger that is worse than the prior is not taken though there is no champion", async () => {
  const { round, verdicts, inForce } = bed();
  const before = inForce();
  await round("worse");
  equal(verdicts[0].promoted, false);
  ok(verdicts[0].challenger > verdicts[0].prior);
  deepStrictEqual(inForce(), before);
});

Deno.test("a challenger is calibrated by the older half of what was held back, and judged by the newer half alone", async () => {
  const { round, verdicts, inForce, learner, world } = bed();
  const number = columnOf.get("sample_age_ms")!;
  const held = learner.heldBack(0);
  const middle = held[held.length >> 1].row[number];
  const before = inForce();
  // Off by +2 on the older ones, by −2 on the newer ones: calibrated, it is off by 4.
  const off = (row: readonly number[]) => truth(row) + (row[number] < middle ? 2 : -2);
  world.forests.known.set("bent", { sums: (row) => [off(row), off(row) + spread] });
  await round("bent");
  const [{ promoted, challenger, coverage }] = verdicts;
  deepStrictEqual([promoted, coverage], [false, 0]);
  // (0.5 × 4 + 0.9 × (4 − the spread)) / 2, but for the spread.
  ok(challenger > 2.5 && challenger < 3, `${challenger}`);
  deepStrictEqual(inForce(), before);
});

Deno.test("a challenger of less loss whose coverage is off is not believed", async () => {
  const { round, verdicts, forests: published, learner } = bed();
  const rows = learner.heldBack(0).map(({ row }) => row[columnOf.get("sample_age_ms")!]);
  const middle = rows[rows.length >> 1];
  published.known.set("narrow", {
    // Its high quantile is right for the rows it is calibrated by, and the median for those it is judged by.
    sums: (row) => [truth(row), truth(row) + (row[columnOf.get("sample_age_ms")!] < middle ? 0.26 : 0.05)],
  });
  await round("narrow");
  const [{ promoted, challenger, prior, coverage }] = verdicts;
  ok(challenger < prior && coverage < 0.8, `${challenger}, ${prior}, ${coverage}`);
  equal(promoted, false);
});

Deno.test("a forest of logarithms of milliseconds is promoted as one", async () => {
  const { round, verdicts, state } = bed();
  await round("milliseconds");
  equal(verdicts[0].promoted, true);
  equal(state.kind(0), ForestKind.LogMilliseconds);
});

Deno.test("a shop that fails is told of, and nothing changes; so is a forest that finds no room", async () => {
  const { round, failures, inForce, label, shop, governor, sources, verdicts } = bed();
  await round("better");
  const before = inForce(), told = sources.length, judged = verdicts.length;
  label(100);
  shop.next = () => Promise.reject(new ForestError("out of memory"));
  const calibrated = () => inForce().slice(0, 4).concat(inForce().slice(6));
  await governor.round();
  deepStrictEqual(failures, [["ttft", new ForestError("out of memory")]]);
  label(100);
  await round("too large");
  equal(failures.length, 2);
  ok((failures[1] as [string, unknown])[1] instanceof ForestError);
  deepStrictEqual(calibrated(), before.slice(0, 4).concat(before.slice(6)));
  deepStrictEqual([sources.length, verdicts.length], [told, judged]);
  await rejects(governor.adopt(0, new TextEncoder().encode("too large")), ForestError);
  await rejects(governor.adopt(0, new TextEncoder().encode("nobody's")), ForestError);
  deepStrictEqual(calibrated(), before.slice(0, 4).concat(before.slice(6)));
});

Deno.test("a file that is adopted predicts at once, its high quantile as far above as the prior's", async () => {
  const { governor, state, sources, forests: published } = bed({}, 30);
  const high = state.offset(0, Prior, High);
  await governor.adopt(0, new TextEncoder().encode("milliseconds"));
  equal(name(governor.champion(0)?.file), "milliseconds");
  deepStrictEqual([state.source(0), state.kind(0), published.version(0)], [Model, ForestKind.LogMilliseconds, 1]);
  deepStrictEqual([state.offset(0, Model, Median), state.offset(0, Model, High)], [0, high]);
  deepStrictEqual(sources, ["ttft model"]);
});

Deno.test("no model is trained before there are labels enough, nor again without new ones", async () => {
  const { governor, shop, label } = bed({}, 199);
  shop.next = () => "worse";
  await governor.round();
  equal(shop.jobs.length, 0);
  label(1);
  await governor.round();
  equal(shop.jobs.length, 1);
  await governor.round();
  label(40);
  await governor.round();
  equal(shop.jobs.length, 1);
  label(25);
  await governor.round();
  equal(shop.jobs.length, 2);
});

Deno.test("what failed is not tried again without new labels", async () => {
  const { governor, shop, failures } = bed();
  shop.next = () => Promise.reject(new ForestError("no"));
  await governor.round();
  await governor.round();
  deepStrictEqual([shop.jobs.length, failures.length], [1, 1]);
});

Deno.test("trainings are an interval apart, and nineteen times as long as the last one took", async () => {
  const { governor, shop, label, clock } = bed();
  const begun: number[] = [];
  let takes = 100;
  shop.next = async () => {
    begun.push(clock.now());
    await sleep(clock, takes);
    return "worse";
  };
  governor.start();
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      await settle();
    }
    label(100);
  };
  await pass(9_900);
  deepStrictEqual(begun, []);
  await pass(200);
  deepStrictEqual(begun, [10_000]);
  await pass(10_000);
  takes = 2_000;
  await pass(10_000);
  deepStrictEqual(begun, [10_000, 20_100, 30_200].slice(0, begun.length));
  await pass(12_000);
  const before = begun.length, last = begun.at(-1)!;
  await pass(60_000);
  ok(begun.length > before);
  // 2 s of training, 38 s of rest.
  equal(begun[before] - last, 40_000);
  await governor.stop();
});

Deno.test("without training nothing is trained, and stop() ends a training under way and what would follow", async () => {
  const off = bed({ training: false });
  off.governor.start();
  off.clock.advance(100_000);
  await settle();
  equal(off.shop.jobs.length, 0);
  await off.governor.stop();

  const { governor, shop, clock, verdicts, failures, inForce } = bed();
  const before = inForce();
  let signal: AbortSignal | undefined;
  const trained = Promise.withResolvers<string>();
  shop.next = (_job, given) => {
    signal = given;
    return trained.promise;
  };
  governor.start();
  clock.advance(10_000);
  await settle();
  equal(signal?.aborted, false);
  await governor.stop();
  deepStrictEqual([signal?.aborted, shop.stopped], [true, true]);
  trained.resolve("perfect");
  await settle();
  clock.advance(1e6);
  await settle();
  deepStrictEqual([verdicts.length, failures.length, shop.jobs.length, inForce()], [0, 0, 1, before]);
});

Deno.test("a round that is stopped goes on with neither target", async () => {
  const { governor, shop, world, round, label } = bed();
  const both = (count: number) => {
    label(count);
    for (let i = 0; i < count; i++) world.label({ target: 1, ms: 10 });
  };
  both(400);
  const stopped = async (asked: () => Promise<unknown>) => {
    const under = asked();
    await governor.stop();
    await under;
  };
  await round("perfect");
  equal(shop.jobs.length, 2, "one of each");
  both(100);
  // While the champion is read.
  await stopped(() => governor.round());
  equal(shop.jobs.length, 2);
});

Deno.test("a training that fails as it is stopped is not told of", async () => {
  const { governor, shop, failures } = bed();
  shop.next = (_job, signal) => new Promise((_, reject) => signal.onabort = () => reject(new ForestError("stopped")));
  const round = governor.round();
  await settle();
  await governor.stop();
  await round;
  deepStrictEqual(failures, []);
});

Deno.test("a verdict needs what was predicted for every row: a shop that gives fewer promotes nothing", async () => {
  const { governor, shop, inForce, verdicts } = bed();
  const before = inForce();
  const train = shop.train.bind(shop);
  shop.next = () => "perfect";
  shop.train = async (job, signal): Promise<MadeForest> => {
    const made = await train(job, signal);
    return { ...made, sums: [made.sums[0].slice(1), made.sums[1].slice(1)] };
  };
  await governor.round();
  equal(verdicts[0].promoted, false);
  deepStrictEqual(inForce(), before);
});
