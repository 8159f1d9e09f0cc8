/** Requests to come: mixed prompts of sessions, documents and short questions, at rates that go up and down in bursts. */
import { Prng, type Slo } from "../../src/core/mod.ts";

/** Tokens that one block id of a prompt stands for. */
export const askBlockTokens = 64;

export const kinds = ["chat", "document", "writing", "question"] as const;
export type Kind = (typeof kinds)[number];

/** A request that will come. */
export interface Ask {
  readonly id: number;
  readonly kind: Kind;
  readonly atMs: number;
  readonly promptTokens: number;
  /** One a block of 64 tokens, the last for what is left; an id names the whole prefix up to its block. */
  readonly blockIds: readonly number[];
  /** What the engine will generate; the router is not told. */
  readonly outputTokens: number;
  readonly maxOutputTokens?: number;
  readonly stream: boolean;
  /** Judged by it in any case; told to the router where the scenario says so. */
  readonly slo: Required<Slo>;
}

/** A stretch of time with one mean rate. */
export interface Step {
  readonly seconds: number;
  readonly perS: number;
}

export interface WorkloadOptions {
  readonly seed: number;
  readonly steps: readonly Step[];
  /** Rates change between calm and bursts that have the rate of the step in the mean; absent: they are steady. */
  readonly bursts?: boolean;
  /** How often a kind comes, in parts. */
  readonly mix?: Readonly<Record<Kind, number>>;
}

/** Mostly sessions, with a fifth of long prompts and a seventh of long answers. */
export const mixed: Readonly<Record<Kind, number>> = { chat: 45, document: 20, writing: 15, question: 20 };

/**
 * Targets by kind, in milliseconds: about three times what an idle engine of the fleet takes for a long prompt of the kind,
 * and twice the time per token at half of its places.
 */
const targets: Readonly<Record<Kind, Required<Slo>>> = {
  chat: { ttftMs: 1000, tpotMs: 50 },
  document: { ttftMs: 3000, tpotMs: 60 },
  writing: { ttftMs: 1500, tpotMs: 40 },
  question: { ttftMs: 1000, tpotMs: 50 },
};

/** Share of answers that are asked for as a stream. */
const streamShare = 0.85;

/** Share of requests that bring a limit, and the limit over what is generated: people name round numbers. */
const limitShare = 0.3;
const limits = [256, 512, 1024, 2048, 4096];

/** Calm for 6 s at 0.6 of the rate, then 2 s at 2.2 of it, in the mean: the rate itself on the whole. */
const phases = [{ meanMs: 6_000, factor: 0.6 }, { meanMs: 2_000, factor: 2.2 }] as const;

const systemPrompts = 8;
const documents = 40;
const sessionTokensMax = 8_000;
const turnsMean = 6;

interface Session {
  readonly blockIds: number[];
  tokens: number;
  turnsLeft: number;
  readyAtMs: number;
}

/** The whole stream of requests, in order of time; the same seed gives the same. */
export function workload({ seed, steps, bursts = true, mix = mixed }: WorkloadOptions): Ask[] {
  return new Maker(new Prng(seed), mix).make(steps, bursts);
}

class Maker {
  readonly #asks: Ask[] = [];
  readonly #sessions: Session[] = [];
  readonly #kinds: readonly Kind[];
  readonly #systems: readonly (readonly number[])[];
  readonly #documents: readonly { readonly blockIds: readonly number[]; readonly tokens: number }[];
  #nextId = 1;

  constructor(readonly rng: Prng, mix: Readonly<Record<Kind, number>>) {
    this.#kinds = kinds.flatMap((kind) => new Array<Kind>(mix[kind]).fill(kind));
    this.#systems = Array.from({ length: systemPrompts }, () => this.#ids(this.#between(5, 24)));
    this.#documents = Array.from({ length: documents }, () => {
      const blocks = this.#documentBlocks();
      return { blockIds: this.#ids(blocks), tokens: blocks * askBlockTokens };
    });
  }

  make(steps: readonly Step[], bursts: boolean): Ask[] {
    let fromMs = 0, atMs = 0, phase = 0, phaseEndMs = this.rng.exponential(phases[0].meanMs);
    for (const { seconds, perS } of steps) {
      const toMs = fromMs + seconds * 1000;
      for (atMs = fromMs;;) {
        const factor = bursts ? phases[phase].factor : 1;
        const next = atMs + this.rng.exponential(1000 / (perS * factor));
        // A Poisson process forgets: where the rate changes first, the wait begins anew at the change.
        if (bursts && phaseEndMs < Math.min(next, toMs)) {
          atMs = phaseEndMs;
          phase = 1 - phase;
          phaseEndMs += this.rng.exponential(phases[phase].meanMs);
          continue;
        }
        if (next >= toMs) break;
        atMs = next;
        this.#ask(atMs);
      }
      fromMs = toMs;
    }
    return this.#asks;
  }

  #ask(atMs: number): void {
    const kind = this.#kinds[this.rng.below(this.#kinds.length)];
    switch (kind) {
      case "chat":
        return this.#chat(atMs);
      case "document":
        return this.#document(atMs);
      case "writing":
        return this.#alone(kind, atMs, this.#lognormal(250, 0.6, 1500), this.#lognormal(800, 0.5, 3000));
      case "question":
        return this.#alone(kind, atMs, this.#lognormal(350, 1, 4000), this.#lognormal(120, 0.7, 800));
    }
  }

  /** The next turn of a session whose user has read the last answer, or a new session. */
  #chat(atMs: number): void {
    const ready = this.#sessions.filter((session) => session.readyAtMs <= atMs);
    const session = ready.length > 0 && this.rng.float() < 1 - 1 / turnsMean
      ? ready[this.rng.below(ready.length)]
      : this.#newSession();
    session.tokens += this.#lognormal(90, 1, 2000);
    const outputTokens = this.#lognormal(180, 0.7, 1200);
    while (session.blockIds.length * askBlockTokens < session.tokens) session.blockIds.push(this.#nextId++);
    this.#push("chat", atMs, session.tokens, [...session.blockIds], outputTokens);
    session.tokens += outputTokens;
    session.readyAtMs = atMs + 2000 + 40 * outputTokens + this.rng.exponential(15_000);
    if (--session.turnsLeft === 0 || session.tokens > sessionTokensMax) {
      this.#sessions.splice(this.#sessions.indexOf(session), 1);
    }
  }

  #newSession(): Session {
    const system = this.#systems[this.#popular(systemPrompts)];
    const session = {
      blockIds: [...system],
      tokens: system.length * askBlockTokens,
      turnsLeft: Math.ceil(this.rng.exponential(turnsMean)),
      readyAtMs: 0,
    };
    this.#sessions.push(session);
    return session;
  }

  /** A question on a document: mostly one that others ask of, too. */
  #document(atMs: number): void {
    const shared = this.rng.float() < 0.7;
    const blocks = this.#documentBlocks();
    const document = shared
      ? this.#documents[this.#popular(documents)]
      : { blockIds: this.#ids(blocks), tokens: blocks * askBlockTokens };
    const tokens = document.tokens + this.#lognormal(60, 0.5, 300);
    const rest = Math.ceil(tokens / askBlockTokens) - document.blockIds.length;
    this.#push("document", atMs, tokens, [...document.blockIds, ...this.#ids(rest)], this.#lognormal(130, 0.6, 800));
  }

  #alone(kind: Kind, atMs: number, promptTokens: number, outputTokens: number): void {
    this.#push(kind, atMs, promptTokens, this.#ids(Math.ceil(promptTokens / askBlockTokens)), outputTokens);
  }

  #push(kind: Kind, atMs: number, promptTokens: number, blockIds: readonly number[], outputTokens: number): void {
    const limit = limits.find((limit) => limit >= outputTokens);
    this.#asks.push({
      id: this.#asks.length,
      kind,
      atMs,
      promptTokens,
      blockIds,
      outputTokens,
      maxOutputTokens: this.rng.float() < limitShare ? limit : undefined,
      stream: this.rng.float() < streamShare,
      slo: targets[kind],
    });
  }

  #documentBlocks(): number {
    return Math.ceil(this.#lognormal(5000, 0.9, 40_000) / askBlockTokens);
  }

  #ids(count: number): number[] {
    return Array.from({ length: count }, () => this.#nextId++);
  }

  #between(from: number, to: number): number {
    return from + this.rng.below(to - from + 1);
  }

  #lognormal(median: number, sigma: number, most: number): number {
    return Math.max(4, Math.min(most, Math.round(median * Math.exp(this.rng.normal(0, sigma)))));
  }

  /** One of `count`, the first ones more often: the chance falls as one over the rank, about. */
  #popular(count: number): number {
    return Math.min(count - 1, Math.floor(Math.exp(this.rng.float() * Math.log(count + 1)) - 1));
  }
}
