import type { AddedToken } from "./added_tokens.ts";
import { type BpeModel, buildTables } from "./bpe_tables.ts";
import type { ByteLevelModel } from "./encoder.ts";
import { readPreTokenizer } from "./pretokenize.ts";

/** Files that say how a model's text becomes ids. Absent ones are undefined. */
export const tokenizerFileNames = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "chat_template.json",
  "config.json",
  "tekken.json",
] as const;

export type TokenizerFileName = (typeof tokenizerFileNames)[number];
export type TokenizerFiles = ReadonlyMap<TokenizerFileName, Uint8Array>;

/** Everything of a model's tokenizer; passes between isolates by structured clone. */
export interface TokenizerData {
  /** Present when the tokenizer is a byte-level BPE of a known kind: tokenized here, exactly. */
  readonly byteLevel?: ByteLevelModel;
  /** Else the texts of tokenizer.json and tokenizer_config.json, for the general library. */
  readonly general?: { readonly tokenizer: string; readonly config: string };
  /** Ids around a prompt when special tokens are added; undefined when files disagree about them. */
  readonly around?: { readonly before: readonly number[]; readonly after: readonly number[] };
  /** Sources of chat templates: for requests with tools, and without. */
  readonly templates: { readonly withTools?: string; readonly withoutTools?: string };
  /** Special tokens by the names that templates use, such as `bos_token`. */
  readonly specials: Readonly<Record<string, string>>;
}

/** Members of `tokenizer.json` that are read. */
interface TokenizerJson {
  readonly added_tokens?: readonly RawAddedToken[];
  readonly normalizer?: { readonly type?: string } | null;
  readonly pre_tokenizer?: unknown;
  readonly post_processor?: PostProcessor | null;
  readonly model?: {
    readonly type?: string;
    readonly vocab?: Readonly<Record<string, number>>;
    readonly merges?: BpeModel["merges"];
    readonly ignore_merges?: boolean;
    readonly continuing_subword_prefix?: string | null;
    readonly end_of_word_suffix?: string | null;
    readonly byte_fallback?: boolean;
    readonly dropout?: number | null;
  };
}

interface RawAddedToken {
  readonly id: number;
  readonly content: string;
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  readonly single_word?: boolean;
  readonly normalized?: boolean;
  readonly special?: boolean;
}

interface PostProcessor {
  readonly type?: string;
  readonly processors?: readonly PostProcessor[];
  readonly single?: readonly { readonly SpecialToken?: { readonly id: string }; readonly Sequence?: unknown }[];
  readonly special_tokens?: Readonly<Record<string, { readonly ids: readonly number[] }>>;
}

/** A special token in a configuration: its text, or a mapping that holds it. */
type RawSpecial = string | { readonly content?: string } | null;

interface TokenizerConfig {
  readonly chat_template?: string | readonly { readonly name: string; readonly template: string }[];
  readonly added_tokens_decoder?: Readonly<Record<string, Omit<RawAddedToken, "id">>>;
  readonly add_bos_token?: boolean;
  readonly add_eos_token?: boolean;
  readonly [name: string]: unknown;
}

const specialNames = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** Reads the files; throws when there is no usable `tokenizer.json`. */
export function readTokenizerFiles(files: TokenizerFiles): TokenizerData {
  const tokenizerText = textIn(files, "tokenizer.json");
  if (tokenizerText === undefined || files.has("tekken.json")) {
    throw new RangeError("Cannot load the tokenizer as its files must hold a tokenizer.json and no tekken.json");
  }
  const configText = textIn(files, "tokenizer_config.json") ?? "{}";
  const tokenizer = JSON.parse(tokenizerText) as TokenizerJson;
  const config = JSON.parse(configText) as TokenizerConfig;
  const byteLevel = readByteLevel(tokenizer, config);
  return {
    byteLevel,
    general: byteLevel ? undefined : { tokenizer: tokenizerText, config: configText },
    around: readAround(tokenizer.post_processor, config),
    templates: readTemplates(files, config),
    specials: readSpecials(config, textIn(files, "special_tokens_map.json")),
  };
}

function textIn(files: TokenizerFiles, name: TokenizerFileName): string | undefined {
  const bytes = files.get(name);
  return bytes && new TextDecoder().decode(bytes);
}

/** The tokenizer as one that is tokenized here; undefined when any part of it is not known. */
function readByteLevel(tokenizer: TokenizerJson, config: TokenizerConfig): ByteLevelModel | undefined {
  const { model, normalizer } = tokenizer;
  const preTokenizer = readPreTokenizer(tokenizer.pre_tokenizer);
  const addedTokens = readAddedTokens(tokenizer, config);
  const isKnown = preTokenizer && addedTokens && model?.type === "BPE" && model.vocab && model.merges &&
    !model.continuing_subword_prefix && !model.end_of_word_suffix && !model.byte_fallback && !model.dropout &&
    (!normalizer || normalizer.type === "NFC");
  if (!isKnown) return undefined;
  const { vocab, merges } = model;
  return {
    tables: buildTables({ vocab: vocab!, merges: merges!, ignoreMerges: model.ignore_merges === true }),
    preTokenizer,
    addedTokens,
    nfc: normalizer?.type === "NFC",
  };
}

/**
 * Added tokens of both files; undefined when one must stand as a word of its own, which is not followed here, or has
 * another id than the reference library would give it: that of the vocabulary, else the next behind it.
 */
function readAddedTokens(tokenizer: TokenizerJson, config: TokenizerConfig): AddedToken[] | undefined {
  const byContent = new Map<string, RawAddedToken>();
  for (const token of tokenizer.added_tokens ?? []) byContent.set(token.content, token);
  for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {})) {
    if (!byContent.has(token.content)) byContent.set(token.content, { ...token, id: Number(id) });
  }
  const tokens = [...byContent.values()];
  const vocab = tokenizer.model?.vocab ?? {};
  let next = Object.keys(vocab).length;
  for (const { content, id, single_word } of tokens) {
    const expected = Object.hasOwn(vocab, content) ? vocab[content] : next++;
    if (single_word || id !== expected) return undefined;
  }
  return tokens.map(({ id, content, lstrip, rstrip, normalized, special }) => ({
    id,
    content,
    lstrip: lstrip === true,
    rstrip: rstrip === true,
    normalized: normalized ?? special !== true,
  }));
}

function readAround(root: PostProcessor | null | undefined, config: TokenizerConfig): TokenizerData["around"] {
  const before: number[] = [];
  const after: number[] = [];
  const steps = root?.type === "Sequence" ? root.processors ?? [] : root ? [root] : [];
  for (const step of steps) {
    if (step.type === "ByteLevel") continue;
    if (step.type !== "TemplateProcessing") return undefined;
    let side = before;
    for (const piece of step.single ?? []) {
      if (piece.Sequence) side = after;
      else side.push(...step.special_tokens?.[piece.SpecialToken?.id ?? ""]?.ids ?? []);
    }
  }
  // Some tokenizer classes rebuild the template from these two; where they contradict it, versions differ.
  const differs = (wanted: boolean | undefined, ids: number[]) => wanted !== undefined && wanted !== ids.length > 0;
  if (differs(config.add_bos_token, before) || differs(config.add_eos_token, after)) return undefined;
  return { before, after };
}

/** A `chat_template.jinja` goes before the configuration's; a processor's `chat_template.json` serves requests without tools. */
function readTemplates(files: TokenizerFiles, config: TokenizerConfig): TokenizerData["templates"] {
  const file = textIn(files, "chat_template.jinja");
  if (file !== undefined) return { withTools: file, withoutTools: file };
  const listed = config.chat_template;
  const named = (name: string) =>
    typeof listed === "string" ? listed : listed?.find((item) => item.name === name)?.template;
  const processor = textIn(files, "chat_template.json");
  const fromProcessor = processor && (JSON.parse(processor) as { chat_template?: string }).chat_template;
  const plain = fromProcessor || named("default");
  return { withTools: named("tool_use") ?? named("default") ?? plain, withoutTools: plain };
}

function readSpecials(config: TokenizerConfig, mapText: string | undefined): Record<string, string> {
  const map = mapText === undefined ? {} : JSON.parse(mapText) as Record<string, RawSpecial>;
  const specials: Record<string, string> = {};
  for (const name of specialNames) {
    const raw = (config[name] ?? map[name]) as RawSpecial | undefined;
    const text = typeof raw === "string" ? raw : raw?.content;
    if (text) specials[name] = text;
  }
  return specials;
}
