/** Token counts a model server reported; absent means not said. */
export interface Usage {
  promptTokens?: number;
  completionTokens?: number;
  cachedTokens?: number;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Last place `needle` begins in `bytes`, or -1. */
export function lastIndexOfBytes(bytes: Uint8Array, needle: Uint8Array): number {
  const first = needle[0];
  for (
    let at = bytes.lastIndexOf(first, bytes.length - needle.length);
    at >= 0;
    at = at === 0 ? -1 : bytes.lastIndexOf(first, at - 1)
  ) {
    let i = 1;
    while (i < needle.length && bytes[at + i] === needle[i]) i++;
    if (i === needle.length) return at;
  }
  return -1;
}

/** First place `needle` begins in `bytes` at or after `from`, or -1. */
export function indexOfBytes(bytes: Uint8Array, needle: Uint8Array, from = 0): number {
  const first = needle[0];
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (at + needle.length > bytes.length) return -1;
    let i = 1;
    while (i < needle.length && bytes[at + i] === needle[i]) i++;
    if (i === needle.length) return at;
  }
  return -1;
}

/** End of the JSON object that starts at `from`, exclusive; -1 when it is cut off. */
function objectEnd(bytes: Uint8Array, from: number): number {
  let depth = 0, inString = false;
  for (let i = from; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b) depth++;
    else if (byte === 0x7d && --depth === 0) return i + 1;
  }
  return -1;
}

const usageKeys = [encoder.encode('"usage"'), encoder.encode('"meta_info"')];

/** The object behind the last `key` in the text, parsed; undefined when there is none, it is null or cut off. */
function lastObject(bytes: Uint8Array, key: Uint8Array): Record<string, unknown> | undefined {
  const at = lastIndexOfBytes(bytes, key);
  if (at < 0) return undefined;
  let i = at + key.length;
  while (bytes[i] === 0x20 || bytes[i] === 0x3a || bytes[i] === 0x0a) i++;
  if (bytes[i] !== 0x7b) return undefined;
  const end = objectEnd(bytes, i);
  if (end < 0) return undefined;
  try {
    return JSON.parse(decoder.decode(bytes.subarray(i, end)));
  } catch {
    return undefined;
  }
}

function count(value: unknown): number | undefined {
  const number = typeof value === "string" ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : undefined;
}

/**
 * Reads the last usage object in a stretch of response bytes, whole or a tail of it. Accepts the key spellings of
 * OpenAI, Anthropic and SGLang (`meta_info`).
 */
export function readUsage(bytes: Uint8Array): Usage | undefined {
  for (const key of usageKeys) {
    const found = lastObject(bytes, key);
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

/** Field by field, what came later wins: vendors spread usage over several events. */
export function mergeUsage(into: Usage, from: Usage): void {
  if (from.promptTokens) into.promptTokens = from.promptTokens;
  if (from.completionTokens) into.completionTokens = from.completionTokens;
  if (from.cachedTokens) into.cachedTokens = from.cachedTokens;
}

const finishKeys = ['"finish_reason":"', '"finish_reason": "', '"stop_reason":"', '"stop_reason": "'].map((key) =>
  encoder.encode(key)
);

/** The last finish reason in a stretch of response bytes. */
export function readFinishReason(bytes: Uint8Array): string | undefined {
  for (const key of finishKeys) {
    const at = lastIndexOfBytes(bytes, key);
    if (at < 0) continue;
    const end = bytes.indexOf(0x22, at + key.length);
    if (end > 0 && end - at < 64) return decoder.decode(bytes.subarray(at + key.length, end));
  }
  return undefined;
}
