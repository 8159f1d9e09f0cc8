/** Edits made to a response on its way to the client, as bytes pass. Made only for requests that need one. */
import { concatBytes } from "../core/mod.ts";
import { eventEnd } from "./events.ts";

/** Takes chunks as they come and gives what may go on; holds back no more than an unfinished event or name. */
export interface BodyEdit {
  push(chunk: Uint8Array): Uint8Array;
  /** Whether a chunk may go on as it is, with nothing held back and nothing to remember of it. */
  passes(chunk: Uint8Array): boolean;
  /** What was held back, at the end of the body. */
  end(): Uint8Array;
}

const empty = new Uint8Array();
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const choicesKey = encoder.encode('"choices"');

/** Whether an event carries no choices: the usage event that closes a stream asked for `include_usage`. */
function isUsageOnly(event: Uint8Array): boolean {
  for (let at = event.indexOf(0x5b); at >= 0; at = event.indexOf(0x5b, at + 1)) {
    if (event[at + 1] !== 0x5d) continue;
    let i = at - 1;
    while (event[i] === 0x20) i--;
    if (event[i] !== 0x3a) continue;
    i--;
    while (event[i] === 0x20) i--;
    if (i + 1 < choicesKey.length) continue;
    if (choicesKey.every((byte, k) => event[i + 1 - choicesKey.length + k] === byte)) return true;
  }
  return false;
}

/** Longest event held while its end is awaited; a longer one goes on unexamined. */
const eventBytesMax = 1 << 20;

/** Removes the usage-only event from a stream whose client did not ask for it. */
export class UsageEventRemoval implements BodyEdit {
  #held: Uint8Array = empty;
  /** The last event removed, for whoever reads its usage. */
  removed: Uint8Array | undefined;

  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.#held.length > 0 ? concatBytes([this.#held, chunk]) : chunk;
    this.#held = empty;
    const complete = this.#completeLength(bytes);
    if (complete < bytes.length) {
      if (bytes.length - complete > eventBytesMax) return bytes;
      this.#held = bytes.slice(complete);
    }
    return this.#withoutUsage(bytes.subarray(0, complete));
  }

  /** Whole events in which none is the usage's: how engines send them. */
  passes(chunk: Uint8Array): boolean {
    return this.#held.length === 0 && this.#completeLength(chunk) === chunk.length && !isUsageOnly(chunk);
  }

  end(): Uint8Array {
    const rest = this.#held;
    this.#held = empty;
    return rest;
  }

  /** Bytes up to the end of the last whole event. */
  #completeLength(bytes: Uint8Array): number {
    for (let at = bytes.lastIndexOf(0x0a); at > 0; at = bytes.lastIndexOf(0x0a, at - 1)) {
      if (bytes[at - 1] === 0x0a || (bytes[at - 1] === 0x0d && bytes[at - 2] === 0x0a)) return at + 1;
    }
    return 0;
  }

  #withoutUsage(bytes: Uint8Array): Uint8Array {
    if (bytes.length === 0 || !isUsageOnly(bytes)) return bytes;
    const kept: Uint8Array[] = [];
    for (let from = 0; from < bytes.length;) {
      const end = eventEnd(bytes, from) || bytes.length;
      const event = bytes.subarray(from, end);
      if (isUsageOnly(event)) this.removed = event.slice();
      else kept.push(event);
      from = end;
    }
    return concatBytes(kept);
  }
}

// The objects in which a response names its model: the top level of a body or event, and one level down in the
// Responses API (`response`) and the Messages API (`message`).
const modelParents = new Set(["response", "message"]);
const nameBytesMax = 512;

/**
 * Puts the name the client asked for back where the answer names the model that served it. Follows the JSON
 * structure byte by byte, so that a name inside text is never touched and a name cut by a chunk is not missed.
 */
export class ModelNameRestorer implements BodyEdit {
  readonly #from: string;
  readonly #to: Uint8Array;
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** Key last read at each depth that matters, "" when none. */
  #parent = "";
  #key = "";
  #afterColon = false;
  #capturing = false;
  #captured: number[] = [];

  constructor(served: string, requested: string) {
    this.#from = served;
    this.#to = encoder.encode(JSON.stringify(requested));
  }

  push(chunk: Uint8Array): Uint8Array {
    const out: Uint8Array[] = [];
    let flushed = this.#replacing() ? -1 : 0;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i];
      const wasReplacing = this.#replacing();
      this.#step(byte);
      const replacing = this.#replacing();
      if (!wasReplacing && replacing) {
        out.push(chunk.subarray(flushed, i));
        flushed = -1;
      } else if (wasReplacing && !replacing) {
        out.push(this.#resolve());
        flushed = i + 1;
      }
    }
    if (flushed >= 0) out.push(chunk.subarray(flushed));
    return concatBytes(out);
  }

  /** Every event names the model. */
  passes(): boolean {
    return false;
  }

  end(): Uint8Array {
    return this.#replacing() ? new Uint8Array(this.#captured) : empty;
  }

  #replacing(): boolean {
    return this.#capturing && this.#afterColon;
  }

  #resolve(): Uint8Array {
    const raw = new Uint8Array(this.#captured);
    this.#captured = [];
    this.#afterColon = false;
    return this.#text(raw) === this.#from ? this.#to : raw;
  }

  #text(raw: Uint8Array): string | undefined {
    try {
      return JSON.parse(decoder.decode(raw));
    } catch {
      return undefined;
    }
  }

  /** Moves over one byte; `#capturing` says whether it belongs to a key or to a model's value. */
  #step(byte: number): void {
    if (this.#inString) return this.#stepString(byte);
    if (byte === 0x22) {
      this.#inString = true;
      const watched = this.#depth === 1 || (this.#depth === 2 && modelParents.has(this.#parent));
      const isValue = this.#afterColon;
      this.#capturing = watched && (!isValue || this.#key === "model");
      if (this.#capturing) this.#captured = [byte];
    } else if (byte === 0x3a) this.#afterColon = true;
    else if (byte === 0x2c) this.#forgetKey();
    else if (byte === 0x7b || byte === 0x5b) {
      if (this.#depth === 1 && byte === 0x7b) this.#parent = this.#key;
      this.#depth++;
      this.#forgetKey();
    } else if (byte === 0x7d || byte === 0x5d) {
      this.#depth = Math.max(0, this.#depth - 1);
      if (this.#depth <= 1) this.#parent = "";
      this.#forgetKey();
    } else if (byte === 0x0a && this.#depth === 0) this.#forgetKey();
  }

  #stepString(byte: number): void {
    if (this.#capturing) {
      this.#captured.push(byte);
      // A name this long is no name of ours, and a raw line end closes no JSON string: both pass as they are.
      if (this.#captured.length > nameBytesMax || byte === 0x0a) this.#capturing = false;
    }
    if (byte === 0x0a) this.#inString = false;
    if (this.#escaped) this.#escaped = false;
    else if (byte === 0x5c) this.#escaped = true;
    else if (byte === 0x22) this.#closeString();
  }

  #closeString(): void {
    this.#inString = false;
    if (this.#capturing && !this.#afterColon) {
      this.#key = this.#text(new Uint8Array(this.#captured)) ?? "";
      this.#captured = [];
    }
    this.#capturing = false;
  }

  #forgetKey(): void {
    this.#key = "";
    this.#afterColon = false;
  }
}
