/**
 * Builds one executable with the program, its kernels and its workers inside: `deno task compile [--output FILE]`
 * (default `dist/warmpath`). Deno downloads a base binary for it; `DENORT_BIN=FILE` gives one from the disk instead.
 */
import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { embeddedFiles, permissions } from "./embedded.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The file after `--output`; throws on any other argument. */
export function outputFrom(args: readonly string[]): string {
  if (args.length === 0) return resolve(root, "dist/warmpath");
  if (args.length === 2 && args[0] === "--output" && args[1] !== "") return resolve(args[1]);
  throw new TypeError(
    `Cannot read the arguments as they must be "--output FILE": current value is "${args.join(" ")}"`,
  );
}

/** The command line of `deno` that builds `output`. */
export function compileArgs(output: string): string[] {
  const includes = embeddedFiles.flatMap((file) => ["--include", file]);
  return [
    "compile",
    "--frozen",
    "--no-check",
    "--exclude-unused-npm",
    ...permissions,
    ...includes,
    "--output",
    output,
    "src/main.ts",
  ];
}

/** What to tell the person when `deno compile` failed with `stderr`, given the value of DENORT_BIN. */
export function explainFailure(stderr: string, denortBin: string | undefined): string {
  const plain = stderr.trim();
  if (denortBin !== undefined && plain.includes("Could not find denort")) {
    return `Cannot compile as DENORT_BIN names no readable file: current value is "${denortBin}"`;
  }
  if (plain.includes("Setting up base binary")) {
    const reason = plain.split("\n").map((line) => line.trim()).filter((line) =>
      line !== "" && !line.startsWith("at ")
    );
    return [
      `Cannot compile as Deno's base binary (denort ${Deno.version.deno}, ${Deno.build.target}) could not be downloaded`,
      ...reason.filter((line) => /^\d+: /.test(line)).map((line) => `  ${line.replace(/^\d+: /, "")}`),
      "Where its download is not reachable, fetch the denort archive of this release and target elsewhere, unpack it, and run",
      "  DENORT_BIN=path/to/denort deno task compile",
    ].join("\n");
  }
  return `Cannot compile src/main.ts:\n${plain}`;
}

/** Starts the new executable once: a base binary of another kind builds without complaint and runs something else. */
async function isWarmpath(output: string): Promise<boolean> {
  const { success, stdout } = await new Deno.Command(output, { args: ["--help"], stdin: "null" }).output();
  return success && new TextDecoder().decode(stdout).includes("warmpath");
}

async function main(): Promise<number> {
  const output = outputFrom(Deno.args);
  mkdirSync(dirname(output), { recursive: true });
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: compileArgs(output),
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "inherit",
    stderr: "piped",
  }).output();
  if (!success) {
    console.error(explainFailure(new TextDecoder().decode(stderr), Deno.env.get("DENORT_BIN")));
    return 1;
  }
  if (!await isWarmpath(output)) {
    console.error(
      `Cannot use ${output} as its base binary must be denort ${Deno.version.deno}: --help shows another program`,
    );
    return 1;
  }
  console.log(`${output}: ${((await Deno.stat(output)).size / 2 ** 20).toFixed(0)} MiB`);
  return 0;
}

if (import.meta.main) Deno.exit(await main());
