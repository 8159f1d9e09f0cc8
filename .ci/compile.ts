/**
 * Builds one executable with the program, its kernels and its workers inside: `deno task compile [--output FILE]`
 * (default `dist/warmpath`). Deno downloads a base binary for it; `DENORT_BIN=FILE` gives one from the disk instead.
 */
import { existsSync, mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { embeddedFiles, excludedPackageFolders, permissions } from "./embedded.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The file after `--output`; throws on any other argument. */
export function outputFrom(args: readonly string[]): string {
  if (args.length === 0) return resolve(root, "dist/warmpath");
  if (args.length === 2 && args[0] === "--output" && args[1] !== "") return resolve(args[1]);
  throw new TypeError(
    `Cannot read the arguments as they must be "--output FILE": current value is "${args.join(" ")}"`,
  );
}

/** The command line of `deno` that builds `output`, leaving out the folders in `excluded`. */
export function compileArgs(output: string, excluded: readonly string[]): string[] {
  const flags = [
    ...embeddedFiles.flatMap((file) => ["--include", file]),
    ...excluded.flatMap((folder) => ["--exclude", folder]),
  ];
  return [
    ...["compile", "--frozen", "--no-check", "--exclude-unused-npm"],
    ...permissions,
    ...flags,
    ...["--output", output, "src/main.ts"],
  ];
}

/** Where the package cache holds the folders to leave out, in every version there is: `registry/package/version/folder`. */
export function excludedFolders(npmCache: string): string[] {
  const names = (folder: string) =>
    existsSync(folder)
      ? [...Deno.readDirSync(folder)].filter((entry) => entry.isDirectory).map(({ name }) => name)
      : [];
  return excludedPackageFolders.flatMap((path) => {
    const slash = path.lastIndexOf("/");
    return names(npmCache).flatMap((registry) => {
      const versions = join(npmCache, registry, path.slice(0, slash));
      return names(versions).map((version) => join(versions, version, path.slice(slash + 1)));
    });
  }).filter((folder) => existsSync(folder));
}

async function deno(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: root }).output();
  if (!success) throw new Error(`Cannot run deno ${args.join(" ")}: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout);
}

/** Fills the package cache, and says where it is. */
async function fillNpmCache(): Promise<string> {
  await deno("install", "--quiet", "--frozen");
  return JSON.parse(await deno("info", "--json")).npmCache;
}

/** What to tell the person when `deno compile` failed with `stderr`, given the value of DENORT_BIN. */
export function explainFailure(stderr: string, denortBin: string | undefined): string {
  const plain = stderr.trim();
  if (denortBin !== undefined && plain.includes("Could not find denort")) {
    return `Cannot compile as DENORT_BIN names no readable file: current value is "${denortBin}"`;
  }
  if (plain.includes("Setting up base binary")) {
    const reason = plain.match(/^\s*\d+: (error sending request .*|.*status.*)$/m)?.[1];
    return [
      `Cannot compile as Deno's base binary (denort ${Deno.version.deno}, ${Deno.build.target}) could not be downloaded`,
      ...(reason === undefined ? [plain] : [`  ${reason}`]),
      "Where its download is not reachable, bring the denort archive of this version and target here, unpack it, and run",
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
    args: compileArgs(output, excludedFolders(await fillNpmCache())),
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
