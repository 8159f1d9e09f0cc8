/** When a stream of chat or text completions says the first thing that matters. */
import { concatBytes } from "../core/mod.ts";
import { isNothing } from "./events.ts";

/** A beginning longer than this is passed on unexamined. */
const heldBytesMax = 65_536;

const decoder = new TextDecoder();

/**
 * Some engines open a stream with an event that tells the role alone, long before the first token. It is worth nothing
 * until then, so it can be held back, and an endpoint that falls silent meanwhile be given up without the client having
 * heard of it. A comment is passed on: it is there to keep what lies between from closing an idle connection.
 */
export class FirstTokenGate {
  #held: Uint8Array[] = [];
  #heldBytes = 0;

  /** Whether, with these bytes, the stream holds something that a client waits for. */
  push(bytes: Uint8Array): boolean {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > heldBytesMax) return true;
    const events = decoder.decode(concatBytes(this.#held)).split(/\r?\n\r?\n/);
    // The last one has not ended.
    return events.slice(0, -1).some(matters);
  }
}

function matters(event: string): boolean {
  const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("\n");
  if (data === "") return event !== "";
  let chunk: unknown;
  try {
    chunk = JSON.parse(data);
  } catch {
    return true;
  }
  const choices = (chunk as { choices?: unknown } | null)?.choices;
  return !Array.isArray(choices) || choices.some(saysSomething);
}

function saysSomething(choice: unknown): boolean {
  if (typeof choice !== "object" || choice === null) return true;
  const { finish_reason, text, delta } = choice as Record<string, unknown>;
  if (!isNothing(finish_reason) || !isNothing(text)) return true;
  if (typeof delta !== "object" || delta === null) return false;
  return Object.entries(delta).some(([name, value]) => name !== "role" && !isNothing(value));
}
