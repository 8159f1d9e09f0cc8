import { AttemptEnd, type Clock, concatBytes, RouterError } from "../core/mod.ts";
import { FirstTokenGate, type ResponseHead } from "../protocol/mod.ts";
import type { RetryReason } from "../telemetry/mod.ts";
import { type Exchange, type FailureKind, UpstreamFailure } from "../upstream/mod.ts";
import type { Placed } from "./placed.ts";

// Read whole before anything is answered: a server lost in the middle of such a body costs the client nothing.
const wholeBodyBytesMax = 1 << 20;

/** An attempt that failed with nothing sent to the client yet. */
export class AttemptFailed extends Error {
  constructor(readonly reason: RetryReason, readonly failure: RouterError) {
    super(failure.message, { cause: failure.cause });
  }

  get end(): AttemptEnd {
    return endOf[this.reason];
  }
}

const endOf: Readonly<Record<RetryReason, AttemptEnd>> = {
  connect: AttemptEnd.Connect,
  timeout: AttemptEnd.Timeout,
  reset: AttemptEnd.Reset,
  status: AttemptEnd.Status,
  protocol: AttemptEnd.Protocol,
};

/** The beginning of an answer: enough of it that the client may be told. */
export interface Begun {
  readonly attempt: Attempt;
  readonly head: ResponseHead;
  readonly sse: boolean;
  /** What was read so far; `done`: all there is. */
  readonly first: Uint8Array;
  readonly done: boolean;
}

/** How an answer is awaited. */
export interface OpenOptions {
  /** The request is a stream: its first byte tells of the endpoint's speed. */
  readonly stream: boolean;
  /** Its events are of a form whose first token can be told. */
  readonly firstToken: boolean;
  /** Statuses that say the server, not the request, is the trouble are a failure where this says so. */
  readonly giveUp: () => boolean;
}

/** Statuses that say the server, not the request, is the trouble. */
const retryableStatuses = new Set([502, 503, 504]);

/** One try at one endpoint: its place there and its exchange, given back together. */
export class Attempt {
  readonly placed: Placed;
  readonly exchange: Exchange;
  readonly #clock: Clock;
  readonly sentMs: number;

  constructor(placed: Placed, exchange: Exchange, clock: Clock) {
    this.placed = placed;
    this.exchange = exchange;
    this.#clock = clock;
    this.sentMs = clock.now();
  }

  /** Since it was sent. */
  get ageMs(): number {
    return this.#clock.now() - this.sentMs;
  }

  /**
   * Waits until there is something to tell the client: a stream's first token, the first bytes of another body, the whole
   * of a small one. Throws `AttemptFailed` when another endpoint may be tried.
   */
  async open({ stream, firstToken, giveUp }: OpenOptions): Promise<Begun> {
    try {
      const head = await this.exchange.head;
      if (retryableStatuses.has(head.status) && giveUp()) {
        const failure = new RouterError("upstream-error", `The model server answered ${head.status}`);
        throw new AttemptFailed("status", failure);
      }
      const sse = /^text\/event-stream\b/i.test(head.headers.get("content-type") ?? "");
      const gate = sse && firstToken && plain(head) ? new FirstTokenGate() : undefined;
      const heldMax = sse ? 0 : heldBytesMax(head);
      let held = 0;
      const first: Uint8Array[] = [];
      for (let answered = false;;) {
        const bytes = await this.exchange.read();
        if (bytes) first.push(bytes);
        held += bytes?.length ?? 0;
        if (!bytes || !gate || gate.push(bytes)) {
          if (!answered) this.#answered(head.status, stream);
          answered = true;
        }
        if (!bytes || answered && held >= heldMax) {
          return { attempt: this, head, sse, first: concatBytes(first), done: !bytes };
        }
      }
    } catch (error) {
      throw attemptError(error);
    }
  }

  #answered(status: number, stream: boolean): void {
    this.exchange.sawToken();
    this.placed.answered(this.ageMs, status, stream);
  }

  /** Drops the exchange and gives the place back. What is called after the first time does nothing. */
  release(): void {
    this.exchange.cancel();
    this.placed.release();
  }
}

/** How much of a body is read before anything is answered. One of unknown length may be long, or slow on purpose, unless it is JSON. */
function heldBytesMax({ headers }: ResponseHead): number {
  const declared = headers.get("content-length");
  if (declared !== null) return Number(declared) <= wholeBodyBytesMax ? Infinity : 0;
  return /^application\/json\b/i.test(headers.get("content-type") ?? "") ? wholeBodyBytesMax : 0;
}

/** A body that can be read into: neither compressed nor an error in the engine's own words. */
export function plain(head: ResponseHead): boolean {
  const encoding = head.headers.get("content-encoding");
  return head.status < 400 && (encoding === null || encoding === "identity");
}

function attemptError(error: unknown): unknown {
  if (!(error instanceof UpstreamFailure)) return error;
  if (error.kind === "cancelled") return RouterError.clientLeft();
  return new AttemptFailed(retryReasons[error.kind], upstreamError(error));
}

const retryReasons: Readonly<Record<Exclude<FailureKind, "cancelled">, RetryReason>> = {
  "connect": "connect",
  "connect-timeout": "timeout",
  "first-byte-timeout": "timeout",
  "first-token-timeout": "timeout",
  "idle-timeout": "timeout",
  "reset": "reset",
  "protocol": "protocol",
};

export function upstreamError(error: unknown): RouterError {
  if (error instanceof UpstreamFailure && error.kind.endsWith("timeout")) {
    return new RouterError("upstream-timeout", "The model server did not answer in time", { cause: error });
  }
  return new RouterError("upstream-error", "The model server could not be reached or ended the request early", {
    cause: error,
  });
}
