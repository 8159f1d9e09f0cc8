import type { PromptBlocks } from "../core/mod.ts";
import type { RequestScan } from "../hotpath/mod.ts";
import type { ExactPrompt, NoExactPrompt, PipelineParts } from "./parts.ts";
import type { Inbound } from "./types.ts";

/** A prompt as the prefix index knows it, and how that was had. */
export interface HashedPrompt {
  readonly blocks: PromptBlocks;
  /** `text`: blocks of the prompt's text; else where the engine's own token ids came from. */
  readonly source: string;
  /** Why the text was taken although an endpoint's feed tells token blocks. */
  readonly reason?: string;
  /** Length in tokens, where it is exact. */
  readonly tokens?: number;
}

const noBlocks = new BigUint64Array(0);

/**
 * Hashes the prompt: in blocks of the engine's token ids where an endpoint of the model tells what it caches, since such
 * blocks alone can be compared with what it tells; in blocks of text else, and where the ids cannot be had.
 */
export function hashPrompt(
  inbound: Inbound,
  scan: RequestScan | undefined,
  model: string,
  parts: PipelineParts,
): HashedPrompt | Promise<HashedPrompt> {
  const { options, pool, index, tokenizer } = parts;
  if (!scan || !options.prefixEnabled || scan.promptTokens === 0) {
    return { blocks: { hashes: noBlocks, blockTokens: options.blockTokens }, source: "none" };
  }
  const text = (reason?: string): HashedPrompt => ({ blocks: textBlocks(scan, model, parts), source: "text", reason });
  const { slots, count } = pool.candidates(model);
  const blockTokens = tokenizer ? index.feedBlockTokens(slots, count) : 0;
  if (blockTokens === 0) return text();
  const lora = scan.adapter ?? (pool.isAdapter(model) ? model : "");
  const exact = (found: ExactPrompt): HashedPrompt => ({
    blocks: {
      hashes: index.chain({ ...found, blockTokens, lora, extras: extras(found, scan.salt, blockTokens) }),
      blockTokens,
    },
    source: found.source,
    tokens: found.tokens.length,
  });
  const answer = tokenizer!.prompt({ model, api: inbound.api, body: inbound.body! }, inbound.signal);
  if (!(answer instanceof Promise)) return "unavailable" in answer ? text(answer.unavailable) : exact(answer);
  return answer.then((answer: ExactPrompt | NoExactPrompt) => {
    if (!("unavailable" in answer)) return exact(answer);
    // Other requests have used the scratch since.
    parts.hotpath.scanner.scan(inbound.body!, inbound.api);
    return text(answer.unavailable);
  });
}

function textBlocks(
  scan: RequestScan,
  model: string,
  { hotpath, options: { blockTokens } }: PipelineParts,
): PromptBlocks {
  const identity = { model: scan.adapter ?? model, salt: scan.salt ?? "", blockTokens };
  return { hashes: hotpath.hashPrompt(hotpath.scanner.canonicalise(), identity), blockTokens };
}

/** What enters block hashes besides tokens, as vLLM has it: media by the blocks they overlap, the salt in the first. */
function extras(
  { media = [] }: ExactPrompt,
  salt: string | undefined,
  blockTokens: number,
): ReadonlyMap<number, readonly string[]> | undefined {
  if (media.length === 0 && salt === undefined) return undefined;
  const byBlock = new Map<number, string[]>();
  const add = (block: number, text: string) => {
    const texts = byBlock.get(block);
    if (texts) texts.push(text);
    else byBlock.set(block, [text]);
  };
  for (const { hash, offset, length } of media.toSorted((a, b) => a.offset - b.offset)) {
    const last = Math.floor((offset + length - 1) / blockTokens);
    for (let block = Math.floor(offset / blockTokens); block <= last; block++) add(block, hash);
  }
  if (salt !== undefined) add(0, salt);
  return byBlock;
}
