/** Chat requests of a wanted size, and a pool as it looks after hours of them. */
import { Prng } from "../../src/core/mod.ts";
import type { BenchRouter } from "../lib/router.ts";

const encoder = new TextEncoder();

/** Bytes of a message that `renew` writes over. */
const stampBytes = 12;

/** One conversation's next request; `renew` makes it a request not seen before. */
export interface ChatBody {
  readonly bytes: Uint8Array;
  /** The same conversation one turn earlier: what an endpoint has already computed. */
  readonly earlier: Uint8Array;
  /** Writes a new number into the last message, or into the first one after the system prompt. */
  renew(): void;
}

const words =
  "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she there would their we him been has when who will no more if out so up said what its about than into them can only other time new some could these two may first then do any like my now over such our man me even most made after also well many must before back through years where much your way down should because long each just state those people too mr little good world make very year still see own work men day get here between life being under three never know same last another while us off might great go come since against right came take used himself few house use place during high without again home around small however found mrs part school thought went say general once upon war every does got united left number course until always something fact water less public put think almost enough far took head yet better set nothing night end why called didn eyes find going look asked later knew people let"
    .split(" ");

/** Prose with line breaks, quotation marks and some letters outside ASCII, as JSON escapes and UTF-8 see them. */
function prose(prng: Prng, bytes: number): string {
  let text = "";
  while (text.length < bytes) {
    text += words[prng.below(words.length)];
    const roll = prng.below(100);
    text += roll < 3 ? ".\n" : roll < 4 ? ' "so"' : roll < 5 ? " café" : " ";
  }
  return text.slice(0, bytes);
}

const bytesPerToken = 4;
const turnBytes = 2400;

/**
 * A chat body of `tokens` × 4 bytes: a system prompt of an eighth of it, shared by all bodies of one `group`, then turns
 * of about 600 tokens. One that `continues` differs from its earlier turn, and from call to call of `renew`, in its last
 * message; another one in all but the system prompt.
 */
export function chatBody(tokens: number, group: number, seed: number, continues: boolean): ChatBody {
  const prng = new Prng(seed);
  const total = tokens * bytesPerToken;
  const stampText = "0".repeat(stampBytes);
  const messages = [
    { role: "system", content: prose(new Prng(group), total >> 3) },
    { role: "user", content: (continues ? "" : stampText) + prose(prng, turnBytes / 4) },
  ];
  const size = () => JSON.stringify(messages).length;
  while (size() < total - 2 * turnBytes) {
    messages.push({ role: "assistant", content: prose(prng, turnBytes) }, {
      role: "user",
      content: prose(prng, turnBytes / 4),
    });
  }
  const earlier = body(messages);
  messages.push({ role: "assistant", content: prose(prng, Math.max(16, (total - size()) / 2)) });
  messages.push({
    role: "user",
    content: (continues ? stampText : "") + prose(prng, Math.max(16, total - size() - 160)),
  });
  const bytes = body(messages);
  const stampAt = lastIndexOf(bytes, encoder.encode(stampText));
  let stamp = 0;
  return {
    bytes,
    earlier,
    renew: () => void encoder.encodeInto(String(++stamp).padStart(stampBytes, "0"), bytes.subarray(stampAt)),
  };
}

function body(messages: readonly unknown[]): Uint8Array {
  return encoder.encode(JSON.stringify({ model: "bench", messages, stream: true, max_tokens: 512, temperature: 0.7 }));
}

function lastIndexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  outer: for (let at = bytes.length - wanted.length; at >= 0; at--) {
    for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) continue outer;
    return at;
  }
  throw new Error("The body has no stamp");
}

/** Conversations an endpoint has in its cache before the measurement, of how many blocks, and how many lead them all. */
const conversationsPerEndpoint = 16;
const blocksPerConversation = 128;
const sharedBlocks = 16;
const systemPrompts = 20;

/** Fills the prefix tree with other people's conversations and the load columns with a mixed load. */
export function populate({ table, caches, parts }: BenchRouter, seed: number): void {
  const prng = new Prng(seed);
  const random = () => BigInt(prng.u32()) << 32n | BigInt(prng.u32());
  const blockTokens = parts.options.blockTokens;
  const systems = Array.from({ length: systemPrompts }, () => Array.from({ length: sharedBlocks }, random));
  for (const slot of table.slots()) {
    for (let i = 0; i < conversationsPerEndpoint; i++) {
      const hashes = BigUint64Array.from({ length: blocksPerConversation }, random);
      hashes.set(systems[prng.below(systemPrompts)]);
      caches.index.speculate(slot, { hashes, blockTokens }, parts.clock.now()).confirm();
    }
    table.waiting[slot] = prng.below(4);
    table.running[slot] = prng.below(60);
    table.kvUsage[slot] = prng.float();
  }
}

/** Makes every load sample a fresh one, as the scraper keeps it. */
export function refreshSamples({ table, parts }: BenchRouter): void {
  for (const slot of table.slots()) table.sampleAtMs[slot] = parts.clock.now();
}
