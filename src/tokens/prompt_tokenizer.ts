import { Tokenizer } from "@huggingface/tokenizers";
import { ChatTemplate, TemplateError } from "./chat_template.ts";
import { ByteLevelEncoder, type Encoded, tokenCaches } from "./encoder.ts";
import { NotExactError } from "./not_exact.ts";
import { type ChatRules, givenIds, parseBody, promptOf, refuseTruncation } from "./prompt.ts";
import type { PyValue } from "./python_json.ts";
import type { TokenizerData } from "./tokenizer_files.ts";
import type { PromptRequest, PromptTokens, Unavailable } from "./types.ts";

/** How the operator runs the engine, where it differs from the tokenizer's files. */
export interface ChatSettings {
  /** Source of the chat template the engine was started with. */
  readonly template?: string;
  /** How content is given to the template. Default `auto`: as the template loops over it. */
  readonly contentFormat?: "auto" | "string" | "openai";
  /** Arguments of the template that hold for every request. */
  readonly variables?: Readonly<Record<string, string | number | boolean | null>>;
}

/** The prompt of requests as token ids, in this isolate. One for each model and isolate. */
export class PromptTokenizer {
  readonly #data: TokenizerData;
  readonly #encoder?: ByteLevelEncoder;
  readonly #general?: Tokenizer;
  readonly #rules: ChatRules;

  /** `wallMs`: the time of day that templates may print. Without `caches` nothing is remembered. */
  constructor(data: TokenizerData, settings: ChatSettings, wallMs: () => number, caches = tokenCaches(0)) {
    this.#data = data;
    if (data.byteLevel) this.#encoder = new ByteLevelEncoder(data.byteLevel, caches);
    else if (data.general) {
      this.#general = new Tokenizer(JSON.parse(data.general.tokenizer), JSON.parse(data.general.config));
    }
    this.#rules = chatRules(data, settings, wallMs);
  }

  /** The ids of a request's prompt, or why there are none. Does not throw for anything a request may hold. */
  prompt({ api, body, engine }: Omit<PromptRequest, "model">): PromptTokens | Unavailable {
    try {
      const prompt = promptOf(api, parseBody(body), this.#rules, engine ?? "vllm");
      const extras = prompt.cacheSalt === undefined ? undefined : { media: [], cacheSalt: prompt.cacheSalt };
      if ("ids" in prompt) return { tokens: prompt.ids, source: "ids", extras, cachedTokens: 0 };
      const { ids, cachedTokens, key } = this.encode(prompt.text, prompt.addSpecialTokens);
      return { tokens: ids, source: "tokenizer", extras, cachedTokens, key };
    } catch (error) {
      if (error instanceof NotExactError) return { reason: error.reason };
      throw error;
    }
  }

  /** The ids of a text; throws a `NotExactError`. */
  encode(text: string, addSpecialTokens: boolean): Encoded {
    const around = addSpecialTokens ? this.#data.around : { before: [], after: [] };
    if (!around) throw new NotExactError("special-tokens");
    const encoded = this.#encoder ? this.#encoder.encode(text) : this.#encodeGeneral(text);
    const { before, after } = around;
    if (before.length + after.length === 0) return encoded;
    const ids = new Uint32Array(before.length + encoded.ids.length + after.length);
    ids.set(before);
    ids.set(encoded.ids, before.length);
    ids.set(after, before.length + encoded.ids.length);
    return { ids, cachedTokens: encoded.cachedTokens, key: encoded.key === "" ? "" : `+${encoded.key}` };
  }

  #encodeGeneral(text: string): Encoded {
    if (!this.#general) throw new NotExactError("no-source");
    return {
      ids: Uint32Array.from(this.#general.encode(text, { add_special_tokens: false }).ids),
      cachedTokens: 0,
      key: "",
    };
  }
}

/** The ids of requests that bring them, for models without a tokenizer. */
export function promptWithoutTokenizer({ api, body }: Omit<PromptRequest, "model">): PromptTokens | Unavailable {
  try {
    const parsed = parseBody(body);
    refuseTruncation(parsed);
    const tokens = givenIds(api, parsed);
    if (!tokens) return { reason: "no-source" };
    const salt = parsed.get("cache_salt");
    const extras = typeof salt === "string" ? { media: [], cacheSalt: salt } : undefined;
    return { tokens, source: "ids", extras, cachedTokens: 0 };
  } catch (error) {
    if (error instanceof NotExactError) return { reason: error.reason };
    throw error;
  }
}

function chatRules(data: TokenizerData, settings: ChatSettings, wallMs: () => number): ChatRules {
  const compiled = new Map<string, ChatTemplate | undefined>();
  const compile = (source: string | undefined) => {
    const chosen = settings.template ?? source;
    if (chosen === undefined) return undefined;
    if (!compiled.has(chosen)) compiled.set(chosen, tryCompile(chosen, data.specials, wallMs));
    return compiled.get(chosen);
  };
  return {
    withTools: compile(data.templates.withTools),
    withoutTools: compile(data.templates.withoutTools),
    contentFormat: settings.contentFormat ?? "auto",
    variables: new Map<string, PyValue>(Object.entries(settings.variables ?? {})),
  };
}

/** A template this library cannot compile leaves plain prompts exact; requests that need it say `template`. */
function tryCompile(
  source: string,
  specials: Readonly<Record<string, string>>,
  wallMs: () => number,
): ChatTemplate | undefined {
  try {
    return new ChatTemplate(source, specials, wallMs);
  } catch (error) {
    if (error instanceof TemplateError) return undefined;
    throw error;
  }
}
