/** Traces of requests: arrival times, lengths and, where the trace has them, prefixes; no text. */

/** Tokens one hash id of a trace stands for. */
export const traceBlockTokens = 512;

/** One request of a trace. */
export interface TraceRequest {
  readonly atMs: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** One id a block of 512 tokens, the last for what is left. An id names the whole prefix up to its block. */
  readonly hashIds: readonly number[];
}

/** Reads a trace file: Mooncake's JSONL, or Azure's CSV, told apart by the first character. */
export function readTrace(text: string): TraceRequest[] {
  const requests = text.startsWith("{") ? readMooncake(text) : readAzure(text);
  if (requests.length === 0) throw new RangeError("Cannot replay a trace without requests");
  requests.sort((a, b) => a.atMs - b.atMs);
  return requests;
}

/** `{"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": [...]}` a line. */
function readMooncake(text: string): TraceRequest[] {
  return linesOf(text).map((line, i) => {
    const { timestamp, input_length, output_length, hash_ids } = JSON.parse(line);
    const blocks = Math.ceil(input_length / traceBlockTokens);
    if (!Number.isFinite(timestamp) || !(input_length >= 1) || !(output_length >= 1) || hash_ids?.length !== blocks) {
      throw new RangeError(
        `Cannot read line ${i + 1} as it must have timestamp, lengths and a hash id for 512 tokens each`,
      );
    }
    return { atMs: timestamp, inputTokens: input_length, outputTokens: output_length, hashIds: hash_ids };
  });
}

/** `TIMESTAMP,ContextTokens,GeneratedTokens`; no prefixes, so no two requests share a block. */
function readAzure(text: string): TraceRequest[] {
  const [header, ...lines] = linesOf(text);
  if (header.trim() !== "TIMESTAMP,ContextTokens,GeneratedTokens") {
    throw new RangeError(
      `Cannot read the trace as its first line must be Azure's header or JSON: it is "${header.slice(0, 60)}"`,
    );
  }
  let nextId = 0, firstMs = NaN;
  return lines.map((line, i) => {
    const [timestamp, context, generated] = line.split(",");
    const ms = Date.parse(`${timestamp.trim().replace(" ", "T")}Z`), inputTokens = Number(context);
    const outputTokens = Math.max(1, Number(generated));
    if (Number.isNaN(ms) || !(inputTokens >= 1) || Number.isNaN(outputTokens)) {
      throw new RangeError(`Cannot read line ${i + 2} as it must be a time and two numbers of tokens: it is "${line}"`);
    }
    if (i === 0) firstMs = ms;
    const hashIds = Array.from({ length: Math.ceil(inputTokens / traceBlockTokens) }, () => nextId++);
    return { atMs: ms - firstMs, inputTokens, outputTokens, hashIds };
  });
}

function linesOf(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}

/** Tokens of the prompt's `i`th block of 512. */
function tokensOfBlock(request: TraceRequest, i: number): number {
  return Math.min(traceBlockTokens, request.inputTokens - i * traceBlockTokens);
}

/** Hit rate of one cache that holds `capacityTokens` and forgets its least recently used blocks, requests in order. */
export function lruHitRate(trace: readonly TraceRequest[], capacityTokens: number): { blocks: number; tokens: number } {
  // A Map keeps insertion order, and a touched id is inserted again: the first entry is the oldest.
  const held = new Map<number, number>();
  let heldTokens = 0, hitTokens = 0, hitBlocks = 0, allTokens = 0, allBlocks = 0;
  for (const request of trace) {
    const { hashIds } = request;
    let hits = 0;
    while (hits < hashIds.length && held.has(hashIds[hits])) hits++;
    for (let i = 0; i < hits; i++) hitTokens += tokensOfBlock(request, i);
    hitBlocks += hits;
    allBlocks += hashIds.length;
    allTokens += request.inputTokens;
    // Deepest first, so that the head of a prefix outlives its tail.
    for (let i = hashIds.length - 1; i >= 0; i--) {
      const tokens = tokensOfBlock(request, i);
      heldTokens += tokens - (held.get(hashIds[i]) ?? 0);
      held.delete(hashIds[i]);
      held.set(hashIds[i], tokens);
    }
    for (const [id, tokens] of held) {
      if (heldTokens <= capacityTokens) break;
      held.delete(id);
      heldTokens -= tokens;
    }
  }
  return { blocks: hitBlocks / allBlocks, tokens: hitTokens / allTokens };
}

/**
 * The router's hashes of a prompt: one a block of `blockTokens` tokens, the last one partial. Equal where the trace says
 * that prefixes are equal. `blockTokens` must divide 512.
 */
export function routerHashes(request: TraceRequest, blockTokens: number): BigUint64Array {
  const hashes = new BigUint64Array(Math.ceil(request.inputTokens / blockTokens));
  const words = new Uint32Array(hashes.buffer);
  const perId = traceBlockTokens / blockTokens;
  for (let i = 0; i < hashes.length; i++) {
    const id = request.hashIds[Math.floor(i / perId)];
    // A partial block is another block than the full one, as its bytes are fewer.
    const tokens = Math.min(blockTokens, request.inputTokens - i * blockTokens);
    const place = i % perId * blockTokens + tokens;
    words[2 * i] = mix(id, place);
    words[2 * i + 1] = mix(place ^ 0x5bd1e995, id);
  }
  return hashes;
}

/** 32 bits of both words (murmur3's steps). */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ 0x3c6ef372, 0xcc9e2d51);
  h = Math.imul((h << 15 | h >>> 17) ^ Math.imul(b, 0x1b873593), 0x85ebca6b);
  h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
  return (h ^ h >>> 16) >>> 0;
}
