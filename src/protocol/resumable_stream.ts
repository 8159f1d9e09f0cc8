/** A stream of chat or text completions that may be told in parts, by one engine after another. */
import { concatBytes } from "../core/mod.ts";
import { eventEnd, isNothing } from "./events.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const empty = new Uint8Array();

/** Longest event that is held until it has ended, and the most text that is kept to go on with. */
const eventBytesMax = 1 << 20;
const textCharsMax = 4 << 20;

interface Chunk {
  id?: unknown;
  created?: unknown;
  model?: unknown;
  choices?: unknown;
  usage?: Record<string, unknown> | null;
  error?: unknown;
}

type Choice = Record<string, unknown> & { delta?: Record<string, unknown> | null };

/**
 * Passes events on, whole ones only, and keeps what another engine needs to go on with: the text, and how many tokens it
 * is. After `resume` the events are the next engine's: they are given the first one's id, time and model, its role is left
 * out, and its usage counts what was there before.
 */
export class ResumableStream {
  #held: Uint8Array = empty;
  readonly #text: string[] = [];
  #textChars = 0;
  #tokens = 0;
  /** Tokens since the last that gave text: those the client has not got a trace of. */
  #silentTokens = 0;
  #first: Pick<Chunk, "id" | "created" | "model"> | undefined;
  /** Tokens there were when the engine of now took over; -1 for the first. */
  #before = -1;
  #finished = false;
  #done = false;
  #impossible: string | undefined;
  #lost = false;

  get text(): string {
    return this.#text.join("");
  }

  get tokens(): number {
    return this.#tokens;
  }

  /** The last token was told; what is missing is the end of the stream alone. */
  get finished(): boolean {
    return this.#finished;
  }

  /** The stream has ended as it should. */
  get done(): boolean {
    return this.#done;
  }

  /** Why no other engine can go on with it. */
  get impossible(): string | undefined {
    return this.#impossible;
  }

  /** The engine told of a failure of its own instead of going on; that event was not passed on. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Another engine goes on. */
  resume(): void {
    this.#held = empty;
    this.#lost = false;
    this.#silentTokens = 0;
    // Where nothing was told yet, the next engine is the first.
    if (this.#first) this.#before = this.#tokens;
  }

  /** The whole events that `bytes` bring, as they go to the client. */
  push(bytes: Uint8Array): Uint8Array {
    const all = this.#held.length > 0 ? concatBytes([this.#held, bytes]) : bytes;
    this.#held = empty;
    const out: Uint8Array[] = [];
    let from = 0;
    for (let end; !this.#lost && (end = eventEnd(all, from)) > 0; from = end) {
      const event = this.#event(all.subarray(from, end));
      if (event) out.push(event);
    }
    if (this.#lost) return concatBytes(out);
    if (all.length - from > eventBytesMax) {
      this.#impossible = "an event is too long";
      out.push(all.subarray(from));
    } else if (from < all.length) this.#held = all.slice(from);
    return concatBytes(out);
  }

  /** What was held back, at the end of the body. */
  end(): Uint8Array {
    const rest = this.#held;
    this.#held = empty;
    return rest;
  }

  /** The event as it goes on; undefined for one that does not. */
  #event(bytes: Uint8Array): Uint8Array | undefined {
    const data = dataOf(decoder.decode(bytes));
    // The next engine's comments would come in the middle of the answer, where they do no harm.
    if (data === "") return bytes;
    if (data === "[DONE]") {
      this.#done = true;
      return bytes;
    }
    let chunk: Chunk;
    try {
      chunk = JSON.parse(data);
    } catch {
      this.#impossible = "an event is not JSON";
      return bytes;
    }
    if (isFailure(chunk)) {
      this.#lost = true;
      return undefined;
    }
    const { id, created, model } = chunk;
    this.#first ??= { id, created, model };
    const passes = this.#read(chunk);
    if (this.#before < 0) return bytes;
    return passes ? this.#rewritten(chunk) : undefined;
  }

  /** Takes in what an event tells; whether it tells anything that the client does not know. */
  #read({ choices, usage }: Chunk): boolean {
    if (!Array.isArray(choices)) {
      this.#impossible = "an event has no choices";
      return true;
    }
    if (choices.length === 0) return true;
    const [choice] = choices as Choice[];
    if (choices.length > 1 || (choice.index ?? 0) !== 0) this.#impossible = "there is more than one choice";
    const unknown = beyondText(choice);
    if (unknown !== undefined) this.#impossible = `it tells of ${unknown}`;
    const text = choice.delta ? choice.delta.content : choice.text;
    const opening = text === "" && choice.delta?.role !== undefined;
    if (choice.finish_reason) this.#finished = true;
    if (typeof text === "string" && !opening) this.#token(text, usage);
    return (typeof text === "string" && text !== "") || this.#finished || unknown !== undefined;
  }

  #token(text: string, usage: Chunk["usage"]): void {
    this.#silentTokens++;
    if (text === "") return;
    this.#tokens += this.#silentTokens;
    this.#silentTokens = 0;
    // Where the engine counts along, an event may hold several tokens.
    const told = usage?.completion_tokens;
    if (typeof told === "number") this.#tokens = Math.max(0, this.#before) + told;
    this.#text.push(text);
    this.#textChars += text.length;
    if (this.#textChars > textCharsMax) this.#impossible = "its text is too long";
  }

  #rewritten(chunk: Chunk): Uint8Array {
    const { choices, usage } = chunk;
    for (const choice of choices as Choice[]) {
      // A first event that holds the role and text: the client was told who speaks.
      if (choice.delta) delete choice.delta.role;
    }
    if (usage) {
      // The next engine's prompt held what was generated before.
      add(usage, "prompt_tokens", -this.#before);
      add(usage, "completion_tokens", this.#before);
    }
    return encoder.encode(`data: ${JSON.stringify({ ...chunk, ...this.#first })}\n\n`);
  }
}

function add(usage: Record<string, unknown>, key: string, count: number): void {
  const value = usage[key];
  if (typeof value === "number") usage[key] = Math.max(0, value + count);
}

const textKeys = new Set(["role", "content"]);

/** What a choice tells beside text, which no other engine can be given to go on with; undefined for nothing. */
function beyondText({ delta, logprobs, prompt_logprobs }: Choice): string | undefined {
  if (!isNothing(logprobs)) return "log probabilities";
  const told = delta ?? {};
  const more = Object.keys(told).find((key) => !textKeys.has(key) && !isNothing(told[key]));
  if (more !== undefined) return more;
  return isNothing(prompt_logprobs) ? undefined : "log probabilities";
}

/** vLLM and SGLang tell of an engine that died by an event with an error of 5xx. */
function isFailure({ error, choices }: Chunk): boolean {
  if (choices !== undefined || typeof error !== "object" || error === null) return false;
  const code = Number((error as { code?: unknown }).code);
  return code >= 500 && code < 600;
}

function dataOf(event: string): string {
  if (event.startsWith("data: ") && event.indexOf("\n") >= event.trimEnd().length) return event.slice(6).trim();
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trim()).join("\n");
}
