export const secondMs = 1_000;
export const hourMs = 3_600_000;
export const MiB = 2 ** 20;
export const GiB = 2 ** 30;
export const portMax = 65_535;

const durationUnitMs: Readonly<Record<string, number>> = { ms: 1, s: secondMs, m: 60_000, h: hourMs };
const sizeUnitBytes: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB,
  GiB,
};

/**
 * Milliseconds of `"500ms"`, `"30s"`, `"1m30s"`, `"2h"`; undefined when the text is no duration.
 * The forms are Go's, from milliseconds up, so that llm-d's values read the same.
 */
export function parseDurationMs(text: string): number | undefined {
  if (text === "0") return 0;
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    totalMs += Number(amount) * durationUnitMs[unit];
  }
  return totalMs;
}

/** Bytes of `"64MiB"`, `"1.5GB"`, `"512B"`; undefined when the text is no size or no whole number of bytes. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(B|kB|MB|GB|KiB|MiB|GiB)$/.exec(text);
  if (!match) return undefined;
  const bytes = Number(match[1]) * sizeUnitBytes[match[2]];
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** The shortest form that `parseDurationMs` reads back as the same number. */
export function formatDuration(ms: number): string {
  for (const unit of ["h", "m", "s"]) {
    if (ms > 0 && ms % durationUnitMs[unit] === 0) return `${ms / durationUnitMs[unit]}${unit}`;
  }
  return `${ms}ms`;
}

/** The shortest form that `parseBytes` reads back as the same number, binary where that is one. */
export function formatBytes(bytes: number): string {
  for (const unit of ["GiB", "MiB", "KiB", "GB", "MB"]) {
    if (bytes > 0 && bytes % sizeUnitBytes[unit] === 0) return `${bytes / sizeUnitBytes[unit]}${unit}`;
  }
  return `${bytes}B`;
}
