import * as z from "zod";
import { currentValue } from "./errors.ts";
import { formatBytes, formatDuration, parseBytes, parseDurationMs } from "./units.ts";

/** What the reference page says of one key; kept beside the schema that checks it. */
export interface FieldDoc {
  /** The form a value takes, as messages name it. */
  readonly form: string;
  readonly about: string;
  /** As it would be written in the file; absent when the key has no default. */
  readonly default?: string;
}

/** The documentation of every key, by its schema. */
export const fieldDocs = z.registry<FieldDoc>();

type About<T> = { readonly about: string; readonly default?: T; readonly required?: boolean };

/** Words for the value a check refused, in the house grammar. */
function mustBe(form: string) {
  return (issue: { readonly input?: unknown }) => `must be ${form}: ${currentValue(issue.input)}`;
}

function documented<S extends z.ZodType>(schema: S, doc: FieldDoc): z.ZodOptional<S> {
  const optional = schema.optional();
  fieldDocs.add(optional, doc);
  return optional;
}

/** Like `documented`, for a key that must be there. */
function needed<S extends z.ZodType>(schema: S, doc: FieldDoc): S {
  fieldDocs.add(schema, doc);
  return schema;
}

/** A value read from a string by `parse`, which answers undefined for what it does not accept. */
function parsed<T>(form: string, parse: (input: unknown) => T | undefined) {
  return z.unknown().transform((input, context): T => {
    const value = parse(input);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: mustBe(form)({ input }), input });
    return z.NEVER;
  });
}

export function textSchema(form: string, pattern: RegExp, charsMax = 1024) {
  const error = mustBe(form);
  return z.string({ error }).regex(pattern, { error }).max(charsMax, { error });
}

const anyText = /\S/;

export function text(doc: About<string> & { readonly form?: string; readonly pattern?: RegExp }) {
  const form = doc.form ?? "a non-empty string";
  return documented(textSchema(form, doc.pattern ?? anyText), { form, about: doc.about, default: doc.default });
}

export function requiredText(doc: About<never> & { readonly form?: string; readonly pattern?: RegExp }) {
  const form = doc.form ?? "a non-empty string";
  return needed(textSchema(form, doc.pattern ?? anyText), { form, about: doc.about });
}

/** A text that no message may show. */
function hiddenText({ form, pattern }: { readonly form: string; readonly pattern: RegExp }) {
  const error = `must be ${form}`;
  return z.string({ error }).regex(pattern, { error });
}

type Hidden = About<never> & { readonly form: string; readonly pattern: RegExp };

export function secret(doc: Hidden) {
  return documented(hiddenText(doc), { form: doc.form, about: doc.about });
}

export function requiredSecret(doc: Hidden) {
  return needed(hiddenText(doc), { form: doc.form, about: doc.about });
}

/** A key that must not be there, whatever its value; not in the reference. */
export function refused(expected: string) {
  return z.undefined({ error: expected }).optional();
}

/** A moment, read to milliseconds since the epoch: a date alone is its first moment in UTC. */
export function instant(doc: About<never>) {
  const form = 'a date such as "2027-01-31" or "2027-01-31T12:00:00Z"';
  const schema = parsed(form, (input) => {
    if (typeof input !== "string" || !/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d))?$/.test(input)) {
      return undefined;
    }
    const ms = Date.parse(input);
    return Number.isNaN(ms) ? undefined : ms;
  });
  return documented(schema, { form, about: doc.about });
}

export function integerSchema(min: number, max: number) {
  const error = mustBe(`an integer from ${min} to ${max}`);
  return z.int({ error }).min(min, { error }).max(max, { error });
}

export function integer(min: number, max: number, doc: About<number>) {
  return documented(integerSchema(min, max), {
    form: `an integer from ${min} to ${max}`,
    about: doc.about,
    default: doc.default?.toString(),
  });
}

/** A count, or "auto": as many as the machine's cores allow. */
export const countForm = (min: number, max: number) => `"auto" or an integer from ${min} to ${max}`;

export function countOrAuto(min: number, max: number, doc: About<number>) {
  const form = countForm(min, max);
  const schema = parsed(form, (input): number | "auto" | undefined => {
    if (input === "auto") return input;
    return Number.isInteger(input) && input as number >= min && input as number <= max ? input as number : undefined;
  });
  return documented(schema, { form, about: doc.about, default: doc.default?.toString() });
}

export function requiredInteger(min: number, max: number, doc: About<never>) {
  return needed(integerSchema(min, max), { form: `an integer from ${min} to ${max}`, about: doc.about });
}

/** A share, 0 to 1. */
export function ratio(doc: About<number>) {
  return decimal(0, 1, doc);
}

export function flag(doc: About<boolean>) {
  const form = "true or false";
  return documented(z.boolean({ error: mustBe(form) }), { form, about: doc.about, default: doc.default?.toString() });
}

export function choice<const T extends string>(values: readonly T[], doc: About<T>) {
  const form = `one of ${values.join(", ")}`;
  return documented(z.enum(values, { error: mustBe(form) }), { form, about: doc.about, default: doc.default });
}

/** One of `values`, or another's name for one, read to ours. */
export function choiceOrAlias<const T extends string>(
  values: readonly T[],
  aliases: Readonly<Record<string, T>>,
  doc: About<T>,
) {
  const form = `one of ${values.join(", ")}, or llm-d's name for one`;
  const names = new Map([...Object.entries(aliases), ...values.map((value) => [value, value] as const)]);
  const schema = parsed(form, (input) => typeof input === "string" ? names.get(input) : undefined);
  return documented(schema, { form, about: doc.about, default: doc.default });
}

function durationWithin(minMs: number, maxMs: number) {
  return (input: unknown): number | undefined => {
    const ms = typeof input === "string" ? parseDurationMs(input) : undefined;
    return ms !== undefined && ms >= minMs && ms <= maxMs ? ms : undefined;
  };
}

const durationForm = (minMs: number, maxMs: number) =>
  `a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as "500ms" or "30s"`;

/** A duration with its unit, read to milliseconds. `default` is in milliseconds. */
export function duration(minMs: number, maxMs: number, doc: About<number>) {
  const form = durationForm(minMs, maxMs);
  const shown = doc.default === undefined ? undefined : formatDuration(doc.default);
  return documented(parsed(form, durationWithin(minMs, maxMs)), { form, about: doc.about, default: shown });
}

export function requiredDuration(minMs: number, maxMs: number, doc: About<never>) {
  const form = durationForm(minMs, maxMs);
  return needed(parsed(form, durationWithin(minMs, maxMs)), { form, about: doc.about });
}

/** A duration, or `word` in its place. */
export function durationOr<const W extends string>(word: W, minMs: number, maxMs: number, doc: About<never>) {
  const form = `"${word}" or a duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, such as "500ms"`;
  const within = durationWithin(minMs, maxMs);
  const schema = parsed(form, (input): number | W | undefined => input === word ? word : within(input));
  return documented(schema, { form, about: doc.about });
}

/** A number that need not be whole. */
export function decimal(min: number, max: number, doc: About<number>) {
  const form = `a number from ${min} to ${max}`;
  const error = mustBe(form);
  return documented(z.number({ error }).min(min, { error }).max(max, { error }), {
    form,
    about: doc.about,
    default: doc.default?.toString(),
  });
}

/** A size with its unit, read to bytes; a bare number is taken as bytes when `bare` says the key's name means bytes. */
export function bytes(min: number, max: number, doc: About<number> & { readonly bare?: boolean }) {
  const form = `a size from ${formatBytes(min)} to ${formatBytes(max)}, such as "64MiB"`;
  const schema = parsed(form, (input) => {
    const value = typeof input === "string"
      ? parseBytes(input)
      : doc.bare && Number.isSafeInteger(input)
      ? input as number
      : undefined;
    return value !== undefined && value >= min && value <= max ? value : undefined;
  });
  const shown = doc.default === undefined ? undefined : formatBytes(doc.default);
  return documented(schema, { form, about: doc.about, default: shown });
}

/** Where a model server listens. */
export interface ServerAddress {
  readonly scheme: "http" | "https";
  /** IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
}

export const urlForm = 'a URL of scheme, host and port, such as "http://10.0.0.1:8000"';

/** Scheme, host and port of a server URL; undefined when it is none or carries more than these. */
export function parseServerUrl(input: unknown): ServerAddress | undefined {
  if (typeof input !== "string" || !URL.canParse(input)) return undefined;
  const url = new URL(input);
  if (url.protocol !== "http:" && url.protocol !== "https:") return undefined;
  if (url.pathname !== "/" || url.search || url.hash || url.username || url.password) return undefined;
  const scheme = url.protocol === "https:" ? "https" : "http";
  const port = url.port ? Number(url.port) : scheme === "https" ? 443 : 80;
  return port === 0 ? undefined : { scheme, host: url.hostname, port };
}

export function serverUrl(doc: About<never>) {
  return needed(parsed(urlForm, parseServerUrl), { form: urlForm, about: doc.about });
}

/** A mapping with these keys and no others. */
export function section<Shape extends z.ZodRawShape>(about: string, shape: Shape) {
  return documented(sectionSchema(shape), { form: "a mapping", about });
}

export function sectionSchema<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, { error: mustBe("a mapping of keys to values") });
}

/** A section that may be written as the value of its key `short` alone. */
export function shortSection<Shape extends z.ZodRawShape>(about: string, short: string, shape: Shape) {
  const long = (input: unknown) => typeof input === "string" ? { [short]: input } : input;
  return documented(z.preprocess(long, sectionSchema(shape)), { form: `its \`${short}\` alone, or a mapping`, about });
}

/** A list whose items all fit `item`. */
export function list<Item extends z.ZodType>(item: Item, doc: { readonly about: string; readonly form?: string }) {
  const form = doc.form ?? "a list";
  return documented(z.array(item, { error: mustBe(form) }), { form, about: doc.about });
}

/** A list with at least one item. */
export function nonEmptyList<Item extends z.ZodType>(
  item: Item,
  doc: { readonly about: string; readonly form: string },
) {
  const error = mustBe(doc.form);
  return needed(z.array(item, { error }).min(1, { error }), doc);
}

/** A list with at least one item, or nothing. */
export function optionalNonEmptyList<Item extends z.ZodType>(
  item: Item,
  doc: { readonly about: string; readonly form: string },
) {
  const error = mustBe(doc.form);
  return documented(z.array(item, { error }).min(1, { error }), doc);
}

/** A mapping from names of the writer's choice to strings. */
export function names(doc: { readonly about: string; readonly form: string }) {
  const error = mustBe("a non-empty string");
  const value = z.string({ error }).regex(anyText, { error });
  return documented(z.record(z.string(), value, { error: mustBe(doc.form) }), doc);
}

/** Data another room parses. */
export function opaqueList(doc: { readonly about: string; readonly form: string }) {
  return documented(z.array(z.unknown(), { error: mustBe(doc.form) }), doc);
}
