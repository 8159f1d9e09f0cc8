import type { Api } from "../core/mod.ts";
import { scanRecordBytes, spanBytes, spansMax } from "./layout.ts";
import type { HotpathInstance } from "./load.ts";
import * as layout from "./scan_layout.ts";
import { RequestRecord } from "./scan_record.ts";
import { readRequest } from "./scan_request.ts";
import type { ScanFailure, ScanResult } from "./scan_result.ts";

const apiCodes: Readonly<Record<Api, number>> = {
  "chat": layout.apiChat,
  "completions": layout.apiCompletions,
  "responses": layout.apiResponses,
  "embeddings": layout.apiEmbeddings,
  "messages": layout.apiMessages,
  "count-tokens": layout.apiMessages,
  "generate": layout.apiGenerate,
  "sglang-generate": layout.apiSglangGenerate,
  "tokenize": layout.apiTokenize,
  "rerank": layout.apiRerank,
  "score": layout.apiScore,
  "passthrough": layout.apiPassthrough,
};

const syntaxErrors: Readonly<Record<number, string>> = {
  [layout.errorTop]: "expected a JSON object, which starts with '{',",
  [layout.errorKeyOrClose]: "expected a key in double quotes or '}'",
  [layout.errorKey]: "expected a key in double quotes",
  [layout.errorColon]: "expected ':'",
  [layout.errorCommaObject]: "expected ',' or '}'",
  [layout.errorCommaArray]: "expected ',' or ']'",
  [layout.errorValue]: "expected a value",
  [layout.errorStringEnd]: "expected '\"' to end a string",
  [layout.errorControl]: "expected control characters in strings to be escaped",
  [layout.errorEscape]: "expected one of \" \\ / b f n r t u after '\\'",
  [layout.errorHex]: "expected four hexadecimal digits after '\\u'",
  [layout.errorUtf8]: "expected UTF-8",
  [layout.errorDigit]: "expected a digit",
  [layout.errorLiteral]: "expected true, false or null",
  [layout.errorTrailing]: "expected the end of the body",
  [layout.errorDepth]: `nested deeper than ${layout.depthMax} levels`,
  [layout.errorByteOrderMark]: "expected no byte order mark",
};

/**
 * The request scan over one isolate's scratch memory: which fields of a JSON body matter to routing, and its prompt.
 * One request at a time: a scan replaces what the scan before it left.
 */
export class Scanner {
  readonly #instance: HotpathInstance;
  readonly #body: Uint8Array;
  readonly #bodyBytesMax: number;
  readonly #prompt: Uint8Array;
  readonly #promptBytesMax: number;
  readonly #record: RequestRecord;
  readonly #spansMax: number;
  /** Prompt groups of the last scan, a bit each; 0 when it failed. */
  #groups = 0;

  /** `options.spansMax` lowers the number of prompt spans kept for one request. */
  constructor(instance: HotpathInstance, options: { readonly spansMax?: number } = {}) {
    const { memory, layout: regions } = instance;
    this.#instance = instance;
    this.#body = new Uint8Array(memory.buffer, regions.body.offset, regions.body.bytes);
    this.#bodyBytesMax = regions.body.bytes - layout.sentinelBytes;
    this.#prompt = new Uint8Array(memory.buffer, regions.prompt.offset, regions.prompt.bytes);
    this.#promptBytesMax = Math.floor((regions.prompt.bytes - 64) / 4) * 4;
    this.#record = new RequestRecord(memory.buffer, regions.spans.offset);
    const room = Math.floor((regions.spans.bytes - scanRecordBytes) / spanBytes);
    this.#spansMax = Math.min(room, options.spansMax ?? spansMax);
  }

  /**
   * Reads a JSON request body in one pass; the body is copied once and not kept. Throws `RangeError` when it is longer than
   * the memory was laid out for, which the edge's body limit prevents.
   */
  scan(body: Uint8Array, api: Api): ScanResult {
    this.#groups = 0;
    if (body.length > this.#bodyBytesMax) {
      throw new RangeError(
        `Cannot scan the body as its length must be at most ${this.#bodyBytesMax} bytes: current value is ${body.length}`,
      );
    }
    this.#body.set(body);
    const valid = this.#instance.kernels.scanRequest(
      this.#body.byteOffset,
      body.length,
      apiCodes[api],
      this.#record.address,
      this.#record.address + scanRecordBytes,
      this.#spansMax,
    );
    if (!valid) return syntaxFailure(this.#record, body.length);
    const { result, groups } = readRequest(this.#record, body, api);
    this.#groups = groups;
    return result;
  }

  /**
   * The canonical prompt of the last scan, cut at the longest prefix that is matched: equal bytes mean equal prompts, and
   * prompts that begin alike have bytes that begin alike. Zeros follow up to the next multiple of four. A view of the
   * isolate's scratch memory, valid until the next call; empty after a scan that failed.
   */
  canonicalise(): Uint8Array {
    const { kernels, layout: { body, spans } } = this.#instance;
    const bytes = kernels.canonicalPrompt(
      body.offset,
      spans.offset,
      spans.offset + scanRecordBytes,
      this.#groups,
      this.#prompt.byteOffset,
      this.#promptBytesMax,
    );
    return this.#prompt.subarray(0, bytes);
  }
}

function syntaxFailure(record: RequestRecord, length: number): ScanFailure {
  const offset = record.errorOffset;
  const where = offset >= length ? `byte ${offset}, the end of the body` : `byte ${offset}`;
  return {
    ok: false,
    message: `Cannot parse the request body as JSON: ${syntaxErrors[record.error]} at ${where}`,
    offset,
  };
}
