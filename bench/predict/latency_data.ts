/**
 * Latencies of a simulated fleet, as rows to learn from: what a router saw of an endpoint when it sent a request there,
 * and how long the first token took.
 */
import { Prng, VirtualClock } from "../../src/core/mod.ts";
import type { TrainingColumn } from "../../src/latency/mod.ts";
import { defaultCost, type EngineMetrics, promptFromTrace, SimEndpoint } from "../../src/sim/mod.ts";

/** Columns in llm-d's order. */
export const latencyColumns: readonly TrainingColumn[] = [
  { name: "is_queued", type: "int" },
  { name: "kv_cache_percentage", type: "float" },
  { name: "input_token_length", type: "int" },
  { name: "num_request_waiting", type: "int" },
  { name: "num_request_running", type: "int" },
  { name: "prefill_tokens_in_flight", type: "int" },
  { name: "decode_tokens_in_flight", type: "int" },
  { name: "encoder_matched_size", type: "int" },
  { name: "encoder_input_size", type: "int" },
  { name: "prefix_cache_score", type: "float" },
  { name: "effective_input_tokens", type: "float" },
  { name: "prefill_score_bucket", type: "c" },
  { name: "pod_type_cat", type: "c" },
];

export interface LatencyData {
  readonly rows: number;
  /** By `latencyColumns`, one value a row. */
  readonly columns: readonly Float32Array[];
  /** Milliseconds from sending to the first token. */
  readonly ttftMs: Float32Array;
}

/** Endpoints: the code in `pod_type_cat`, prompt tokens a second, tokens of an answer. */
const fleet = [
  { pod: 0, prefillTokensPerS: 8000, outputTokens: 120 },
  { pod: 0, prefillTokensPerS: 8000, outputTokens: 120 },
  { pod: 0, prefillTokensPerS: 8000, outputTokens: 120 },
  { pod: 1, prefillTokensPerS: 12_000, outputTokens: 1 },
  { pod: 1, prefillTokensPerS: 12_000, outputTokens: 1 },
  { pod: 2, prefillTokensPerS: 5000, outputTokens: 300 },
] as const;

const blockTokens = 16;
/** Tokens that one id of a conversation stands for. */
const partTokens = 128;
const scrapeMs = 50;
/** What an encoder takes for one unit of a picture that it has not seen. */
const encoderMs = 0.02;

class Server {
  readonly endpoint: SimEndpoint;
  /** What the router was told at the last scrape. */
  seen: EngineMetrics;
  running = 0;
  prefillTokens = 0;
  /** Tokens of each conversation that this server has computed, as far as the router knows. */
  readonly known = new Map<number, number>();

  constructor(clock: VirtualClock, readonly kind: (typeof fleet)[number], index: number) {
    const cost = {
      ...defaultCost,
      prefillTokensPerS: kind.prefillTokensPerS,
      prefillAttentionNs: 1.3,
      decodeAttentionNs: 40,
    };
    this.endpoint = new SimEndpoint(clock, `sim-${index}`, { cacheBlocks: 6000, maxRunning: 48, cost });
    this.seen = this.endpoint.metrics();
  }
}

/** A conversation grows by what is said in each of its turns. */
interface Conversation {
  readonly id: number;
  tokens: number;
}

/** One request on its way to a server. */
interface Sent {
  readonly server: Server;
  readonly conversation: Conversation;
  readonly encoder: number;
  readonly encoderMatched: number;
}

class World {
  readonly #clock = new VirtualClock();
  readonly #chance: Prng;
  readonly #servers: readonly Server[];
  readonly #conversations: Conversation[] = [];
  readonly #values: number[][] = [];
  readonly #ttftMs: number[] = [];

  constructor(seed: number) {
    this.#chance = new Prng(seed);
    this.#servers = fleet.map((kind, i) => new Server(this.#clock, kind, i));
  }

  run(rows: number): LatencyData {
    const chance = this.#chance;
    const scrape = () => {
      for (const server of this.#servers) server.seen = server.endpoint.metrics();
      this.#clock.after(scrapeMs, scrape);
    };
    scrape();
    // Load moves between a fifth and one and a half of what the fleet can do, and each server's speed by a quarter.
    const change = () => {
      this.#gapMs = 1000 / (2 + 26 * chance.float() ** 1.5);
      for (const { endpoint } of this.#servers) endpoint.slowDown(1 + 0.25 * chance.float());
      this.#clock.after(chance.exponential(8000), change);
    };
    change();
    const arrive = () => {
      this.#arrive();
      this.#clock.after(chance.exponential(this.#gapMs), arrive);
    };
    arrive();
    while (this.#ttftMs.length < rows) this.#clock.step();
    return {
      rows,
      columns: latencyColumns.map((_, c) => Float32Array.from({ length: rows }, (_, i) => this.#values[i][c])),
      ttftMs: Float32Array.from(this.#ttftMs.slice(0, rows)),
    };
  }

  #gapMs = 100;

  #arrive(): void {
    const chance = this.#chance;
    const conversation = this.#conversation();
    // Mostly by chance, at times where the conversation is known, so that every share of a prompt is seen cached.
    const holder = this.#servers.find((server) => server.known.has(conversation.id));
    const server = holder && chance.float() < 0.6 ? holder : this.#emptier();
    const encoder = chance.float() < 0.15 ? 500 + chance.below(4) * 700 : 0;
    this.#send({ server, conversation, encoder, encoderMatched: chance.float() < 0.4 ? encoder : 0 });
  }

  /** The emptier of two by chance: load differs between servers, but not without end. */
  #emptier(): Server {
    const [a, b] = [0, 1].map(() => this.#servers[this.#chance.below(this.#servers.length)]);
    return a.prefillTokens + 200 * a.running <= b.prefillTokens + 200 * b.running ? a : b;
  }

  #conversation(): Conversation {
    const chance = this.#chance;
    const said = Math.round(Math.min(3000, Math.exp(chance.normal(5.6, 0.9))));
    if (this.#conversations.length > 0 && chance.float() < 0.65) {
      const found = this.#conversations[chance.below(this.#conversations.length)];
      if (found.tokens + said < 12_000) {
        found.tokens += said;
        return found;
      }
    }
    const made = { id: this.#clock.now() + 1, tokens: 200 + said + chance.below(3) * 800 };
    if (this.#conversations.length < 150) this.#conversations.push(made);
    else this.#conversations[chance.below(150)] = made;
    return made;
  }

  #send({ server, conversation, encoder, encoderMatched }: Sent): void {
    const { tokens, id } = conversation;
    const matched = Math.min(server.known.get(id) ?? 0, tokens - 1);
    const score = Math.floor(matched / blockTokens) / Math.ceil(tokens / blockTokens);
    const uncached = tokens - Math.floor(matched / blockTokens) * blockTokens;
    const { waiting, kvUsage } = server.seen;
    const bucket = Math.min(3, Math.floor(score * 4));
    const values = [waiting > 0 ? 1 : 0, kvUsage, tokens, waiting, server.running, server.prefillTokens, 0];
    values.push(encoderMatched, encoder, score, (1 - score) * tokens, bucket, server.kind.pod);
    const sentMs = this.#clock.now();
    server.running++;
    server.prefillTokens += uncached;
    server.known.delete(id);
    server.known.set(id, tokens);
    if (server.known.size > 120) server.known.delete(server.known.keys().next().value!);
    const parts = Math.ceil(tokens / partTokens);
    const prompt = promptFromTrace(
      Array.from({ length: parts }, (_, i) => Math.floor(id * 7919) + i),
      tokens,
      { blockSize: blockTokens },
      partTokens,
    );
    const outputTokens = Math.max(1, Math.round(server.kind.outputTokens * (0.5 + this.#chance.float())));
    this.#clock.after((encoder - encoderMatched) * encoderMs, () => {
      const handle = server.endpoint.submit({ prompt, outputTokens }, {
        onFirstToken: (atMs) => {
          server.prefillTokens -= uncached;
          this.#values.push(values);
          this.#ttftMs.push(atMs - sentMs);
        },
        onFinish: () => void server.running--,
      });
      if (handle) return;
      server.running--;
      server.prefillTokens -= uncached;
    });
  }
}

/** As many rows as asked for, in the order of first tokens; the same for the same seed. */
export function simulateLatencies(rows: number, seed: number): LatencyData {
  return new World(seed).run(rows);
}
