import type * as z from "zod";
import { ConfigError } from "../core/mod.ts";
import { currentValue, nearestName, throwProblems } from "./errors.ts";
import { parseServerUrl } from "./fields.ts";
import type { KeysSource } from "./keys_file.ts";
import { knownKeys, referenceRows } from "./reference.ts";
import { configSchema, type RawValues } from "./schema.ts";
import { documentKind, type Path, pathText, SourceDocument } from "./source.ts";

/** Text of an llm-d EndpointPickerConfig, for the room that knows its plugins. */
export interface EndpointPickerSource {
  readonly text: string;
  readonly fileName: string;
}

/** What was configured, checked key by key, before defaults. */
export interface RawConfig {
  readonly values: RawValues;
  /** The EndpointPickerConfig to schedule by, when the file is one or names one. */
  readonly endpointPickerConfig?: EndpointPickerSource;
  /** The keys file, when the file or the environment names one. */
  readonly keysFile?: KeysSource;
  /** Secrets read from files that the file names. */
  readonly secrets?: { readonly adminToken?: string; readonly upstreamAuthorization?: string };
  /** Files that were read for it, besides itself. */
  readonly files?: readonly string[];
  /** `file:line` of a key, for mistakes found later. */
  where(path: Path): string;
}

/** No file: every default. */
export const emptyRawConfig: RawConfig = { values: {}, where: () => "configuration" };

/** The `kind` that marks llm-d's scheduling configuration. */
export const endpointPickerConfigKind = "EndpointPickerConfig";

/**
 * Reads Warmpath's own file, or an EndpointPickerConfig with everything else at its default.
 *
 * Throws a ConfigError that names file, line, key, what was expected and what stands there: a ConfigErrors holding
 * all of them when there are several.
 */
export function loadConfigText(text: string, fileName: string): RawConfig {
  const source = SourceDocument.parse(text, fileName);
  const where = (path: Path) => source.where(path);
  const kind = documentKind(text);
  if (kind === endpointPickerConfigKind) return { values: {}, endpointPickerConfig: { text, fileName }, where };
  if (kind !== undefined) {
    const expected = `must be ${endpointPickerConfigKind} or absent: ${currentValue(kind)}`;
    throw new ConfigError(where(["kind"]), "kind", expected);
  }
  return { values: loadDocument(configSchema, source), where };
}

/** The document as `schema` reads it. Throws a ConfigError for every mistake of its shape. */
export function loadDocument<Schema extends z.ZodType>(schema: Schema, source: SourceDocument): z.output<Schema> {
  const value = source.value ?? {};
  const result = schema.safeParse(value);
  const problems = [
    ...(result.success ? [] : shapeProblems(schema, result.error.issues, source)),
    ...repetitions(value, source),
  ];
  throwProblems(inLineOrder(problems));
  return result.data!;
}

type Issues = NonNullable<ReturnType<z.ZodType["safeParse"]>["error"]>["issues"];

function shapeProblems(schema: z.ZodType, issues: Issues, source: SourceDocument): ConfigError[] {
  const problems = new Map<string, ConfigError>();
  const add = (path: Path, expected: string) => {
    const problem = new ConfigError(source.where(path), pathText(path), expected);
    // Two checks of one value can fail alike.
    problems.set(problem.message, problem);
  };
  for (const issue of issues) {
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) add([...issue.path, key], unknownKey(schema, key, issue.path));
    } else add(issue.path, issue.message);
  }
  return [...problems.values()];
}

/** Names the key that was likely meant: a near one here, or the same one elsewhere. */
function unknownKey(schema: z.ZodType, key: string, path: Path): string {
  const siblings = knownKeys(schema, path) ?? [];
  const near = nearestName(key, siblings);
  const meant = near ? pathText([...path, near]) : sameKeyElsewhere(key);
  const hint = meant ? `did you mean "${meant}"` : `known keys are ${siblings.join(", ")}`;
  return `must be a known key: ${hint}`;
}

function sameKeyElsewhere(key: string): string | undefined {
  return referenceRows().find((row) => row.key.endsWith(`.${key}`))?.key;
}

/** Lists whose items must differ: what makes two items the same. Items of a wrong shape are the schema's matter. */
const identities: readonly { path: Path; key: string; of: (item: unknown) => unknown }[] = [
  { path: ["endpoints"], key: "name", of: (item) => field(item, "name") },
  { path: ["endpoints"], key: "url", of: endpointIdentity },
  { path: ["discovery", "dns"], key: "name", of: (item) => dnsIdentity(item) },
  { path: ["models", "rewrites"], key: "name", of: (item) => field(item, "name") },
  { path: ["objectives"], key: "name", of: (item) => field(item, "name") },
  { path: ["flow", "bands"], key: "priority", of: (item) => numberIdentity(field(item, "priority")) },
  { path: ["flow", "tenants"], key: "name", of: (item) => field(item, "name") },
];

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;
}

/** Two URLs are one endpoint when host and port agree. */
function endpointIdentity(item: unknown): unknown {
  const address = parseServerUrl(typeof item === "string" ? item : field(item, "url"));
  return address && `${address.host}:${address.port}`;
}

function dnsIdentity(item: unknown): unknown {
  const name = field(item, "name");
  return name && `${name} ${field(item, "type") ?? ""} ${field(item, "port") ?? ""}`.trim();
}

function numberIdentity(value: unknown): unknown {
  return typeof value === "number" ? String(value) : undefined;
}

function repetitions(value: unknown, source: SourceDocument): ConfigError[] {
  const problems: ConfigError[] = [];
  for (const { path, key, of } of identities) {
    const items = path.reduce(field as (value: unknown, key: PropertyKey) => unknown, value);
    if (!Array.isArray(items)) continue;
    const seen = new Map<unknown, number>();
    items.forEach((item, index) => {
      const identity = of(item);
      if (typeof identity !== "string") return;
      const first = seen.get(identity);
      if (first === undefined) return seen.set(identity, index);
      const at = typeof item === "string" ? [...path, index] : [...path, index, key];
      const line = source.where([...path, first]);
      const expected = `must be unique: "${identity}" is already used by ${pathText([...path, first])} (${line})`;
      problems.push(new ConfigError(source.where(at), pathText(at), expected));
    });
  }
  return problems;
}

function inLineOrder(problems: readonly ConfigError[]): ConfigError[] {
  const line = (problem: ConfigError) => Number(problem.where.slice(problem.where.lastIndexOf(":") + 1));
  return problems.toSorted((a, b) => line(a) - line(b));
}
