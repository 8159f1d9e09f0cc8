/** A thread that decides over the memory it is sent, as an edge does; told what to do by `Job` messages. */
import { parentPort } from "node:worker_threads";
import { alignedClock, type Clock, Doorbell, RecordRing, systemClock } from "../../src/core/mod.ts";
import { Hotpath, type MemorySizes, type SharedHotpath } from "../../src/hotpath/mod.ts";
import { claimRingWords, PrefixClaims } from "../../src/kv/mod.ts";
import { DirectDispatch } from "../../src/pipeline/dispatch.ts";
import type { Placed } from "../../src/pipeline/placed.ts";
import type { PipelineParts } from "../../src/pipeline/parts.ts";
import type { Inbound } from "../../src/pipeline/types.ts";
import { planFromPolicy, Scheduler } from "../../src/scheduling/mod.ts";
import { prefixDefaults } from "../../src/config/defaults.ts";
import { chatBody } from "../decide/population.ts";
import { benchMeta, benchParts, prepareNow } from "../lib/router.ts";
import { threadClock } from "../lib/thread_clock.ts";

export interface DeciderInit {
  readonly shared: SharedHotpath;
  readonly sizes: MemorySizes;
  readonly isolate: number;
  readonly ring: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
  readonly endpoints: number;
  readonly seed: number;
  readonly originMs: number;
  readonly promptTokens: number;
  readonly bodies: number;
  /** Prompts come as token ids, of which engines told: see `exactPrompts`. */
  readonly exact: boolean;
}

/** `agree`: decide over every body, reserving nothing; `run`: decide for so long. */
export type Job = { readonly kind: "agree" } | { readonly kind: "run"; readonly ms: number };

export type Answer = { readonly slots: readonly number[] } | {
  readonly decisions: number;
  readonly ms: number;
  /** CPU time of the thread; NaN where it cannot be read. */
  readonly cpuMs: number;
};

const inFlightMax = 64;
const headers = new Headers({ "content-type": "application/json", "user-agent": "OpenAI/Python 2.8.0" });
const { signal } = new AbortController();

function inboundOf(body: Uint8Array, clock: Clock): Inbound {
  const path = "/v1/chat/completions";
  const receivedAtMs = clock.now();
  return { id: "bench", api: "chat", method: "POST", path, headers, body, errorShape: "openai", signal, receivedAtMs };
}

/** The request's life after the decision, in short. */
function end(placed: Placed): void {
  placed.reservation.firstByte();
  placed.ticket?.confirm();
  placed.reservation.release();
}

/** Conversations are of the group, not of the thread: every thread asks for the same. */
export function scaleBodies(count: number, promptTokens: number) {
  return Array.from({ length: count }, (_, i) => chatBody(promptTokens, i % 8, 1000 + i, true));
}

/**
 * Token ids instead of a tokenizer's: what a body's conversation was told of before, then as many tokens as its new turn
 * has, never the same twice. A simulation: reading ids from text is measured by the bench `tokens`.
 */
export function exactPrompts(bodies: ReturnType<typeof scaleBodies>, salt: number) {
  const prompts = bodies.map((body, i) => {
    const known = knownTokens(i, body.earlier.length >> 2);
    const tokens = new Uint32Array(body.bytes.length >> 2);
    tokens.set(known);
    return { known, tokens };
  });
  let asked = 0;
  const next = (i: number): Uint32Array => {
    const { known, tokens } = prompts[i];
    tokens.fill(++asked * 64 + salt, known.length);
    return tokens;
  };
  return { known: prompts.map(({ known }) => known), next };
}

function knownTokens(conversation: number, count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, at) => (at << 8) + conversation);
}

/** The slots chosen for every body, on what the memory holds now. */
export function choose(parts: PipelineParts, bodies: ReturnType<typeof scaleBodies>, seed: number): number[] {
  const scheduler = new Scheduler(planFromPolicy("default"), { table: parts.table, seed });
  const { slots, count } = parts.pool.candidates("bench");
  // One moment for all: ages of samples are part of the view.
  return bodies.map(({ earlier }) => {
    const { view } = prepareNow(inboundOf(earlier, parts.clock), parts);
    const result = scheduler.decide(view, parts.index.match(view.blocks), slots, count, 0);
    return "slot" in result ? result.slot : -1;
  });
}

async function attach(init: DeciderInit) {
  const { shared, sizes, isolate, endpoints, seed } = init;
  const clock = alignedClock(systemClock, init.originMs);
  const hotpath = await Hotpath.attach(shared, sizes, seed, isolate);
  for (let i = 0; i < endpoints; i++) hotpath.table.mirror(i, hotpath.table.generation[i], benchMeta(i));
  const bell = new Doorbell(init.bell);
  const ring = new RecordRing(claimRingWords, init.ring);
  const index = new PrefixClaims(hotpath.blockTree, hotpath.table, prefixDefaults.blockTokens, ring, () => bell.ring());
  const parts = benchParts({ clock, hotpath, index, plan: planFromPolicy("default"), seed, endpoints });
  const bodies = scaleBodies(init.bodies, init.promptTokens);
  const prompts = exactPrompts(bodies, isolate);
  let at = 0;
  const tokenizer = {
    prompt: () => ({ tokens: prompts.next(at++ % bodies.length), source: "ids" as const, cachedTokens: 0 }),
  };
  return { parts: init.exact ? { ...parts, tokenizer } : parts, bodies, seed, cpuMs: threadClock() };
}

function run({ parts, bodies, cpuMs }: Awaited<ReturnType<typeof attach>>, ms: number): Answer {
  const dispatch = new DirectDispatch(parts);
  const inFlight: Placed[] = [];
  const startMs = parts.clock.now(), startCpuMs = cpuMs?.() ?? NaN;
  let decisions = 0;
  for (; parts.clock.now() - startMs < ms; decisions++) {
    const body = bodies[decisions % bodies.length];
    body.renew();
    inFlight.push(dispatch.place(prepareNow(inboundOf(body.bytes, parts.clock), parts).view, []));
    if (inFlight.length > inFlightMax) end(inFlight.shift()!);
  }
  const tookMs = parts.clock.now() - startMs, usedMs = (cpuMs?.() ?? NaN) - startCpuMs;
  for (const placed of inFlight) end(placed);
  return { decisions, ms: tookMs, cpuMs: usedMs };
}

parentPort?.once("message", async (init: DeciderInit) => {
  const world = await attach(init);
  parentPort!.on("message", (job: Job) => {
    const answer: Answer = job.kind === "run"
      ? run(world, job.ms)
      : { slots: choose(world.parts, world.bodies, world.seed) };
    parentPort!.postMessage(answer);
  });
  parentPort!.postMessage("ready");
});
