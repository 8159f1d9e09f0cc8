/** House rules over the whole repository. A rule that code breaks is met by changing the code, not by listing it here. */
import { deepStrictEqual, equal } from "node:assert/strict";
import { basename, join } from "node:path";
import { embeddedFiles } from "../../.ci/embedded.ts";
import { roomOf, rooms } from "../../.ci/layers.ts";
import { functionLinesMax, plugin } from "../../.ci/lint_plugin.ts";
import { exists, factsIn, filesUnder, isOurs, isTest, root, targetOf, textOf, typescriptUnder } from "./source.ts";

/** Lines a file of `src/` may have, tests apart. */
const fileLinesMax = 400;

const typescript = typescriptUnder("src", "tests", ".ci", "bench", "deploy");

function lint(path: string, text: string): string[] {
  return Deno.lint.runPlugin(plugin, join(root, path), text).map(({ id, message, range }) =>
    `${path}:${text.slice(0, range[0]).split("\n").length}: ${id}: ${message}`
  );
}

function ruleIds(path: string, text: string): string[] {
  return lint(path, text).map((line) => line.split(": ")[1].replace("house/", ""));
}

Deno.test("lint rules refuse clocks, chance, output and process outside their rooms", () => {
  const text = `Date.now(); performance.now(); new Date(); setTimeout(f, 1); globalThis.setInterval(f, 1);
    AbortSignal.timeout(5); globalThis.Date.now(); Math.random(); console.log(1); Deno.exit(1); Deno.args;`;
  deepStrictEqual(ruleIds("src/kv/x.ts", text).sort(), [
    "chance",
    ...new Array(7).fill("clock"),
    "console",
    "process",
    "process",
  ]);
  deepStrictEqual(ruleIds("src/core/clock.ts", "Date.now(); setTimeout(f, 1);"), []);
  deepStrictEqual(ruleIds("src/main.ts", "console.log(1); Deno.exit(1); Deno.args;"), []);
  deepStrictEqual(ruleIds(".ci/x.ts", text), ["chance"]);
});

Deno.test("lint rules allow what only looks alike", () => {
  const text = `clock.now(); new Date(5); "Math.random()"; logger.log(1); clock.setTimeout(f); /* Date.now() */`;
  deepStrictEqual(ruleIds("src/kv/x.ts", text), []);
});

Deno.test("lint rules refuse casts to any, default exports and long functions, with or without an ignore comment", () => {
  deepStrictEqual(ruleIds("tests/x.ts", "// deno-lint-ignore house/as-any\nconst a = b as any;"), ["as-any"]);
  deepStrictEqual(ruleIds("src/kv/x.ts", "export default 1;"), ["default-export"]);
  const body = (lines: number) => `function f() {${"\n".repeat(lines - 1)}}`;
  deepStrictEqual(ruleIds("src/kv/x.ts", body(functionLinesMax)), []);
  deepStrictEqual(ruleIds("src/kv/x.ts", body(functionLinesMax + 1)), ["function-lines"]);
  deepStrictEqual(ruleIds("src/kv/x_test.ts", body(functionLinesMax + 1)), []);
});

Deno.test("every file keeps the lint rules", () => {
  deepStrictEqual(typescript.flatMap((path) => lint(path, textOf(path))), []);
});

Deno.test("src/ has no file over the line limit", () => {
  const long = typescriptUnder("src").filter((path) => !isTest(path))
    .map((path) => ({ path, lines: textOf(path).split("\n").length - 1 }))
    .filter(({ lines }) => lines > fileLinesMax);
  deepStrictEqual(long, []);
});

/** Spelled in pieces, so that this file does not contain what it looks for. */
const bannedText: ReadonlyArray<{ pattern: RegExp; instead: string }> = [
  {
    pattern: new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`),
    instead: "do it",
  },
  {
    pattern: new RegExp(
      ["registry.npm" + "js", "deno" + "\\.land", "js" + "r\\.io", "esm" + "\\.sh", "unp" + "kg"].join("|"),
    ),
    instead: "name the package and leave the registry to the tool",
  },
  { pattern: new RegExp(`["'\`( =](/wo${"rk"}|/tm${"p"}|/ro${"ot"}|/ho${"me"})/`), instead: "use a relative path" },
];

Deno.test("every text file is free of leftover markers, registry hosts and machine paths", () => {
  const isText = (path: string) => isOurs(path) && !/\.(wasm|lock|png|jsonl)$/.test(path) && path !== "LICENSE";
  const hits = filesUnder(".", isText).flatMap((path) =>
    textOf(path).split("\n").flatMap((line, index) =>
      bannedText.filter(({ pattern }) => pattern.test(line)).map(({ instead }) =>
        `${path}:${index + 1}: ${line.trim()} (${instead})`
      )
    )
  );
  deepStrictEqual(hits, []);
});

Deno.test("every file of src/ that computes is reached by a test of its room, or of the whole program", () => {
  // Rooms that join others are tested through their doors by the tests that start the whole program.
  const joined = new Set(rooms.filter(({ layer }) => layer >= 5).map(({ name }) => name));
  const reached = new Set<string>();
  for (const { name } of rooms) {
    const tests = typescriptUnder("src").filter((path) => isTest(path) && roomOf(path)?.name === name);
    const inRoom = (path: string) => roomOf(path)?.name === name;
    for (const path of reachedFrom(tests, inRoom)) reached.add(path);
  }
  for (const path of reachedFrom(typescriptUnder("tests").filter(isTest))) {
    if (joined.has(roomOf(path)?.name ?? "")) reached.add(path);
  }
  // Entry modules run as a process or a worker of their own: tests/e2e starts them.
  const entries = ["src/main.ts", ...embeddedFiles];
  const untested = typescriptUnder("src").filter((path) =>
    !isTest(path) && !isTestSupport(path) && !entries.includes(path) && factsIn(path).functions > 0 &&
    !reached.has(path)
  );
  deepStrictEqual(untested, []);
});

/** Files that exist for tests by their name: TypeScript twins of kernels, fixtures, helpers. */
function isTestSupport(path: string): boolean {
  return /(_twin|_fixture|(^|_)testing)\.ts$/.test(basename(path));
}

/** Every file of the repository that the modules at `entries` reach through files that `follow` takes, themselves included. */
function reachedFrom(entries: readonly string[], follow: (path: string) => boolean = () => true): Set<string> {
  const reached = new Set<string>();
  const visit = (path: string) => {
    if (reached.has(path) || !path.endsWith(".ts") || !exists(path) || !follow(path)) return;
    reached.add(path);
    for (const { specifier } of factsIn(path).references) {
      const next = targetOf(path, specifier);
      if (next !== undefined) visit(next);
    }
  };
  for (const entry of entries) visit(entry);
  return reached;
}

Deno.test("every file of src/ is reached from main.ts, and every helper of tests from a test", () => {
  const files = typescriptUnder("src").filter((path) => !isTest(path));
  const fromMain = reachedFrom(["src/main.ts"]);
  const fromTests = reachedFrom(typescriptUnder("src", "tests").filter(isTest));
  deepStrictEqual(files.filter((path) => !fromMain.has(path) && !(isTestSupport(path) && fromTests.has(path))), []);
});

Deno.test("deno.json pins every package to one exact version and lets none run a script at install", () => {
  const config = JSON.parse(textOf("deno.json"));
  const imports: [string, string][] = Object.entries(config.imports);
  const loose = imports.filter(([, target]) =>
    !/^npm:(@[\w.-]+\/)?[\w.-]+@\d+\.\d+\.\d+(-[\w.]+)?(\/.*)?$/.test(target)
  );
  deepStrictEqual(loose, []);
  equal(config.allowScripts, undefined);
  equal(exists("package.json"), false);
});

Deno.test("deno.lock holds exactly the packages that deno.json names", () => {
  const imports: string[] = Object.values(JSON.parse(textOf("deno.json")).imports);
  const wanted = imports.map((target) => target.replace(/^(npm:(@[^/]+\/)?[^/]+).*/, "$1"));
  const locked: string[] = JSON.parse(textOf("deno.lock")).workspace.dependencies;
  deepStrictEqual([...locked].sort(), [...new Set(wanted)].sort());
});
