/** Token counts a model server reported; absent means not said. */
export interface Usage {
  promptTokens?: number;
  completionTokens?: number;
  cachedTokens?: number;
}

/** End of the JSON object that starts at `from`, exclusive; -1 when it is cut off. */
function objectEnd(text: string, from: number): number {
  let depth = 0, inString = false;
  for (let i = from; i < text.length; i++) {
    const char = text[i];
    if (inString) {
      if (char === "\\") i++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "{") depth++;
    else if (char === "}" && --depth === 0) return i + 1;
  }
  return -1;
}

const usageKeys = ['"usage"', '"meta_info"'];

/** The object behind the last `key` in the text, parsed; undefined when there is none, it is null or cut off. */
function lastObject(text: string, key: string): Record<string, unknown> | undefined {
  const at = text.lastIndexOf(key);
  if (at < 0) return undefined;
  let i = at + key.length;
  while (text[i] === " " || text[i] === ":" || text[i] === "\n") i++;
  if (text[i] !== "{") return undefined;
  const end = objectEnd(text, i);
  if (end < 0) return undefined;
  try {
    return JSON.parse(text.slice(i, end));
  } catch {
    return undefined;
  }
}

function count(value: unknown): number | undefined {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : undefined;
}

/**
 * Reads the last usage object in the text of a response, whole or a tail of it. Accepts the key spellings of OpenAI, Anthropic
 * and SGLang (`meta_info`). The text has one character a byte, as `textOf` gives it: keys, numbers and reasons are ASCII
 * whatever stands around them, places in the text are places in the bytes, and a tail cut inside a character decodes.
 */
export function readUsage(text: string): Usage | undefined {
  for (const key of usageKeys) {
    const found = lastObject(text, key);
    if (!found) continue;
    const details = (found.prompt_tokens_details ?? found.input_tokens_details) as
      | Record<string, unknown>
      | null
      | undefined;
    return {
      promptTokens: count(found.prompt_tokens ?? found.input_tokens),
      completionTokens: count(found.completion_tokens ?? found.output_tokens),
      cachedTokens: count(details?.cached_tokens ?? found.cached_tokens ?? found.cache_read_input_tokens),
    };
  }
  return undefined;
}

/**
 * Field by field, what came later wins: vendors spread usage over several events. A zero wins over nothing only: events
 * that know one count write 0 for the others.
 */
export function mergeUsage(into: Usage, from: Usage): void {
  into.promptTokens = from.promptTokens || (into.promptTokens ?? from.promptTokens);
  into.completionTokens = from.completionTokens || (into.completionTokens ?? from.completionTokens);
  into.cachedTokens = from.cachedTokens || (into.cachedTokens ?? from.cachedTokens);
}

const finishKeys = ['"finish_reason":"', '"finish_reason": "', '"stop_reason":"', '"stop_reason": "'];
const reasonCharsMax = 64;

/** The last finish reason in the text of a response. */
export function readFinishReason(text: string): string | undefined {
  for (const key of finishKeys) {
    const at = text.lastIndexOf(key);
    if (at < 0) continue;
    const from = at + key.length;
    const end = text.indexOf('"', from);
    if (end >= from && end - from <= reasonCharsMax) return text.slice(from, end);
  }
  return undefined;
}
