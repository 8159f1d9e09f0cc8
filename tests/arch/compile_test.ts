/** What `deno task compile` embeds, and what it says when it cannot build. */
import { deepStrictEqual, equal, match, ok, throws } from "node:assert/strict";
import { join } from "node:path";
import { compileArgs, excludedFolders, explainFailure, outputFrom } from "../../.ci/compile.ts";
import { embeddedFiles } from "../../.ci/embedded.ts";
import { exists, factsIn, isTest, root, targetOf, typescriptUnder } from "./source.ts";

Deno.test("embeddedFiles names exactly the files that src/ loads by address", () => {
  const loaded = typescriptUnder("src").filter((path) => !isTest(path)).flatMap((from) =>
    factsIn(from).references.filter(({ kind }) => kind === "url").flatMap(({ specifier }) =>
      targetOf(from, specifier) ?? []
    )
  );
  deepStrictEqual([...new Set(loaded)].sort(), [...embeddedFiles].sort());
  deepStrictEqual(embeddedFiles.filter((file) => !exists(file)), []);
});

Deno.test("outputFrom() takes --output, defaults to dist/warmpath and refuses anything else", () => {
  equal(outputFrom([]), join(root, "dist/warmpath"));
  equal(outputFrom(["--output", "/opt/warmpath"]), "/opt/warmpath");
  throws(() => outputFrom(["--output"]), TypeError);
  throws(() => outputFrom(["warmpath"]), TypeError);
});

Deno.test("compileArgs() embeds every file and grants nothing wholesale", () => {
  const args = compileArgs("/opt/warmpath", ["cache/x/test"]);
  deepStrictEqual(args.filter((_, index) => args[index - 1] === "--include"), [...embeddedFiles]);
  deepStrictEqual(args.filter((_, index) => args[index - 1] === "--exclude"), ["cache/x/test"]);
  ok(!args.includes("-A") && !args.includes("--allow-all"));
  equal(args.at(-1), "src/main.ts");
});

Deno.test("explainFailure() says what to do when the base binary cannot be downloaded", async () => {
  // A closed port as proxy and an empty cache: the download fails wherever this runs.
  const stderr = await failToCompile((folder) => ({
    HTTPS_PROXY: "http://127.0.0.1:1",
    DENO_DIR: join(folder, "cache"),
  }));
  const text = explainFailure(stderr, undefined);
  match(text, /^Cannot compile as Deno's base binary \(denort \d+\.\d+\.\d+, .*\) could not be downloaded/);
  match(text, /DENORT_BIN=path\/to\/denort deno task compile/);
  ok(!text.includes("Stack backtrace"), text);
});

Deno.test("explainFailure() names a DENORT_BIN that cannot be read", async () => {
  const denortBin = "missing/denort";
  const stderr = await failToCompile(() => ({ DENORT_BIN: denortBin }));
  match(explainFailure(stderr, denortBin), /DENORT_BIN names no readable file: current value is "missing\/denort"/);
});

Deno.test("explainFailure() passes on what it does not know", () => {
  equal(explainFailure("error: Module not found\n", undefined), "Cannot compile src/main.ts:\nerror: Module not found");
});

Deno.test("excludedFolders() finds every version of a package in every registry", async () => {
  const cache = await Deno.makeTempDir({ prefix: "warmpath-cache-" });
  try {
    const folders = ["one/bintrees/1.0.2/test", "one/bintrees/1.0.3/test", "two/bintrees/1.0.2/test"];
    for (const folder of [...folders, "one/bintrees/1.0.4/lib", "one/hono/1.0.0/test"]) {
      await Deno.mkdir(join(cache, folder), { recursive: true });
    }
    deepStrictEqual(excludedFolders(cache).sort(), folders.map((folder) => join(cache, folder)));
    deepStrictEqual(excludedFolders(join(cache, "missing")), []);
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
});

Deno.test("compile.ts embeds the whole program, and refuses a base binary that is not denort", async () => {
  const folder = await Deno.makeTempDir({ prefix: "warmpath-compile-" });
  try {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--frozen", "-A", ".ci/compile.ts", "--output", join(folder, "warmpath")],
      cwd: root,
      env: { NO_COLOR: "1", DENORT_BIN: Deno.execPath() },
      stdin: "null",
    }).output();
    match(new TextDecoder().decode(stderr), /Cannot use .*warmpath as its base binary must be denort/);
    equal(code, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What `deno compile` prints on a one-line program that it cannot build in this environment. */
async function failToCompile(env: (folder: string) => Record<string, string>): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "warmpath-compile-" });
  try {
    await Deno.writeTextFile(join(folder, "main.ts"), "export {};\n");
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["compile", "--no-config", "--no-check", "--output", join(folder, "out"), join(folder, "main.ts")],
      clearEnv: true,
      env: { NO_COLOR: "1", HOME: folder, ...env(folder) },
      stdin: "null",
    }).output();
    equal(success, false);
    return new TextDecoder().decode(stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
