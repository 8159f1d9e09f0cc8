/** What the runner knows of a benchmark, and what a benchmark is given and gives back. */
import type { Progress } from "./progress.ts";

/** A command-line flag in commander's notation, such as `--speed <factor>`. */
export interface Flag {
  readonly flag: string;
  readonly about: string;
  readonly fallback?: string;
}

/** Values of flags by camel-case name; a flag that was not given and has no fallback is absent. */
export type Flags = Readonly<Record<string, string | undefined>>;

/** What a run is told besides its flags. */
export interface BenchContext {
  /** Parameters so small that the run takes seconds: shows that the benchmark works, measures nothing. */
  readonly smoke: boolean;
  readonly progress: Progress;
}

/** What a run found. Members besides `figures` are printed as they are. */
export interface Report {
  /** Name to number; one that could not be measured is absent. */
  readonly figures: Readonly<Record<string, number>>;
  readonly [extra: string]: unknown;
}

/** One benchmark. */
export interface Bench {
  readonly name: string;
  /** The question it answers, in a line. */
  readonly summary: string;
  readonly flags: readonly Flag[];
  run(flags: Flags, context: BenchContext): Promise<Report>;
}

/** A mistake in the command line; the runner prints the message and exits 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The value of the flag `--name`. */
function valueOf(flags: Flags, name: string): string | undefined {
  return flags[name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())];
}

/** A number above zero given as a flag's value. */
export function positive(flags: Flags, name: string): number {
  const text = valueOf(flags, name);
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(`Cannot use --${name} as it must be a number above 0: current value is "${text}"`);
}

/** A whole number above zero given as a flag's value. */
export function positiveInteger(flags: Flags, name: string): number {
  const value = positive(flags, name);
  if (Number.isSafeInteger(value)) return value;
  throw new UsageError(`Cannot use --${name} as it must be a whole number: current value is "${value}"`);
}

/** A share from 0 to 1 given as a flag's value. */
export function share(flags: Flags, name: string): number {
  const text = valueOf(flags, name);
  const value = Number(text);
  if (text !== undefined && text.trim() !== "" && value >= 0 && value <= 1) return value;
  throw new UsageError(`Cannot use --${name} as it must be a number from 0 to 1: current value is "${text}"`);
}

/** The parts of a flag's comma-separated value. */
export function list(flags: Flags, name: string): string[] {
  return (valueOf(flags, name) ?? "").split(",").map((item) => item.trim()).filter((item) => item !== "");
}
