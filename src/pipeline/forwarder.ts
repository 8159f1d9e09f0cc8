/** From a prepared request to its answer: attempts, one after the other or two at once, within the retry budget. */
import { RouterError } from "../core/mod.ts";
import { generates } from "../protocol/mod.ts";
import { spanNames } from "../telemetry/mod.ts";
import type { Answer } from "./answer.ts";
import { type Attempt, AttemptFailed, type Begun, type OpenOptions } from "./attempt.ts";
import { Continuer } from "./continuer.ts";
import type { Dispatch } from "./dispatch.ts";
import { respond, send } from "./forward.ts";
import { hedged, HedgeTiming } from "./hedge.ts";
import type { RequestLife } from "./life.ts";
import type { PipelineParts } from "./parts.ts";
import type { Placed } from "./placed.ts";
import { RetryBudget } from "./retry_budget.ts";
import { type Prepared, streamsTokens } from "./view.ts";

/** After so many a request is left alone: it would never end else. */
const revocationsMax = 3;

// The budget earns one attempt in this time at the default floor.
const budgetRetryAfterS = 1;

/**
 * What may be tried again: an attempt of which nothing reached the client, that failed to connect, timed out, was reset,
 * broke the protocol, or answered 502, 503 or 504. That such an attempt may have been computed in part costs time and no
 * harm: inference changes nothing at the server. What other paths do is not known: of those, what may change something is
 * tried again only where it did not arrive. The same endpoint is never tried twice, so nothing waits in between.
 */
export class Forwarder {
  readonly #parts: PipelineParts;
  readonly #dispatch: Dispatch;
  readonly #budget: RetryBudget;
  readonly #continuer: Continuer;
  readonly #hedge = new HedgeTiming();

  constructor(parts: PipelineParts, dispatch: Dispatch) {
    this.#parts = parts;
    this.#dispatch = dispatch;
    this.#budget = new RetryBudget(parts.clock.now(), parts.options.retryBudget);
    this.#continuer = new Continuer(parts, dispatch, this.#budget);
  }

  /** Answers the request. Throws `RouterError`; what is in hand then is the life's to give back. */
  async forward(life: RequestLife, prepared: Prepared): Promise<Answer> {
    const { clock, options } = this.#parts;
    this.#budget.deposit(clock.now(), options.retryBudget);
    const tried: number[] = [];
    let last: AttemptFailed | undefined;
    for (;;) {
      if (life.inbound.signal.aborted) throw RouterError.clientLeft();
      const placing = this.#place(life, tried, last);
      const placed = placing instanceof Promise ? await placing : placing;
      if (life.inbound.signal.aborted || life.revoked) {
        // While it was on its way here.
        placed.release();
        waitAgain(life);
        continue;
      }
      if (last) this.#pay(placed, last);
      const attempt = this.#send(life, prepared, placed);
      try {
        const opening = this.#open(life, prepared, attempt, tried);
        return respond(life, prepared, await opening, this.#parts, this.#continuer.of(life, prepared));
      } catch (error) {
        if (life.revoked) {
          waitAgain(life);
          last = undefined;
          continue;
        }
        if (!(error instanceof AttemptFailed)) throw error;
        const may = repeatable(life) || error.reason === "connect";
        if (!may || life.attempts - life.revocations >= options.attemptsMax) throw error.failure;
        last = error;
      }
    }
  }

  /** When nobody is left to try, the client is told of the failure, not of the empty list it led to. */
  #place(life: RequestLife, tried: readonly number[], last: AttemptFailed | undefined): Placed | Promise<Placed> {
    const { clock } = this.#parts;
    const startMs = clock.now();
    const span = life.trace.span(spanNames.orchestration);
    const failed = (error: unknown) => last && error instanceof RouterError ? last.failure : error;
    const placed = (placed: Placed) => {
      const queuedMs = placed.waited?.ms ?? 0;
      life.queuedMs += queuedMs;
      life.decisionMs += clock.now() - startMs - queuedMs;
      return placed;
    };
    try {
      const onRevoke = life.revocations < revocationsMax ? () => life.revoke() : undefined;
      const placing = this.#dispatch.place(life.view!, tried, { signal: life.inbound.signal, onRevoke });
      if (!(placing instanceof Promise)) return placed(placing);
      return placing.then(placed, (error) => {
        // What takes time here is the wait for an endpoint with room.
        life.queuedMs += clock.now() - startMs;
        throw failed(error);
      });
    } catch (error) {
      throw failed(error);
    } finally {
      span.end();
    }
  }

  /** A further attempt that the budget does not allow is not made: the client is told of the failure as it is. */
  #pay(placed: Placed, last: AttemptFailed): void {
    const { clock, metrics, options } = this.#parts;
    if (this.#budget.take(clock.now(), options.retryBudget)) return metrics.upstreamRetried(last.reason);
    placed.release();
    metrics.retryRefused();
    const { outcome, message, cause } = last.failure;
    throw new RouterError(outcome, message, { cause, retryAfterS: budgetRetryAfterS });
  }

  #send(life: RequestLife, prepared: Prepared, placed: Placed): Attempt {
    life.processingMs ??= this.#parts.clock.now() - life.inbound.receivedAtMs;
    return send(life, prepared, placed, this.#parts);
  }

  /** Waits for the attempt's answer, and makes a second one beside it where that is due. */
  async #open(life: RequestLife, prepared: Prepared, first: Attempt, tried: number[]): Promise<Begun> {
    const { clock, options } = this.#parts;
    const { api, stream } = prepared.view;
    const { promptTokensMax } = options.hedge;
    const worth = stream && generates(api) && first.placed.uncachedTokens <= promptTokensMax;
    const delayMs = worth ? this.#hedge.delayMs(options.hedge) : undefined;
    const opening = this.#await(life, prepared, first, tried);
    const answer = delayMs === undefined
      ? await opening
      : await hedged(clock, delayMs, opening, () => this.#second(life, prepared, first, tried));
    // Of the first attempt, whichever answered: counted by the faster one, p95 would shrink with every hedge.
    if (worth && answer.head.status < 300) this.#hedge.observe(first.ageMs);
    if (delayMs !== undefined) this.#settle(life, first, answer.attempt);
    return answer;
  }

  /** The answer of one attempt, which is dropped when it fails. */
  async #await(life: RequestLife, { view }: Prepared, attempt: Attempt, tried: number[]): Promise<Begun> {
    const options: OpenOptions = {
      stream: view.stream,
      firstToken: streamsTokens(view),
      giveUp: () => life.inHand > 1 || this.#mayTryAgain(life, attempt),
    };
    try {
      return await attempt.open(options);
    } catch (error) {
      if (error instanceof AttemptFailed) {
        tried.push(attempt.placed.slot);
        life.drop(attempt, error.end);
      }
      throw error;
    }
  }

  #mayTryAgain(life: RequestLife, { placed }: Attempt): boolean {
    const { clock, options } = this.#parts;
    return repeatable(life) && life.attempts < options.attemptsMax && placed.placement.fallbacks.length > 0 &&
      this.#budget.has(clock.now(), options.retryBudget);
  }

  /** Begins the attempt beside `first`; undefined where no other endpoint takes it now and cheaply. */
  #second(
    life: RequestLife,
    prepared: Prepared,
    first: Attempt,
    tried: number[],
  ): Promise<Begun> | undefined {
    const { clock, options, metrics } = this.#parts;
    const now = clock.now();
    if (life.inbound.signal.aborted || life.attempts >= options.attemptsMax) return;
    if (!this.#budget.has(now, options.retryBudget)) return;
    const placed = this.#besides(life, [...tried, first.placed.slot]);
    if (!placed) return;
    if (placed.uncachedTokens > options.hedge.promptTokensMax || !this.#budget.take(now, options.retryBudget)) {
      placed.release();
      return;
    }
    metrics.hedged("begun");
    return this.#await(life, prepared, this.#send(life, prepared, placed), tried);
  }

  #besides(life: RequestLife, others: readonly number[]): Placed | undefined {
    try {
      const placing = this.#dispatch.place(life.view!, others, { hedge: true });
      if (!(placing instanceof Promise)) return placing;
      // One that has to wait for its place comes too late to help.
      placing.then((placed) => placed.release(), () => {});
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
    }
    return undefined;
  }

  /** One of two attempts has answered: the other is let go of, and the session goes where the answer came from. */
  #settle(life: RequestLife, first: Attempt, winner: Attempt): void {
    const { scheduler, clock, metrics } = this.#parts;
    life.dropOthers(winner);
    if (winner === first) return;
    metrics.hedged("won");
    scheduler.moved(life.view!, winner.placed.placement, winner.placed.slot, clock.now());
  }
}

/** A request whose place was taken back goes to the queue again where its client said so, else it ends. */
function waitAgain(life: RequestLife): void {
  if (life.inbound.signal.aborted) throw RouterError.clientLeft();
  if (!life.view!.requeue) {
    throw new RouterError("evicted", "The request made room for one of higher priority before its answer began");
  }
  life.dropAll();
  life.revoked = false;
}

/** Whether a request that may have arrived can be sent to another server. */
function repeatable({ inbound: { method }, view }: RequestLife): boolean {
  return view!.api !== "passthrough" || method === "GET" || method === "HEAD";
}
