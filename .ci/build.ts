/**
 * Compiles `wasm/` to `src/hotpath/warmpath.wasm`. With `--verify`, compares instead of writing and exits 1 on a difference.
 * Both outputs of this task are committed, so that running needs no compiler.
 */
import asc from "assemblyscript/asc";

const root = new URL("..", import.meta.url).pathname;
const output = "src/hotpath/warmpath.wasm";

/** Bytes of the module, compiled from source. */
export async function compileWasm(): Promise<Uint8Array> {
  let binary: Uint8Array | undefined;
  const { error, stderr } = await asc.main([
    "wasm/index.ts",
    "--baseDir",
    root,
    "--outFile",
    "warmpath.wasm",
    "--runtime",
    "stub",
    "-O3",
    "--converge",
    "--noAssert",
    "--enable",
    "simd,threads,bulk-memory",
    "--importMemory",
    "--sharedMemory",
    "--initialMemory",
    "1",
    "--maximumMemory",
    "65536",
    "--use",
    "abort=",
  ], {
    readFile: (name, base) => {
      try {
        return Deno.readTextFileSync(`${base ?? root}/${name}`);
      } catch {
        return null;
      }
    },
    writeFile: (_name, contents) => {
      if (contents instanceof Uint8Array) binary = contents;
    },
    listFiles: () => [],
  });
  if (error || !binary) throw new Error(`Cannot compile wasm/: ${error?.message ?? "no output"}\n${stderr.toString()}`);
  return binary;
}

if (import.meta.main) {
  const binary = await compileWasm();
  if (Deno.args.includes("--verify")) {
    const committed = await Deno.readFile(root + output).catch(() => new Uint8Array());
    const same = committed.length === binary.length && committed.every((byte, i) => byte === binary[i]);
    if (!same) {
      console.error(`${output} is not what wasm/ compiles to: run deno task build`);
      Deno.exit(1);
    }
    console.error(`${output} is up to date (${binary.length} bytes)`);
  } else {
    await Deno.writeFile(root + output, binary);
    console.error(`${output}: ${binary.length} bytes`);
  }
}
