import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { sleep, systemClock } from "../core/mod.ts";
import { Logger } from "../telemetry/mod.ts";
import { LatencyFiles } from "./latency_files.ts";
import { type LatencyBed, latencyBed, testSetup } from "./latency_fixture.ts";
import type { LatencySetup } from "./scheduling.ts";

const golden = (path: string) => fileURLToPath(new URL(`../../tests/golden/${path}`, import.meta.url));
/** It has llm-d's columns. */
const model = golden("training/models/mean.json");

const intervalMs = 30_000;

interface Life extends LatencyBed {
  readonly files: LatencyFiles;
  /** Lines of the log, without their times. */
  readonly lines: Record<string, unknown>[];
}

/** One life of a router that keeps its snapshot in `file`. */
async function life(file?: string, part: Partial<LatencySetup> = {}, endpoints = 2): Promise<Life> {
  const setup = testSetup({ snapshot: { file, intervalMs }, ...part });
  const bed = await latencyBed({ setup, endpoints, policy: "random" });
  const { desk, state, table, clock } = bed;
  const lines: Record<string, unknown>[] = [];
  const write = (line: string) => {
    const { time: _, ...rest } = JSON.parse(line);
    lines.push(rest);
  };
  const log = new Logger({ write, clock });
  const { learner, governor } = desk;
  const files = new LatencyFiles(desk, { learner, governor, state, table, clock }, setup, log);
  return { ...bed, files, lines };
}

/** A folder for the files of one test. */
async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "warmpath-latency-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Waits for a file that is written beside the test. */
async function written(path: string): Promise<void> {
  while (!await exists(path)) await sleep(systemClock, 1);
}

const sourceOf = ({ desk }: Life) => desk.explain(0).targets.ttft.source;

/** How long 1,000 tokens take at each endpoint, its own deviation from the formula included. */
function paces({ desk }: Life): Map<string, number> {
  return new Map(
    desk.explain(0).endpoints.map(({ endpoint, prior, bias }) =>
      [endpoint, prior.ttft.msPer1000Tokens * bias.ttft.prior] as const
    ),
  );
}

/** Few labels are taken over as fewer. */
function alike(actual: Life, expected: Life): void {
  const all = paces(expected), found = paces(actual);
  deepStrictEqual([...found.keys()], [...all.keys()]);
  for (const [endpoint, ms] of found) ok(Math.abs(Math.log(ms / all.get(endpoint)!)) < 0.25, `${endpoint}: ${ms}`);
}

Deno.test("what one life learned predicts in the next: endpoints, forests and rows to train on", () =>
  withFolder(async (folder) => {
    const file = `${folder}/learned.bin`;
    const first = await life(file);
    await first.files.begin();
    first.serve(400);
    await first.desk.governor.round();
    equal(sourceOf(first), "model");
    await first.files.keep();
    first.files.stop();
    deepStrictEqual(first.lines, []);
    deepStrictEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["learned.bin"]);
    equal((await Deno.stat(file)).mode! & 0o777, 0o600);

    const second = await life(file, {}, 1);
    await second.files.begin();
    second.files.stop();
    deepStrictEqual(second.lines, [{ level: "info", message: "What was learned of latencies is read", file }]);
    second.add(2);
    alike(second, first);
    equal(sourceOf(second), "model");
    ok(second.hotpath.forests.version(0) > 0);
    const { reservoir, heldBack } = first.desk.explain(0).targets.ttft;
    equal(second.desk.explain(0).targets.ttft.reservoir.rows, reservoir.rows + heldBack);
    // As much as it knows, it need not learn again.
    second.serve(60);
    const { mape } = second.desk.explain(0).targets.ttft.scores.told;
    ok(mape! < 0.25, `${mape}`);
  }));

Deno.test("the snapshot is written from time to time, one write after the other, until it is stopped", () =>
  withFolder(async (folder) => {
    const file = `${folder}/learned.bin`;
    const { files, clock, serve, lines } = await life(file);
    await files.begin();
    serve(20);
    clock.advance(intervalMs - clock.now() - 1);
    // What was asked for before is done when this is.
    await files.keep();
    await Deno.remove(file);
    clock.advance(1);
    await written(file);
    // Those asked for at once end with a whole file.
    await Promise.all([files.keep(), files.keep(), files.keep()]);
    const next = await life(file);
    await next.files.begin();
    next.files.stop();
    deepStrictEqual(next.lines.map(({ level }) => level), ["info"]);

    await Deno.remove(file);
    clock.advance(intervalMs);
    await written(file);
    // One is under way as it stops.
    clock.advance(intervalMs);
    files.stop();
    await files.keep();
    await Deno.remove(file);
    clock.advance(10 * intervalMs);
    equal(clock.step(), false, "nothing is timed any more");
    deepStrictEqual(lines, []);
  }));

Deno.test("where no file is named nothing is written or read", async () => {
  const { files, lines, clock } = await life();
  await files.begin();
  await files.keep();
  equal(clock.step(), false);
  deepStrictEqual(lines, []);
});

Deno.test("a file that cannot be written is told of, and serving goes on", () =>
  withFolder(async (folder) => {
    const file = `${folder}/missing/learned.bin`;
    const { files, lines } = await life(file);
    await files.begin();
    await files.keep();
    files.stop();
    const [{ level, message, cause }] = lines;
    deepStrictEqual([lines.length, level, message], [1, "error", "Cannot write what was learned of latencies"]);
    ok(/No such file/.test(String(cause)), `${cause}`);
  }));

Deno.test("a snapshot that cannot be used is told of and left, and what is configured predicts", () =>
  withFolder(async (folder) => {
    const file = `${folder}/learned.bin`;
    const first = await life(file);
    first.serve(30);
    await first.files.keep();
    const bytes = await Deno.readFile(file);
    const unusable: readonly (readonly [string, () => Promise<void>, RegExp])[] = [
      ["no snapshot", () => Deno.writeTextFile(file, "{}"), /it is none/],
      ["damaged", () => Deno.writeFile(file, bytes.with(bytes.length - 9, bytes.at(-9)! ^ 1)), /it is damaged/],
      ["cut short", () => Deno.writeFile(file, bytes.subarray(0, bytes.length - 1)), /it is damaged/],
      ["too large", () => Deno.truncate(file, 257 << 20), /it has 269484032 bytes, 268435456 at most are read/],
    ];
    for (const [name, spoil, cause] of unusable) {
      await spoil();
      const next = await life(file, { seedModel: { ttft: model } });
      await next.files.begin();
      next.files.stop();
      deepStrictEqual(next.lines.map(({ level, message }) => [level, message]), [
        ["warn", "Cannot use what was learned of latencies"],
        ["info", "A model predicts latency from a file"],
      ], name);
      ok(cause.test(String(next.lines[0].cause)), `${name}: ${next.lines[0].cause}`);
      equal(sourceOf(next), "model");
    }
  }));

Deno.test("a configured model predicts where the last life had none, and else what that one had", () =>
  withFolder(async (folder) => {
    const file = `${folder}/learned.bin`;
    const seed = { seedModel: { ttft: model } };
    const bytesOf = ({ desk }: Life) => desk.explain(0).targets.ttft.champion?.bytes;
    // A first start: there is no snapshot.
    const first = await life(file, seed);
    await first.files.begin();
    first.files.stop();
    deepStrictEqual(first.lines, [
      { level: "info", message: "A model predicts latency from a file", target: "ttft", file: model },
    ]);
    deepStrictEqual([bytesOf(first), first.hotpath.forests.version(1)], [(await Deno.stat(model)).size, 0]);

    // The prior alone was learned.
    const plain = await life(file);
    plain.serve(30);
    await plain.files.keep();
    const seeded = await life(file, seed);
    await seeded.files.begin();
    seeded.files.stop();
    equal(bytesOf(seeded), bytesOf(first));
    alike(seeded, plain);

    seeded.serve(400);
    await seeded.desk.governor.round();
    ok(bytesOf(seeded) !== bytesOf(first), "a better one was trained");
    await seeded.files.keep();
    const last = await life(file, { seedModel: { ttft: `${folder}/missing.json` } });
    await last.files.begin();
    last.files.stop();
    equal(bytesOf(last), bytesOf(seeded));
  }));

Deno.test("a configured model that cannot be used keeps the router from starting, and its key is named", () =>
  withFolder(async (folder) => {
    const long = `${folder}/long.json`;
    await Deno.writeTextFile(long, "{");
    await Deno.truncate(long, (32 << 20) + 1);
    const cases: readonly (readonly [path: string, cause: RegExp])[] = [
      [`${folder}/missing.json`, /No such file/],
      [long, /it has 33554433 bytes, 33554432 at most are read/],
      [golden("xgboost/3.4.1/pickled.pkl"), /model/],
      [golden("xgboost/3.4.1/dictionary.json"), /a feature that is not known: waiting/],
      [golden("training/models/binary-logistic.json"), /a model of objective binary:logistic/],
    ];
    for (const [path, cause] of cases) {
      const { files, lines } = await life(undefined, { seedModel: { tpot: path } });
      await rejects(files.begin(), (error: Error) => {
        ok(
          error.message.startsWith(
            `${path}: latency.seedModel.tpot: must be a model file in XGBoost's JSON or UBJSON: `,
          ),
        );
        return error.name === "ConfigError" && cause.test(error.message);
      });
      deepStrictEqual(lines, []);
    }
  }));
