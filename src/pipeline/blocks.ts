import type { PromptBlocks } from "../core/mod.ts";
import type { RequestScan } from "../hotpath/mod.ts";
import { isUnavailable, type PromptExtras, type PromptTokens, type Unavailable } from "../tokens/mod.ts";
import type { PipelineParts } from "./parts.ts";
import type { Inbound } from "./types.ts";

/** A prompt as the prefix index knows it, and how that was had. */
export interface HashedPrompt {
  readonly blocks: PromptBlocks;
  /** `text`: blocks of the prompt's text; `none`: no blocks; else where the engine's own token ids came from. */
  readonly source: string;
  /** Why the text was taken although an endpoint's feed tells of token blocks. */
  readonly reason?: string;
  /** Length in tokens, where it is exact. */
  readonly tokens?: number;
}

const noBlocks = new BigUint64Array(0);

/**
 * Hashes the prompt: in blocks of the engine's token ids where an endpoint of the model tells what it caches, since such
 * blocks alone can be compared with what it tells; in blocks of text else, and where the ids cannot be had.
 *
 * `body` is what goes to the endpoint. Takes a pause only where ids have to be waited for.
 */
export function hashPrompt(
  inbound: Inbound,
  scan: RequestScan | undefined,
  model: string,
  body: Uint8Array | undefined,
  parts: PipelineParts,
): HashedPrompt | Promise<HashedPrompt> {
  const { options, pool, index, tokenizer, table } = parts;
  if (!scan || !body || !options.prefixEnabled || scan.promptTokens === 0) {
    return { blocks: { hashes: noBlocks, blockTokens: options.blockTokens }, source: "none" };
  }
  const { slots, count } = pool.candidates(model);
  const blockTokens = tokenizer ? index.feedBlockTokens(slots, count) : 0;
  if (blockTokens === 0) return { blocks: textBlocks(scan, model, parts), source: "text" };
  const base = pool.baseOf(model);
  const lora = scan.adapter ?? (base === undefined ? "" : model);
  const engine = table.meta(slots[0]).engine === "sglang" ? "sglang" : "vllm";
  const hashed = (answer: PromptTokens | Unavailable, rescan: boolean): HashedPrompt => {
    if (isUnavailable(answer)) {
      // Other requests have used the scratch since.
      if (rescan) parts.hotpath.scanner.scan(inbound.body!, inbound.api);
      return { blocks: textBlocks(scan, model, parts), source: "text", reason: answer.reason };
    }
    const { tokens, source, extras } = answer;
    const hashes = index.chain({ tokens, blockTokens, lora, extras: extras && extrasByBlock(extras, blockTokens) });
    return { blocks: { hashes, blockTokens, exact: true }, source, tokens: tokens.length };
  };
  const answer = tokenizer!.prompt({ model: base ?? model, api: inbound.api, engine, body }, inbound.signal);
  return answer instanceof Promise ? answer.then((answer) => hashed(answer, true)) : hashed(answer, false);
}

function textBlocks(scan: RequestScan, model: string, { hotpath, options }: PipelineParts): PromptBlocks {
  const { blockTokens } = options;
  const identity = { model: scan.adapter ?? model, salt: scan.salt ?? "", blockTokens };
  return { hashes: hotpath.hashPrompt(hotpath.scanner.canonicalise(), identity), blockTokens };
}

/** What enters block hashes besides tokens, as vLLM has it: media in the blocks they overlap, the salt in the first. */
export function extrasByBlock(
  { media, cacheSalt }: PromptExtras,
  blockTokens: number,
): ReadonlyMap<number, readonly string[]> {
  const byBlock = new Map<number, string[]>();
  const add = (block: number, text: string) => {
    const texts = byBlock.get(block);
    if (texts) texts.push(text);
    else byBlock.set(block, [text]);
  };
  for (const { hash, offset, length } of media) {
    const last = Math.floor((offset + length - 1) / blockTokens);
    for (let block = Math.floor(offset / blockTokens); block <= last; block++) add(block, hash);
  }
  if (cacheSalt !== undefined) add(0, cacheSalt);
  return byBlock;
}
