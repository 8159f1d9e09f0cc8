import { ConfigError } from "../core/mod.ts";

/** Several mistakes at once: every one of a document, in the order of its lines. */
export class ConfigErrors extends ConfigError {
  readonly problems: readonly ConfigError[];

  constructor(problems: readonly ConfigError[]) {
    super(problems[0].where, problems[0].key, problems[0].expected);
    this.problems = problems;
    this.message = problems.map((problem) => problem.message).join("\n");
  }
}

/** Throws what was collected: one mistake as itself, several together, none not at all. */
export function throwProblems(problems: readonly ConfigError[]): void {
  if (problems.length === 1) throw problems[0];
  if (problems.length > 1) throw new ConfigErrors(problems);
}

const shownCharsMax = 80;

/** The tail every message ends with: what stands there now, cut to a readable length. */
export function currentValue(value: unknown): string {
  if (value === undefined) return "it is missing";
  const text = JSON.stringify(value) ?? String(value);
  const shown = text.length > shownCharsMax ? text.slice(0, shownCharsMax - 1) + "…" : text;
  return `current value is ${shown}`;
}

/** The known name the writer most likely meant; undefined when none is near. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  const lower = name.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** Insertions, deletions, substitutions and swaps of neighbours between two short words. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, changed);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        row[j] = Math.min(row[j], beforeLast[j - 2] + 1);
      }
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length];
}
