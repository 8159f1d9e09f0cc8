import { deepStrictEqual, equal, match, ok, throws } from "node:assert/strict";
import { list, positive, positiveInteger, share, UsageError } from "../../bench/lib/bench.ts";
import { Child } from "../../bench/lib/child.ts";
import { cpuSeconds } from "../../bench/lib/procfs.ts";
import { record, type Result } from "../../bench/lib/results.ts";
import { Figures, median, quantile } from "../../bench/lib/stats.ts";

Deno.test("quantile() takes the nearest rank", () => {
  const sorted = Array.from({ length: 100 }, (_, i) => i + 1);
  deepStrictEqual([0, 0.5, 0.99, 1].map((share) => quantile(sorted, share)), [1, 50, 99, 100]);
  equal(quantile([7], 0.99), 7);
  ok(Number.isNaN(quantile([], 0.5)));
});

Deno.test("median() takes the mean of the two in the middle", () => {
  equal(median([3, 1, 2]), 2);
  equal(median([4, 1, 3, 2]), 2.5);
});

Deno.test("Figures gives medians with their spread and leaves out what was not measured", () => {
  const figures = new Figures();
  for (const value of [5, 1, 3]) figures.add("a", value);
  figures.add("once", 2);
  figures.add("never", NaN);
  deepStrictEqual(figures.toRecord(), { a: 3, a_min: 1, a_max: 5, once: 2 });
});

Deno.test("flags are read by their name on the command line", () => {
  equal(positive({ goodTtft: "2.5" }, "good-ttft"), 2.5);
  deepStrictEqual(list({ policies: "a, b,," }, "policies"), ["a", "b"]);
  throws(() => positive({}, "speed"), UsageError);
  deepStrictEqual(["0", "0.05", "1"].map((text) => share({ dropEvents: text }, "drop-events")), [0, 0.05, 1]);
  for (const text of ["", "-0.1", "1.1", "all"]) throws(() => share({ dropEvents: text }, "drop-events"), UsageError);
  throws(() => positiveInteger({ rounds: "1.5" }, "rounds"), /--rounds .* whole number: current value is "1.5"/);
});

Deno.test("record() writes the JSON and replaces the section of that name only", () => {
  const folder = Deno.makeTempDirSync();
  try {
    const home = new URL(`file://${folder}/`);
    const result = (ms: number): Result => ({
      bench: "x",
      machine: { cpu: "c", cores: 2, memoryGiB: 4, os: "o", deno: "d" },
      commit: "abc",
      command: "deno task bench x",
      policies: { one: { hit_rate: ms } },
      peers: { other: { version: "1.2", rss_mb: ms } },
      figures: { ms, ms_min: 1, ms_max: 9 },
    });
    Deno.writeTextFileSync(new URL("RESULTS.md", home), "# Results\n\nWords of people.\n");
    record("x", result(5), home);
    record("y", result(6), home);
    record("x", result(7), home);
    const page = Deno.readTextFileSync(new URL("RESULTS.md", home));
    match(page, /^# Results\n\nWords of people\.\n\n<!-- x: /);
    equal(page.match(/^## /gm)!.length, 2);
    match(page, /\| peers \| version \| rss_mb \|\n[^]*\| other \| 1\.2 \| 7 \|/);
    match(page, /## x\n[^]*\| one \| 7 \|\n[^]*\| ms \| 7 \| 1 to 9 \|\n[^]*## y\n[^]*\| ms \| 6 \| 1 to 9 \|/);
    equal(JSON.parse(Deno.readTextFileSync(new URL("results/x.json", home))).figures.ms, 7);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test({
  name: "cpuSeconds() grows with the work of a process",
  ignore: Deno.build.os !== "linux",
  fn() {
    const before = cpuSeconds(Deno.pid);
    const endMs = performance.now() + 10_000;
    while (cpuSeconds(Deno.pid) - before < 0.03 && performance.now() < endMs);
    ok(cpuSeconds(Deno.pid) - before >= 0.03);
    ok(Number.isNaN(cpuSeconds(-1)));
  },
});

Deno.test("Child tells what a program said that cannot start", async () => {
  await Child.start(["bench/no_such_program.ts"], () => undefined).then(
    () => ok(false),
    (error) => match(error.message, /Cannot start bench\/no_such_program\.ts: it ended with\n[^]*no_such_program/),
  );
});
