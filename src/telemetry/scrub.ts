/** What replaces a secret. */
const hidden = "[hidden]";

// Names whose values are credentials, written with or without separators. Not "token" alone: that counts text here.
const secretNames =
  /^(proxy)?authorization$|^(set)?cookie$|apikey$|accesskey$|secret$|secretkey$|password$|(access|auth|bearer|refresh|session)token$|credentials?$/;
// Credentials inside text: HTTP schemes, provider keys, user and password of a URL.
const secretTexts: readonly [RegExp, string][] = [
  [/\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/gi, `$1 ${hidden}`],
  [/\b(sk|pk|hf|ghp)[-_][\w-]{8,}/g, `$1-${hidden}`],
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@:]+:[^\s/@]+@/gi, `$1${hidden}@`],
];

// A log line names things; whole prompts and bodies do not belong in it.
const textCharsMax = 4096;
const depthMax = 6;
const itemsMax = 100;

/** Text with its credentials hidden, cut to a bounded length. */
export function scrubText(text: string): string {
  let clean = text.length > textCharsMax ? text.slice(0, textCharsMax) + "…" : text;
  for (const [pattern, replacement] of secretTexts) clean = clean.replace(pattern, replacement);
  return clean;
}

/**
 * Data fit for one log line: credentials hidden, errors as name, message, stack and cause, maps and sets and headers
 * as plain data, depth and length bounded.
 */
export function scrub(value: unknown, depth = 0): unknown {
  if (typeof value === "string") return scrubText(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth >= depthMax) return "…";
  if (value instanceof Error) return scrubError(value, depth);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`;
  if (value instanceof Map || value instanceof Headers) return scrubEntries([...value], depth);
  if (value instanceof Set) return scrub([...value], depth);
  if (Array.isArray(value)) return value.slice(0, itemsMax).map((item) => scrub(item, depth + 1));
  return scrubEntries(Object.entries(value), depth);
}

function scrubEntries(entries: readonly [unknown, unknown][], depth: number): Record<string, unknown> {
  return Object.fromEntries(
    entries.slice(0, itemsMax).map(([name, value]) => {
      const key = String(name);
      const secret = secretNames.test(key.toLowerCase().replaceAll(/[-_ ]/g, ""));
      return [key, secret && value !== undefined ? hidden : scrub(value, depth + 1)];
    }),
  );
}

function scrubError(error: Error, depth: number): Record<string, unknown> {
  return {
    name: error.name,
    message: scrubText(error.message),
    stack: error.stack === undefined ? undefined : scrubText(error.stack),
    ...(error.cause === undefined ? {} : { cause: scrub(error.cause, depth + 1) }),
  };
}
