// deno-lint-ignore-file no-console -- A tool talks to its terminal.
/**
 * Generates `src/proto/gen/` from the `.proto` files of `src/proto/`, with buf and protoc-gen-es from npm. With `--verify`,
 * compares instead of writing and exits 1 on a difference. The generated files are committed, so that running needs neither.
 */
const root = new URL("..", import.meta.url).pathname;
const source = "src/proto";
const output = "src/proto/gen";
const buf = "npm:@bufbuild/buf@1.74.0/buf";
const plugin = "npm:@bufbuild/protoc-gen-es@2.17.0/protoc-gen-es";

/** Generated TypeScript by path relative to `src/proto/gen`. */
export async function generateProtos(): Promise<Map<string, string>> {
  const directory = await Deno.makeTempDir({ prefix: "warmpath-proto-" });
  try {
    const denoRun = [Deno.execPath(), "run", "--quiet", "--allow-all", "--no-lock", "--node-modules-dir=none"];
    const template = {
      version: "v2",
      plugins: [{ local: [...denoRun, plugin], out: directory, opt: ["target=ts", "import_extension=ts"] }],
    };
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [...denoRun.slice(1), buf, "generate", source, "--template", JSON.stringify(template)],
      cwd: root,
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) throw new Error(`Cannot generate ${output}: ${new TextDecoder().decode(stderr)}`);
    return await readTree(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function readTree(directory: string, prefix = ""): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  const entries = await Array.fromAsync(Deno.readDir(directory));
  for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory) { for (const [k, v] of await readTree(path, `${prefix}${entry.name}/`)) files.set(k, v); }
    else files.set(prefix + entry.name, await Deno.readTextFile(path));
  }
  return files;
}

/** Paths whose committed text is not the generated one: changed, missing or left over. */
export async function staleProtos(): Promise<string[]> {
  const generated = await generateProtos();
  const committed = await readTree(root + output).catch(() => new Map<string, string>());
  const paths = new Set([...generated.keys(), ...committed.keys()]);
  return [...paths].filter((path) => generated.get(path) !== committed.get(path)).sort();
}

if (import.meta.main) {
  if (Deno.args.includes("--verify")) {
    const stale = await staleProtos();
    if (stale.length > 0) {
      console.error(`${output} is not what ${source} generates (${stale.join(", ")}): run deno task build`);
      Deno.exit(1);
    }
    console.error(`${output} is up to date`);
  } else {
    const generated = await generateProtos();
    await Deno.remove(root + output, { recursive: true }).catch(() => {});
    for (const [path, text] of generated) {
      const file = `${root}${output}/${path}`;
      await Deno.mkdir(file.slice(0, file.lastIndexOf("/")), { recursive: true });
      await Deno.writeTextFile(file, text);
    }
    console.error(`${output}: ${generated.size} files`);
  }
}
