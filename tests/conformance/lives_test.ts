/**
 * The reservation invariant: whatever requests, clients, servers and the pool do, every request ends exactly once and
 * gives back all that it took.
 */
import { AssertionError, deepStrictEqual, equal, ok } from "node:assert/strict";
import { BreakerState, concatBytes, freePermits, nobodyQueued, type Outcome, Prng, sleep } from "../../src/core/mod.ts";
import { type FlowConfig, flowDefaults, fusedDefaults } from "../../src/config/mod.ts";
import { type Caller, rateOf, type Seat } from "../../src/keys/mod.ts";
import { type Answer, type BodySource, isSource } from "../../src/pipeline/mod.ts";
import { ChunkedBody, outcomeTable } from "../../src/protocol/mod.ts";
import type { RequestRecord } from "../../src/telemetry/mod.ts";
import { type LifeRequest, lifeRequests } from "./life_requests.ts";
import { LifeWorld, tokensMax } from "./life_world.ts";
import { answerText } from "./scripted_server.ts";

const lives = 100_000;
const together = 250;
const decoder = new TextDecoder();

/** What the client of one life does with its answer. */
type Manner = "reads" | "cancels" | "disconnects";

/** One client: sends a request, may leave at any point, and checks what it was given. */
class Life {
  readonly #world: LifeWorld;
  readonly #number: number;
  readonly #request: LifeRequest;
  readonly #prng: Prng;
  readonly #abort = new AbortController();
  readonly #caller: Caller | undefined;

  constructor(world: LifeWorld, number: number, request: LifeRequest, seed: number) {
    this.#world = world;
    this.#number = number;
    this.#request = request;
    this.#prng = new Prng(seed);
    this.#caller = world.callers[number % world.callers.length];
  }

  async run(): Promise<Outcome> {
    const { clock, pipeline, records } = this.#world;
    const prng = this.#prng;
    if (prng.below(100) === 0) this.#abort.abort();
    const leaves = prng.below(8) === 0 ? clock.after(prng.below(60), () => this.#abort.abort()) : undefined;
    const headers = new Headers(this.#request.headers as [string, string][]);
    if (prng.below(4) === 0) headers.set("x-session-id", `session-${prng.below(9)}`);
    if (this.#world.flow) this.#waits(headers);
    if (this.#world.latency) this.#wants(headers);
    if (prng.below(50) === 0) headers.set("x-gateway-destination-endpoint-subset", "a,b");
    const response = await pipeline.handle({
      id: `life-${this.#number}`,
      api: this.#request.api,
      method: this.#request.method,
      path: this.#request.path,
      headers,
      body: this.#request.body,
      errorShape: this.#request.api === "messages" ? "anthropic" : "openai",
      caller: this.#caller,
      signal: this.#abort.signal,
      receivedAtMs: clock.now(),
    });
    const draw = prng.below(10);
    const read = await this.#read(response, draw < 7 ? "reads" : draw < 9 ? "cancels" : "disconnects");
    leaves?.cancel();
    const ended = records.get(this.#number);
    equal(ended?.length, 1, `life ${this.#number} must have one record when its client is done`);
    records.delete(this.#number);
    this.#check(ended![0], response, read);
    return ended![0].outcome;
  }

  /** Whose it is, how urgent, and how long it may wait. */
  #waits(headers: Headers): void {
    const prng = this.#prng;
    headers.set("x-warmpath-priority", `${prng.below(5) - 2}`);
    headers.set("x-llm-d-inference-fairness-id", `tenant-${prng.below(4)}`);
    if (prng.below(2) === 0) headers.set("x-warmpath-on-eviction", "requeue");
    if (prng.below(4) === 0) headers.set("x-llm-d-inference-ttl", `${1 + prng.below(100)}`);
  }

  /** How soon it wants its answer; with less than 0 it is refused where that is unlikely. */
  #wants(headers: Headers): void {
    const prng = this.#prng;
    if (prng.below(4) === 0) headers.set("x-warmpath-priority", "-1");
    if (prng.below(2) === 0) headers.set("x-slo-tpot-ms", `${1 + prng.below(20)}`);
    if (!headers.has("x-slo-ttft-ms") && prng.below(3) === 0) headers.set("x-slo-ttft-ms", `${1 + prng.below(300)}`);
  }

  /** The body's text as far as it was read; undefined when the client did not take all of it. */
  async #read(response: Answer, manner: Manner): Promise<string | undefined> {
    const { body } = response;
    if (!isSource(body)) return decoder.decode(body ?? new Uint8Array());
    if (body.pump && this.#prng.below(2) === 0) return await this.#pump(body, manner);
    let text = "";
    try {
      for (;;) {
        if (this.#stops(manner)) {
          if (manner === "cancels") body.cancel();
          return undefined;
        }
        const bytes = await body.read();
        if (bytes === null) {
          // The port does so after every answer.
          body.cancel();
          return text;
        }
        text += decoder.decode(bytes, { stream: true });
        await this.#rest();
      }
    } catch {
      return undefined;
    }
  }

  /** As a port does for a client that reads chunks: a sink that fails is a client that left. */
  async #pump(body: BodySource, manner: Manner): Promise<string | undefined> {
    const parts: Uint8Array[] = [];
    const write = async (bytes: Uint8Array) => {
      if (this.#stops(manner)) throw new Error("The connection was closed");
      await this.#rest();
      const taken = bytes.slice(0, 1 + this.#prng.below(bytes.length));
      parts.push(taken);
      return taken.length;
    };
    try {
      await body.pump!({ write, wrote() {} }, new Uint8Array());
      const framed = concatBytes(parts), payload = new Uint8Array(framed.length);
      const chunked = new ChunkedBody();
      const size = chunked.decode(framed, payload);
      ok(chunked.done && chunked.used === framed.length, "the framing is whole");
      return decoder.decode(payload.subarray(0, size));
    } catch (error) {
      if (error instanceof AssertionError) throw error;
      return undefined;
    } finally {
      body.cancel();
    }
  }

  /** Whether the client takes no more. */
  #stops(manner: Manner): boolean {
    if (manner === "reads" || this.#prng.below(2) === 1) return false;
    if (manner === "disconnects") this.#abort.abort();
    return true;
  }

  /** A client that is slow to take the next piece. */
  async #rest(): Promise<void> {
    if (this.#prng.below(10) === 0) await sleep(this.#world.clock, this.#prng.below(20));
  }

  #check(record: RequestRecord, response: Answer, text: string | undefined): void {
    const { outcome, status } = record;
    const { kind, model, stream, usage } = this.#request;
    const where = `life ${this.#number}, ${kind}, ${outcome}`;
    if (outcome === "client-disconnect") return;
    equal(status, response.status, where);
    if (kind === "invalid") equal(outcome, "bad-request", where);
    // While no endpoint has told its models yet, nobody can say that one does not exist.
    if (kind === "unknown-model") {
      ok(["model-not-found", "rejected-no-endpoints", "rate-limited"].includes(outcome), where);
    }
    if (outcome === "rate-limited") equal(this.#caller?.key, "narrow", where);
    equal(record.key, this.#caller?.key, where);
    if (record.attempts === 0) {
      equal(status, outcomeTable[outcome].status, where);
      ok(JSON.parse(text ?? "{}"));
    }
    const serial = response.headers.get("x-serial");
    if (outcome !== "completed" || text === undefined || serial === null || status !== 200) return;
    if (kind === "passthrough") return;
    // The scripted servers cannot go on with an answer: what they say next is another one's end.
    if (record.continuations) {
      ok(text.endsWith("data: [DONE]\n\n") && text.split("[DONE]").length === 2, where);
      return ok(!text.includes('"error"'), where);
    }
    // Byte for byte what the server wrote, with the model's name as the client knows it and no usage it did not ask for.
    equal(text, answerText({ serial: Number(serial), model, stream, usage }), where);
  }
}

Deno.test({
  name: `${lives} random lives end once each and leave nothing reserved`,
  async fn() {
    const world = await LifeWorld.start(1);
    const outcomes = await runLives(world, lives);
    const report = Object.fromEntries([...outcomes].sort());
    deepStrictEqual(
      ["completed", "client-disconnect", "bad-request", "model-not-found", "upstream-error", "upstream-aborted"]
        .concat("rate-limited").filter((outcome) => !((report[outcome] ?? 0) > lives / 1000)),
      [],
      `every way to end is taken: ${JSON.stringify(report)}`,
    );
    ok(world.freedSlots > 10, `endpoints come and go: ${world.freedSlots}`);
    const counts = await counters(world);
    for (const name of ['upstream_hedges_total{what="begun"}', 'upstream_hedges_total{what="won"}']) {
      ok((counts.get(`warmpath_${name}`) ?? 0) > lives / 2000, `${name}: ${counts.get(`warmpath_${name}`)}`);
    }
    await nothingLeft(world, lives);
  },
});

/** Every way to wait is taken. */
const busy: FlowConfig = {
  ...flowDefaults,
  limits: { maxRequests: 150 },
  ttlMs: 200,
  noEndpointTtlMs: 50,
  eviction: true,
  saturation: { ...fusedDefaults, maxConcurrency: 12 },
};

Deno.test({
  name: "random lives that wait for full endpoints, are refused, displaced or taken back, leave nothing behind either",
  async fn() {
    const lives = 20_000;
    const world = await LifeWorld.start(3, { flow: busy });
    const outcomes = await runLives(world, lives);
    const ends = Object.fromEntries(world.flowEnds);
    for (const outcome of ["completed", "rejected-ttl-expired", "rejected-saturated", "evicted"] as const) {
      ok((outcomes.get(outcome) ?? 0) > lives / 2000, `${outcome}: ${JSON.stringify(Object.fromEntries(outcomes))}`);
    }
    for (const end of ["Dispatched", "RejectedCapacity", "EvictedTTL", "EvictedContextCancelled"]) {
      ok(ends[end] > lives / 2000, `${end}: ${JSON.stringify(ends)}`);
    }
    const { controller, revocations } = world.flow!;
    deepStrictEqual([controller.size, controller.held.tokens, controller.held.bytes, revocations.size], [0, 0, 0, 0]);
    const { table } = world;
    deepStrictEqual([...table.slots()].filter((slot) => table.queued[slot] !== nobodyQueued), []);
    await nothingLeft(world, lives);
  },
});

const roomier: FlowConfig = {
  ...busy,
  limits: { maxRequests: 1000 },
  saturation: { ...fusedDefaults, maxConcurrency: 24 },
};

for (const flow of [undefined, roomier]) {
  const how = flow ? "and waiting for it" : "at once";
  Deno.test({
    name: `random lives placed by predicted latency, ${how}, leave no target behind, and each is learned from`,
    async fn() {
      const lives = 10_000;
      const world = await LifeWorld.start(5, { predicts: true, flow });
      const { state, learner } = world.latency!;
      let most = 0;
      const outcomes = await runLives(world, lives, () => {
        for (let slot = 0; slot < state.slots; slot++) most = Math.max(most, state.tpotSlos(slot));
      });
      for (const outcome of ["completed", "client-disconnect", "rejected-slo"] as const) {
        ok((outcomes.get(outcome) ?? 0) > lives / 1000, `${outcome}: ${JSON.stringify(Object.fromEntries(outcomes))}`);
      }
      ok(most >= 3, `${most} targets at one endpoint`);
      for (let slot = 0; slot < state.slots; slot++) {
        deepStrictEqual([state.tpotSlos(slot), state.strictestTpotMs(slot)], [0, 0], `slot ${slot}`);
        ok(state.ttftBaseMs[slot] >= 0 && state.ttftTokenMs[slot] >= 0 && Number.isFinite(state.bias(0, 0)[slot]));
      }
      for (const target of [0, 1]) {
        const { labels } = learner.drift(target);
        ok(labels > outcomes.get("completed")! / 50 && labels < lives, `${labels} labels`);
        ok(learner.heldBack(target).length > 0);
      }
      await nothingLeft(world, lives);
    },
  });
}

/** Runs so many lives, some at once; how many ended in which way. */
async function runLives(world: LifeWorld, lives: number, look?: () => void): Promise<Map<Outcome, number>> {
  const requests = lifeRequests(400, 2);
  const outcomes = new Map<Outcome, number>();
  let next = 0, running = together;
  const failures: unknown[] = [];
  const client = async () => {
    while (next < lives && failures.length === 0) {
      const number = next++;
      const outcome = await new Life(world, number, requests[(number * 7919) % requests.length], number).run();
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  };
  for (let i = 0; i < together; i++) void client().catch((error) => failures.push(error)).finally(() => running--);
  for (let ticks = 0; running > 0 && ticks < 10 * lives; ticks++) {
    await world.tick();
    look?.();
  }
  if (failures.length > 0) throw failures[0];
  equal(running, 0, "every client comes to an end");
  equal([...outcomes.values()].reduce((sum, count) => sum + count, 0), lives);
  return outcomes;
}

async function counters({ metrics, clock }: LifeWorld): Promise<Map<string, number>> {
  const lines = (await metrics.render(clock)).split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

async function nothingLeft(world: LifeWorld, lives: number): Promise<void> {
  const { table, pipeline, upstream, caches, metrics, records, servers, pool, clock } = world;
  equal(world.unresolvedTickets, 0);
  equal(records.size, 0, "no request is recorded twice or after its client was done");
  const none = new Array(table.capacity).fill(0);
  deepStrictEqual([...table.requests], none);
  deepStrictEqual([...table.prefillTokens], none);
  deepStrictEqual([...table.decodeTokens], none);
  const halfOpen = [...table.slots()].filter((slot) => table.breaker[slot] === BreakerState.HalfOpen);
  deepStrictEqual(halfOpen.filter((slot) => freePermits(table, slot) !== 3), [], "no permit is kept");
  equal(pipeline.active, 0);
  const { keys, quotas, charged } = world;
  const rate = rateOf(tokensMax);
  const used = ({ seat: { row } }: { readonly seat: Seat }) =>
    tokensMax - quotas.state(row, "tokens", rate, 0).remaining;
  // A key in shadow has drawn nothing for what would have been refused.
  for (const key of keys.keys.filter(({ shadow }) => !shadow)) equal(used(key), charged.get(key.id), key.id);
  equal(used(keys.tenants[0]), keys.keys.reduce((sum, key) => sum + used(key), 0));
  ok(used(keys.tenants[0]) > lives, `${used(keys.tenants[0])} tokens`);
  deepStrictEqual([...keys.keys, ...keys.tenants].map(({ seat }) => quotas.inFlight(seat.row)), [0, 0, 0, 0]);
  await pipeline.drain();
  equal(upstream.active, 0);
  equal(caches.stats().openTickets, 0);
  await caches.stop();
  equal(servers.open, upstream.idleConnections, "connections are open only as idle ones");
  const running = (await metrics.render(clock)).split("\n").filter((line) => /^\w*request_running\{/.test(line));
  ok(running.length > 0);
  deepStrictEqual(running.filter((line) => !line.endsWith(" 0")), []);
  upstream.close();
  pool.stop();
  equal(servers.open, 0);
}
