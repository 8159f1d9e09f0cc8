import * as z from "zod";
import { fieldDocs } from "./fields.ts";
import { configSchema } from "./schema.ts";

/** One key of the file, as the reference page shows it. */
export interface ReferenceRow {
  /** Dotted path; `[]` stands for an item of a list. */
  readonly key: string;
  readonly form: string;
  /** As written in a file; absent when the key has no default. */
  readonly default?: string;
  readonly about: string;
}

/** The schema beneath what only wraps it. */
function core(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodOptional) return core(schema.unwrap());
  // A section that also accepts a short form is a pipe into the long one.
  if (schema instanceof z.ZodPipe && core(schema.out) instanceof z.ZodObject) return core(schema.out);
  return schema;
}

/** Keys a mapping at this point of the file may have; undefined where there is no fixed set. */
export function knownKeys(root: z.ZodType, path: readonly PropertyKey[]): string[] | undefined {
  let schema = core(root);
  for (const part of path) {
    if (schema instanceof z.ZodObject) schema = core(schema.shape[String(part)]);
    else if (schema instanceof z.ZodArray) schema = core(schema.element);
    else return undefined;
  }
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : undefined;
}

/** Every key of the file in the order of the schema, sections before their keys. */
export function referenceRows(): ReferenceRow[] {
  const rows: ReferenceRow[] = [];
  const visit = (schema: z.core.$ZodType, key: string) => {
    const doc = schema instanceof z.ZodType ? fieldDocs.get(schema) : undefined;
    if (doc) rows.push({ key, ...doc });
    const inner = core(schema);
    if (inner instanceof z.ZodArray) visit(inner.element, `${key}[]`);
    if (!(inner instanceof z.ZodObject)) return;
    for (const [name, child] of Object.entries(inner.shape)) visit(child, key ? `${key}.${name}` : name);
  };
  visit(configSchema, "");
  return rows;
}

/** The reference of the configuration file as a Markdown table, made from the schema that checks files. */
export function configReference(): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const lines = referenceRows().map((row) => {
    const shown = row.default === undefined ? "" : `\`${row.default}\``;
    return `| \`${row.key}\` | ${cell(row.form)} | ${shown} | ${cell(row.about)} |`;
  });
  return ["| Key | Value | Default | Meaning |", "|---|---|---|---|", ...lines, ""].join("\n");
}
