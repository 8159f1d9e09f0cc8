import type { Api } from "../core/mod.ts";
import * as layout from "./scan_layout.ts";
import type { PromptGroup, RequestRecord } from "./scan_record.ts";
import type { ByteSpan, ScanResult } from "./scan_result.ts";

/** Thrown inside this file for a field that makes the request unusable; never leaves it. */
class FieldError extends Error {
  constructor(readonly param: string, message: string, readonly offset: number) {
    super(message);
  }
}

interface CapField {
  readonly field: number;
  readonly param: string;
}

const maxTokens: CapField = { field: layout.fieldMaxTokens, param: "max_tokens" };

/** Fields that cap the output, first choice first. */
const capFields: Readonly<Partial<Record<Api, readonly CapField[]>>> = {
  "chat": [{ field: layout.fieldMaxCompletionTokens, param: "max_completion_tokens" }, maxTokens],
  "completions": [maxTokens],
  "responses": [{ field: layout.fieldMaxOutputTokens, param: "max_output_tokens" }],
  "messages": [maxTokens],
  "generate": [{ field: layout.fieldSamplingMaxTokens, param: "sampling_params.max_tokens" }],
  "sglang-generate": [{ field: layout.fieldSamplingMaxNewTokens, param: "sampling_params.max_new_tokens" }],
};

const { shapeString, shapeStrings, shapeTokens, shapeLists } = layout;
const anyShape = shapeString | shapeStrings | shapeTokens | shapeLists;

/** How a prompt field must look; the kernel found out how it does look. */
interface PromptField {
  readonly field: number;
  readonly param: string;
  readonly rank: number;
  /** First bytes the value may have. */
  readonly starts: string;
  /** Shapes the value may have; absent for lists of items. */
  readonly shapes?: number;
  /** An empty string or list is refused. */
  readonly filled?: boolean;
  readonly expected: string;
}

const messagesField: PromptField = {
  field: layout.fieldMessages,
  param: "messages",
  rank: layout.rankSecond,
  starts: "[",
  filled: true,
  expected: "a list of at least one message",
};
const promptField: PromptField = {
  field: layout.fieldPrompt,
  param: "prompt",
  rank: layout.rankPrompt,
  starts: '"[',
  shapes: anyShape,
  filled: true,
  expected: "a non-empty string, or a list of strings, of token ids or of lists of token ids",
};
const tokenizePromptField: PromptField = {
  ...promptField,
  shapes: shapeString | shapeStrings,
  filled: false,
  expected: "a string or a list of strings",
};
const embeddingInputField: PromptField = { ...promptField, field: layout.fieldInput, param: "input" };
const responsesInputField: PromptField = {
  field: layout.fieldInput,
  param: "input",
  rank: layout.rankPrompt,
  starts: '"[',
  expected: "a string or a list of items",
};
const tokenIdsField: PromptField = {
  field: layout.fieldTokenIds,
  param: "token_ids",
  rank: layout.rankPrompt,
  starts: "[",
  shapes: shapeTokens,
  filled: true,
  expected: "a non-empty list of token ids",
};
const inputIdsField: PromptField = {
  field: layout.fieldInputIds,
  param: "input_ids",
  rank: layout.rankPrompt,
  starts: "[",
  shapes: shapeTokens | shapeLists,
  filled: true,
  expected: "a non-empty list of token ids or of lists of token ids",
};
const textField: PromptField = {
  field: layout.fieldText,
  param: "text",
  rank: layout.rankSecond,
  starts: '"[',
  shapes: shapeString | shapeStrings,
  expected: "a string or a list of strings",
};
const textOrDocuments = "a string, an object or a list of these";
const queryField: PromptField = {
  field: layout.fieldQuery,
  param: "query",
  rank: layout.rankPrompt,
  starts: '"{',
  expected: "a string or an object",
};
const documentsField: PromptField = {
  field: layout.fieldDocuments,
  param: "documents",
  rank: layout.rankSecond,
  starts: "[{",
  expected: "a list of strings or objects",
};
const text1Field: PromptField = {
  field: layout.fieldText1,
  param: "text_1",
  rank: layout.rankPrompt,
  starts: '"[{',
  expected: textOrDocuments,
};
const text2Field: PromptField = { ...text1Field, field: layout.fieldText2, param: "text_2", rank: layout.rankSecond };

/** Fields of which one must be there, the first one found being the prompt. */
type Alternatives = readonly PromptField[];

/** What each dialect requires: all of these, each by one of its alternatives. */
const required: Readonly<Record<Api, readonly Alternatives[]>> = {
  "chat": [[messagesField]],
  "completions": [[promptField]],
  "responses": [[responsesInputField]],
  "embeddings": [[embeddingInputField]],
  "messages": [[messagesField]],
  "count-tokens": [[messagesField]],
  "generate": [[tokenIdsField]],
  "sglang-generate": [[inputIdsField, textField]],
  "tokenize": [[tokenizePromptField, messagesField]],
  "rerank": [[queryField], [documentsField]],
  "score": [[text1Field], [text2Field]],
  "passthrough": [],
};

const decoder = new TextDecoder();

/** The fields of one scanned body. */
class Fields {
  constructor(readonly record: RequestRecord, readonly body: Uint8Array) {}

  text({ start, end }: ByteSpan): string {
    // A copy: text decoders do not take views of shared memory.
    return decoder.decode(this.body.slice(start, end));
  }

  /** Where a field's value lies; undefined when it is absent or null. */
  span(field: number): ByteSpan | undefined {
    const span = this.record.field(field);
    return span && this.body[span.start] !== 0x6e ? span : undefined;
  }

  fault(param: string, span: ByteSpan, expected: string): FieldError {
    const { start, end } = span;
    const shown = this.text({ start, end: Math.min(end, start + 40) });
    const value = end - start > 40 ? `${shown}…` : shown;
    return new FieldError(
      param,
      `Cannot read the request as ${param} must be ${expected}: current value is ${value}`,
      start,
    );
  }

  string(field: number): string | undefined {
    const span = this.span(field);
    return span && this.body[span.start] === 0x22 ? JSON.parse(this.text(span)) : undefined;
  }

  boolean(field: number, param: string): boolean | undefined {
    const span = this.span(field);
    if (!span) return undefined;
    const first = this.body[span.start];
    if (first === 0x74 || first === 0x66) return first === 0x74;
    throw this.fault(param, span, "true or false");
  }

  count(field: number, param: string): number | undefined {
    const span = this.span(field);
    if (!span) return undefined;
    const first = this.body[span.start];
    const value = first === 0x2d || (first >= 0x30 && first <= 0x39) ? Number(this.text(span)) : NaN;
    // -0 is 0.
    if (Number.isInteger(value) && value >= 0) return Math.abs(value);
    throw this.fault(param, span, "a non-negative integer");
  }
}

/** Checks the fields of a valid JSON body and gives the prompt groups (a bit each) its prompt consists of. */
export function readRequest(
  record: RequestRecord,
  body: Uint8Array,
  api: Api,
): { readonly result: ScanResult; readonly groups: number } {
  try {
    const fields = new Fields(record, body);
    const common = api === "passthrough" ? readPassthrough(fields) : readCommon(fields, api);
    const { groups, ...prompt } = readPrompt(fields, api);
    const result = { ok: true, api, open: record.open, empty: record.empty, ...common, ...prompt } as const;
    return { result, groups };
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    const { message, param, offset } = error;
    return { result: { ok: false, message, param, offset }, groups: 0 };
  }
}

/** Paths the router does not know: fields of the usual names and types are used, others are the engine's business. */
function readPassthrough(fields: Fields) {
  const stream = fields.span(layout.fieldStream);
  const model = fields.string(layout.fieldModel) || undefined;
  return {
    model,
    modelSpan: model === undefined ? undefined : fields.record.field(layout.fieldModel),
    stream: stream !== undefined && fields.body[stream.start] === 0x74,
    streamOptionsEmpty: false,
  };
}

function readCommon(fields: Fields, api: Api) {
  const sglang = api === "sglang-generate";
  return {
    model: readModel(fields),
    modelSpan: fields.record.field(layout.fieldModel),
    stream: fields.boolean(layout.fieldStream, "stream") ?? false,
    maxOutputTokens: readCap(fields, api),
    n: readChoices(fields, api),
    ...readStreamOptions(fields),
    salt: fields.string(sglang ? layout.fieldExtraKey : layout.fieldCacheSalt),
    adapter: sglang ? fields.string(layout.fieldLoraPath) : undefined,
    previousResponseId: fields.string(layout.fieldPreviousResponseId),
    user: fields.string(layout.fieldUser),
  };
}

function readModel(fields: Fields): string | undefined {
  const span = fields.span(layout.fieldModel);
  if (!span) return undefined;
  const model = fields.string(layout.fieldModel);
  if (!model) throw fields.fault("model", span, "a non-empty string");
  return model;
}

function readCap(fields: Fields, api: Api): number | undefined {
  for (const { field, param } of capFields[api] ?? []) {
    const cap = fields.count(field, param);
    if (cap !== undefined) return cap;
  }
  return undefined;
}

function readChoices(fields: Fields, api: Api): number | undefined {
  const native = api === "generate" || api === "sglang-generate";
  return native ? fields.count(layout.fieldSamplingN, "sampling_params.n") : fields.count(layout.fieldN, "n");
}

function readStreamOptions(fields: Fields) {
  const span = fields.record.field(layout.fieldStreamOptions);
  if (!span) return { streamOptionsEmpty: false };
  const first = fields.body[span.start];
  if (first !== 0x7b && first !== 0x6e) throw fields.fault("stream_options", span, "an object");
  let inside = span.start + 1;
  while (fields.body[inside] <= 0x20) inside++;
  return {
    streamOptionsSpan: span,
    streamOptionsEmpty: first === 0x6e || fields.body[inside] === 0x7d,
    includeUsage: fields.boolean(layout.fieldIncludeUsage, "stream_options.include_usage"),
    includeUsageSpan: fields.record.field(layout.fieldIncludeUsage),
  };
}

/** Checks the required input and adds up the prompt. */
function readPrompt(fields: Fields, api: Api) {
  let groups = 1 << layout.rankTools | 1 << layout.rankSystem;
  let tokenIds = false;
  for (const alternatives of required[api]) {
    const found = alternatives.find(({ field }) => fields.span(field));
    if (!found) throw missing(fields, alternatives);
    const group = fields.record.group(found.rank);
    checkPrompt(fields, found, group);
    groups |= 1 << found.rank;
    if (group.shape & (shapeTokens | shapeLists)) tokenIds = true;
  }
  let promptBytes = 0;
  let mediaParts = 0;
  let tokens = 0;
  for (let rank = 0; rank < layout.rankCount; rank++) {
    if (!(groups >> rank & 1)) continue;
    const group = fields.record.group(rank);
    promptBytes += group.textBytes;
    mediaParts += group.mediaParts;
    tokens += group.tokens + group.mediaTokens;
  }
  return { groups, promptBytes, promptTokens: Math.ceil(promptBytes / 4) + tokens, tokenIds, mediaParts };
}

function missing(fields: Fields, alternatives: Alternatives): FieldError {
  const names = alternatives.map(({ param }) => param);
  const wanted = alternatives.map(({ param, expected }) => `${param} must be ${expected}`).join(", or ");
  return new FieldError(
    names[0],
    `Cannot read the request as ${wanted}: ${names.length > 1 ? "none of them is given" : "it is missing"}`,
    fields.record.open,
  );
}

function checkPrompt(fields: Fields, want: PromptField, group: PromptGroup): void {
  const span = fields.span(want.field)!;
  const first = String.fromCharCode(fields.body[span.start]);
  if (!want.starts.includes(first)) throw fields.fault(want.param, span, want.expected);
  if (want.shapes !== undefined) {
    const shape = group.shape & ~layout.shapeFilled;
    // More than one bit: elements of different types.
    if (shape & ~want.shapes || shape & (shape - 1)) throw fields.fault(want.param, span, want.expected);
  }
  const filled = first === '"' ? span.end - span.start > 2 : (group.shape & layout.shapeFilled) !== 0;
  if (want.filled && !filled) throw fields.fault(want.param, span, want.expected);
  if (group.problem === 0) return;
  const token = group.problem === layout.problemToken;
  throw new FieldError(
    want.param,
    token
      ? `Cannot read the request as ${want.param} must hold token ids from 0 to ${layout.tokenIdMax}: ` +
        `byte ${group.problemOffset} is the start of another value`
      : `Cannot read the request as every element of ${want.param} must be an object: ` +
        `byte ${group.problemOffset} is the start of another value`,
    group.problemOffset,
  );
}
