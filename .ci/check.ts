/**
 * The gate: `deno task check`. Runs every step even when one fails, prints a line for each, and exits 1 if any failed.
 * The last line has the form of a `deno test` summary.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** One step: a `deno` command line that answers with its exit code. */
interface Step {
  readonly name: string;
  readonly args: readonly string[];
}

const root = fileURLToPath(new URL("..", import.meta.url));

function holdsTypescript(folder: string): boolean {
  if (!existsSync(root + folder)) return false;
  return [...Deno.readDirSync(root + folder)].some((entry) =>
    entry.isDirectory ? holdsTypescript(`${folder}/${entry.name}`) : entry.name.endsWith(".ts")
  );
}

/** Steps in the order of how soon they point at a mistake. */
function steps(): Step[] {
  const folders = ["src", "tests", "bench", ".ci", "deploy"].filter(holdsTypescript);
  return [
    { name: "lock file", args: ["install", "--frozen"] },
    { name: "format", args: ["fmt", "--check"] },
    { name: "lint", args: ["lint"] },
    { name: "types", args: ["check", "--quiet", "--frozen", ...folders] },
    { name: "kernels up to date", args: ["run", "--quiet", "--frozen", "-A", ".ci/build.ts", "--verify"] },
    { name: "protocols up to date", args: ["run", "--quiet", "--frozen", "-A", ".ci/proto.ts", "--verify"] },
    { name: "reference up to date", args: ["run", "--quiet", "--frozen", "-A", ".ci/reference.ts", "--verify"] },
    { name: "architecture", args: ["test", "--quiet", "--frozen", "-A", "--no-check", "tests/arch"] },
  ];
}

/** Runs one step; what it printed is shown only if it failed. */
async function run(step: Step): Promise<boolean> {
  const startMs = performance.now();
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...step.args],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`${step.name} ... ${success ? "ok" : "FAILED"} (${seconds} s)`);
  if (!success) {
    console.log(`  deno ${step.args.join(" ")}`);
    for (const bytes of [stdout, stderr]) {
      const text = new TextDecoder().decode(bytes).trimEnd();
      if (text) console.log(text.replace(/^/gm, "  "));
    }
  }
  return success;
}

if (import.meta.main) {
  let failed = 0;
  const all = steps();
  for (const step of all) if (!await run(step)) failed++;
  console.log(`\n${failed === 0 ? "ok" : "FAILED"} | ${all.length - failed} passed | ${failed} failed`);
  Deno.exit(failed === 0 ? 0 : 1);
}
