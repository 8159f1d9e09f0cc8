import { z } from "zod";
import { ConfigError } from "../core/mod.ts";
import type { Plugin, PluginEnv, PluginKind, PluginSpec } from "./types.ts";

export type DocumentPath = readonly (string | number)[];

/** Where values of a document come from. */
export interface Source {
  /** `file:line` of the value at `path`, or of its nearest ancestor. */
  where(path: DocumentPath): string;
}

/** A source for plans made in code. */
export const builtIn: Source = { where: () => "built-in plan" };

/** What a plugin's parameters may refer to while they are read. */
export interface LoadContext {
  /**
   * The configured plugin of one of `types` a parameter refers to: named `name`, or when no name is given the first of
   * the first type that has one. Undefined when there is none and no name was given. Throws ConfigError when the name is
   * of another type.
   */
  find(types: readonly string[], key: string, name: string | undefined): PluginSpec | undefined;
  /** Notes something the operator should know that is no error. */
  warn(message: string): void;
  /** The error for a parameter that is well-formed and still cannot be used. */
  fail(key: string, expected: string): ConfigError;
}

/** A plugin type as its file declares it; `P` is its complete parameters. */
export interface Definition<P, R = P> {
  readonly type: string;
  readonly kinds: readonly PluginKind[];
  /** One line for the tables people read. */
  readonly summary: string;
  /** What to use instead, for a type llm-d is going to remove. */
  readonly deprecated?: string;
  readonly params: z.ZodType<P>;
  /** Second look at parameters that refer to other plugins. */
  readonly resolve?: (params: P, context: LoadContext) => R;
  readonly create?: (name: string, params: R, env: PluginEnv) => Plugin;
}

/** A plugin type as the registry holds it: the type of its parameters is inside. */
export interface PluginType {
  readonly type: string;
  readonly kinds: readonly PluginKind[];
  readonly summary: string;
  readonly deprecated?: string;
  /** Checks `raw`, found at `path` of `source`, and completes it. Throws ConfigError. */
  load(name: string, raw: unknown, source: Source, path: DocumentPath, context: Omit<LoadContext, "fail">): PluginSpec;
}

/** Seals a definition. A definition without `resolve` has `R` = `P`. */
export function definePlugin<P, R = P>(definition: Definition<P, R>): PluginType {
  const { type, kinds, summary, deprecated, params: schema, resolve, create } = definition;
  return {
    type,
    kinds,
    summary,
    deprecated,
    load(name, raw, source, path, context) {
      const subject = name === type ? `plugin "${name}"` : `plugin "${name}" (${type})`;
      const parsed = parseValue(schema, raw ?? {}, source, path, subject);
      const fail = (key: string, expected: string) =>
        new ConfigError(source.where([...path, key]), keyText([...path, key]), `${subject}: ${expected}`);
      const params = resolve ? resolve(parsed, { ...context, fail }) : parsed as unknown as R;
      return { type, name, kinds, params, create: create && ((env) => create(name, params, env)) };
    },
  };
}

/** `plugins[2].parameters.threshold` */
export function keyText(path: DocumentPath): string {
  let text = "";
  for (const part of path) text += typeof part === "number" ? `[${part}]` : text ? `.${part}` : part;
  return text;
}

/** Reads a value of a document strictly; the first thing wrong becomes a ConfigError that says where. */
export function parseValue<T>(
  schema: z.ZodType<T>,
  raw: unknown,
  source: Source,
  path: DocumentPath,
  subject: string,
): T {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  // A misspelt key is the likelier cause of whatever else is wrong in the same map.
  const issues = result.error.issues;
  const issue = issues.find((issue) => issue.code === "unrecognized_keys") ?? issues[0];
  const inside = issue.path.filter((part) => typeof part !== "symbol");
  if (issue.code === "unrecognized_keys") {
    const at = [...path, ...inside, issue.keys[0]];
    const known = inside.length === 0 && schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const hint = known.length > 0 ? `, must be one of ${known.join(", ")}` : inside.length === 0 ? ", it has none" : "";
    throw new ConfigError(source.where(at), keyText(at), `${subject}: unknown key "${issue.keys[0]}"${hint}`);
  }
  const at = [...path, ...inside];
  throw new ConfigError(source.where(at), keyText(at), `${subject}: ${issue.message}${currentValue(raw, inside)}`);
}

function currentValue(raw: unknown, path: DocumentPath): string {
  let value = raw;
  for (const part of path) value = (value as Record<string | number, unknown> | undefined)?.[part];
  if (value === undefined) return "";
  return `: current value is ${JSON.stringify(value)?.slice(0, 80)}`;
}

const durationUnitsMs: Record<string, number> = {
  ns: 1e-6,
  us: 1e-3,
  "µs": 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** A Go duration such as `200ms`, `1m30s` or `0s`, as milliseconds. */
export const durationMs = z.string().regex(
  /^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+$/,
  "must be a duration such as 200ms or 1m30s",
)
  .transform((text) => {
    let sum = 0;
    for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)) {
      sum += Number(amount) * durationUnitsMs[unit];
    }
    return sum;
  });

/** Parameters of a plugin that has none. */
export const noParams = z.strictObject({});

/** Header names are compared in lower case. */
export const headerName = z.string().min(1, "must be a header name").transform((name) => name.toLowerCase());
