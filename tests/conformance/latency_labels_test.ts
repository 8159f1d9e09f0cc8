/** What answers tell of predictions, through the whole pipeline: scripted servers, a virtual clock, everything else real. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { setImmediate } from "node:timers";
import { benchMeta, benchParts } from "../../bench/lib/router.ts";
import { edgeLatency } from "../../src/commands/latency_desk.ts";
import { EndpointState, Prng, RecordRing, VirtualClock } from "../../src/core/mod.ts";
import { latencyDefaults } from "../../src/config/latency_defaults.ts";
import { Hotpath, packForest } from "../../src/hotpath/mod.ts";
import { Caches, localClaims } from "../../src/kv/mod.ts";
import { columnOf, High, latencyRecords, LatencyState, Model, readLabel } from "../../src/latency/mod.ts";
import { type Answer, isSource, Pipeline, type PipelineOptions } from "../../src/pipeline/mod.ts";
import { planFromPolicy, Scheduler } from "../../src/scheduling/mod.ts";
import { type ByteStream, UpstreamClient } from "../../src/upstream/mod.ts";

const endpoints = 3;
const firstTokenTimeoutMs = 450;
const encoder = new TextEncoder(), decoder = new TextDecoder();

/** What a server does, each so many milliseconds after the request has arrived. */
type Script = readonly (readonly [ms: number, what: string | "reset" | "eof"])[];

/** A connection on which each request is answered by a script. */
class Stream implements ByteStream {
  readonly #clock: VirtualClock;
  readonly #script: (request: string) => Script;
  readonly #queue: (Uint8Array | "reset" | "eof")[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(clock: VirtualClock, script: (request: string) => Script) {
    this.#clock = clock;
    this.#script = script;
  }

  write(bytes: Uint8Array): Promise<number> {
    const text = decoder.decode(bytes);
    // The body ends a request of these tests.
    if (text.endsWith("}")) {
      for (const [ms, what] of this.#script(text)) {
        this.#clock.after(ms, () => {
          this.#queue.push(what === "reset" || what === "eof" ? what : encoder.encode(what));
          this.#wake?.();
        });
      }
    }
    return Promise.resolve(bytes.length);
  }

  async read(into: Uint8Array): Promise<number | null> {
    while (this.#queue.length === 0 && !this.#closed) await new Promise<void>((resolve) => this.#wake = resolve);
    if (this.#closed) throw new Deno.errors.Interrupted("closed");
    const next = this.#queue.shift()!;
    if (next === "eof") return null;
    if (next === "reset") throw new Deno.errors.ConnectionReset("reset by script");
    into.set(next);
    return next.length;
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }
}

const head = (type: string, length?: number, status = "200 OK") =>
  `HTTP/1.1 ${status}\r\ncontent-type: ${type}\r\n` +
  (length === undefined ? "transfer-encoding: chunked\r\n\r\n" : `content-length: ${length}\r\n\r\n`);
const chunk = (text: string) => `${encoder.encode(text).length.toString(16)}\r\n${text}\r\n`;
const event = (data: unknown) => chunk(`data: ${JSON.stringify(data)}\n\n`);
const token = (content: string) => event({ id: "c", model: "bench", choices: [{ index: 0, delta: { content } }] });
const role = event({ id: "c", model: "bench", choices: [{ index: 0, delta: { role: "assistant" } }] });
const usage = (tokens: number) =>
  event({ id: "c", choices: [], usage: { prompt_tokens: 9, completion_tokens: tokens, total_tokens: 9 + tokens } });
const end = `${chunk("data: [DONE]\n\n")}0\r\n\r\n`;

/** A stream whose first token comes at 120 ms and whose last one 60 ms later; `tokens` as its usage says. */
const stream = (tokens: number): Script => [
  [1, head("text/event-stream")],
  [50, role],
  [120, token("a")],
  [140, token("b")],
  [180, token("c")],
  [180, usage(tokens) + end],
];

/** An answer in one piece. */
function plain(body: unknown, status?: string, ms = 500): Script {
  const text = JSON.stringify(body);
  return [[1, head("application/json", text.length, status)], [ms, text]];
}

const completion = (tokens: number) => plain({ id: "c", choices: [], usage: { completion_tokens: tokens } });

interface StageOptions {
  readonly options?: Partial<PipelineOptions>;
  readonly plan?: Parameters<typeof planFromPolicy>[0];
}

/** Three endpoints, whose attempts are answered by `scripts` in order. */
async function stage(scripts: readonly Script[], { options, plan = "predicted" }: StageOptions = {}) {
  const clock = new VirtualClock();
  const sizes = {
    endpoints,
    blockTreeBytes: 1 << 18,
    bodyBytesMax: 1 << 16,
    prefixTokensMax: 4096,
    forestBytes: 1 << 10,
  };
  const hotpath = await Hotpath.load(sizes, 1);
  const { table } = hotpath;
  const caches = new Caches({ tree: hotpath.blockTree, table, clock, rng: new Prng(1), source: () => undefined }, {
    blockTokens: 64,
  });
  for (let i = 0; i < endpoints; i++) caches.slotAdded(table.add(benchMeta(i), EndpointState.Ready));
  const state = new LatencyState(endpoints, 1);
  const ring = new RecordRing(1 << 12);
  const latency = edgeLatency({
    hotpath,
    state,
    ring,
    rung() {},
    isolate: 0,
    setup: { ...latencyDefaults, predicts: true },
  });
  const index = localClaims(caches, hotpath.blockTree, table, 64);
  const parts = benchParts({ clock, hotpath, index, plan: planFromPolicy("default"), seed: 1, endpoints });
  const left = [...scripts];
  const pipeline = new Pipeline({
    ...parts,
    latency: latency.predictor,
    scheduler: new Scheduler(planFromPolicy(plan), { table, seed: 1, latency: latency.source }),
    upstream: new UpstreamClient({
      clock,
      dial: () => Promise.resolve(new Stream(clock, () => left.shift()!)),
      connectTimeoutMs: 300,
      firstByteTimeoutMs: 5_000,
      idleTimeoutMs: 5_000,
      // Each attempt on a connection of its own.
      idleConnectionsMax: 0,
    }),
    options: {
      ...parts.options,
      attemptsMax: 3,
      retryBudget: { ratio: 1, minPerSecond: 10, burst: 10 },
      firstTokenTimeoutMs,
      usage: "always",
      ...options,
    },
  });
  const labels: [target: string, ms: number, how?: "at least"][] = [], outputs: number[] = [];
  const slots: number[] = [];
  const tick = async () => {
    clock.advance(1);
    for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => setImmediate(resolve));
    ring.drain((kind, numbers) => {
      if (kind === latencyRecords.output) outputs.push(numbers[0]);
      if (kind !== latencyRecords.label) return;
      const { target, ms, censored, slot } = readLabel(numbers);
      slots.push(slot);
      const name = ["ttft", "tpot"][target];
      labels.push(censored ? [name, ms, "at least"] : [name, ms]);
    });
  };
  const settled = () => {
    deepStrictEqual(Array.from({ length: endpoints }, (_, slot) => state.tpotSlos(slot)), [0, 0, 0]);
    deepStrictEqual([...table.requests], [0, 0, 0]);
  };
  return { clock, hotpath, table, state, pipeline, labels, outputs, slots, tick, settled, latency, caches };
}

type Stage = Awaited<ReturnType<typeof stage>>;

interface Asked {
  readonly streams?: boolean;
  readonly headers?: Record<string, string>;
  /** The client leaves after so long. */
  readonly leavesMs?: number;
  readonly path?: string;
}

function inbound(
  { clock }: Stage,
  { streams = true, headers = {}, path = "/v1/chat/completions" }: Asked,
  signal: AbortSignal,
) {
  const content = "What is the use of a book without pictures or conversations? ".repeat(20);
  const api = path.endsWith("embeddings") ? "embeddings" as const : "chat" as const;
  const body = { model: "bench", stream: streams, messages: [{ role: "user", content }], input: content };
  return {
    id: "r",
    api,
    method: "POST",
    path,
    headers: new Headers({ "content-type": "application/json", ...headers }),
    body: encoder.encode(JSON.stringify(body)),
    errorShape: "openai" as const,
    signal,
    receivedAtMs: clock.now(),
  };
}

/** Sends a request and reads its answer to the end. */
async function ask(scene: Stage, asked: Asked = {}): Promise<{ readonly status: number; readonly text: string }> {
  const { pipeline, clock, tick } = scene;
  const leaves = new AbortController();
  if (asked.leavesMs !== undefined) clock.after(asked.leavesMs, () => leaves.abort());
  let result: { readonly status: number; readonly text: string } | undefined;
  const read = async ({ status, body }: Answer) => {
    let text = isSource(body) ? "" : decoder.decode(body ?? new Uint8Array());
    if (isSource(body)) {
      try {
        for (let bytes; (bytes = await body.read()) !== null;) text += decoder.decode(bytes);
      } catch {
        text += " (broken off)";
      }
      body.cancel();
    }
    result = { status, text };
  };
  void pipeline.handle(inbound(scene, asked, leaves.signal)).then(read);
  for (let ticks = 0; !result && ticks < 20_000; ticks++) await tick();
  await tick();
  ok(result, "the request ends");
  return result;
}

Deno.test("a stream gives its time to first token, and its pace by the number of tokens its usage names", async () => {
  const scene = await stage([stream(7)]);
  const { status } = await ask(scene);
  equal(status, 200);
  // The role came before, and more tokens than chunks.
  deepStrictEqual(scene.labels, [["ttft", 120], ["tpot", 10]]);
  deepStrictEqual(scene.outputs, [7]);
  scene.settled();
});

Deno.test("without a usage a stream's tokens are its events, the one that ends it among them", async () => {
  const scene = await stage([[
    [1, head("text/event-stream")],
    ...[100, 110, 120, 130, 140].map((ms) => [ms, token("x")] as const),
    [140, end],
  ]], { options: { usage: "client" } });
  await ask(scene);
  deepStrictEqual(scene.labels, [["ttft", 100], ["tpot", 40 / 5]]);
  deepStrictEqual(scene.outputs, [6]);
});

Deno.test("a plain answer gives its pace alone, less what its first token was predicted to take", async () => {
  const scene = await stage([completion(51)]);
  await ask(scene, { streams: false });
  const [[target, ms], ...others] = scene.labels;
  deepStrictEqual([target, others], ["tpot", []]);
  ok(ms > 2 && ms < 10, `${ms}`);
  deepStrictEqual(scene.outputs, [51]);
});

Deno.test("answers of next to no tokens, errors and what is not generated give no label", async () => {
  const embeddings = { path: "/v1/embeddings", streams: false };
  const error = plain({ error: { message: "no" } }, "400 Bad Request", 100);
  const cases: [Script, Asked][] = [
    [completion(3), { streams: false }],
    [plain({ data: [], usage: { prompt_tokens: 5, completion_tokens: 9 } }), embeddings],
    [error, {}],
    [error, { streams: false }],
    [plain({ error: { message: "no" } }, "500 Internal Server Error", 100), {}],
  ];
  for (const [script, asked] of cases) {
    const scene = await stage([script]);
    await ask(scene, asked);
    deepStrictEqual(scene.labels, [], JSON.stringify(script));
    scene.settled();
  }
});

Deno.test("an answer that its client left, or that broke off, gives its first token and no pace", async () => {
  const left = await stage([stream(7)]);
  await ask(left, { leavesMs: 150, headers: { "x-slo-tpot-ms": "20" } });
  deepStrictEqual([left.labels, left.outputs], [[["ttft", 120]], []]);
  left.settled();

  const broken = await stage([[...stream(7).slice(0, 4), [150, "reset"]]]);
  await ask(broken);
  deepStrictEqual([broken.labels, broken.outputs], [[["ttft", 120]], []]);
  broken.settled();
});

Deno.test("a client that leaves before the first token has waited for it so long: a server that hangs is told of", async () => {
  const early = await stage([stream(7)]);
  await ask(early, { leavesMs: 60, headers: { "x-slo-tpot-ms": "20" } });
  // Sent in the first millisecond.
  deepStrictEqual([early.labels, early.outputs], [[["ttft", 59, "at least"]], []]);
  early.settled();

  const plain = await stage([completion(51)]);
  await ask(plain, { streams: false, leavesMs: 60 });
  deepStrictEqual(plain.labels, [], "its tokens are nothing that is waited for one by one");
});

Deno.test("silence before the first token is a lower bound, and the attempt that answers counts from its own sending", async () => {
  const silent: Script = [[1, head("text/event-stream")], [50, role]];
  const scene = await stage([silent, stream(7)]);
  const { status } = await ask(scene, { headers: { "x-slo-tpot-ms": "20" } });
  equal(status, 200);
  const [[target, ms, how], ...rest] = scene.labels;
  deepStrictEqual([target, how, rest], ["ttft", "at least", [["ttft", 120], ["tpot", 10]]]);
  // The timeout is watched four times a second.
  ok(ms >= firstTokenTimeoutMs && ms < firstTokenTimeoutMs + 260, `${ms}`);
  ok(scene.slots[0] !== scene.slots[1], "another endpoint");
  scene.settled();
});

Deno.test("an attempt that failed in another way is no label", async () => {
  const busy = plain({ error: { message: "busy" } }, "503 Service Unavailable", 100);
  for (const failing of [busy, [[30, "reset"]] as Script, [[30, "eof"]] as Script]) {
    const scene = await stage([failing, stream(7)]);
    equal((await ask(scene)).status, 200);
    deepStrictEqual(scene.labels, [["ttft", 120], ["tpot", 10]]);
    scene.settled();
  }
});

Deno.test("of a hedged request the faster one gives its times, the slower one a lower bound", async () => {
  const slow: Script = stream(7).map(([ms, what]) => [ms + 300, what]);
  const scene = await stage([slow, stream(7)], { options: { hedge: { after: 200, promptTokensMax: 4096 } } });
  await ask(scene);
  deepStrictEqual(scene.labels, [["ttft", 120], ["ttft", 320, "at least"], ["tpot", 10]]);
  scene.settled();
});

Deno.test("an answer that another endpoint went on with gives no pace, as none of the two gave all of it", async () => {
  const lost: Script = [...stream(7).slice(0, 4), [150, "reset"]];
  const scene = await stage([lost, stream(9)], { options: { continuation: true } });
  const { text } = await ask(scene);
  ok(text.includes("[DONE]"), text);
  deepStrictEqual(scene.labels, [["ttft", 120], ["ttft", 120]]);
  deepStrictEqual(scene.outputs, []);
  scene.settled();
});

Deno.test("a stream's TPOT target counts at its endpoint while it runs there; a plain request has none", async () => {
  const targets = async (streams: boolean) => {
    const scene = await stage([streams ? stream(7) : completion(51)]);
    const asked = ask(scene, { streams, headers: { "x-slo-tpot-ms": "25" } });
    const seen = new Set<number>();
    const watch = scene.clock.after(100, () => {
      for (const slot of [0, 1, 2]) seen.add(scene.state.strictestTpotMs(slot));
    });
    await asked;
    watch.cancel();
    scene.settled();
    return seen.has(25);
  };
  deepStrictEqual([await targets(true), await targets(false)], [true, false]);
});

Deno.test("a request's TPOT target says nothing of a plain answer, whose tokens nobody sees come", async () => {
  const scene = await stage([]);
  const slo = async (streams: boolean, value: string) => {
    const headers = { "x-slo-tpot-ms": value, "x-slo-ttft-ms": "900" };
    const { view } = await scene.pipeline.explain(inbound(scene, { streams, headers }, new AbortController().signal));
    return view.slo;
  };
  deepStrictEqual(await slo(true, "25"), { ttftMs: 900, tpotMs: 25 });
  deepStrictEqual(await slo(false, "25"), { ttftMs: 900, tpotMs: undefined });
  let refused: unknown;
  await slo(false, "soon").catch((error) => refused = error);
  ok(refused instanceof Error, "what is no number is refused all the same");
});

Deno.test("what is predicted under another policy is learned from all the same", async () => {
  const scene = await stage([stream(7)], { plan: "default" });
  await ask(scene);
  deepStrictEqual(scene.labels, [["ttft", 120], ["tpot", 10]]);
});

Deno.test("a forest in the shared memory predicts, row by row, in multiples of the prior", async () => {
  const scene = await stage([]);
  const { state, latency: { predictor }, hotpath, table, clock } = scene;
  /** Twice the prior where fewer than five are running, four times elsewhere. */
  const tree = (group: number, times: number) => ({
    left: Int32Array.of(1, -1, -1),
    right: Int32Array.of(2, -1, -1),
    feature: Int32Array.of(0, 0, 0),
    threshold: Float32Array.of(5, Math.log(2 * times), Math.log(4 * times)),
    defaultLeft: Uint8Array.of(1, 1, 1),
    group,
    weight: 1,
  });
  const forest = packForest({ trees: [tree(0, 1), tree(1, 1.5)], groups: 2 }, [columnOf.get("num_request_running")!]);
  hotpath.forests.publish(0, forest);
  state.setOffset(0, Model, High, 0);
  state.setSource(0, Model);
  table.running.set([0, 9, 0]);
  const { view } = await scene.pipeline.explain(inbound(scene, {}, new AbortController().signal));
  const match = { blocks: new Int32Array(endpoints), total: 0, blockTokens: 64 };
  const facts = { view, table, match, load: table, nowMs: clock.now() };
  const predicted = predictor.predict(facts, Uint16Array.of(2, 1, 0), 3);
  for (const [slot, times] of [2, 4, 2].entries()) {
    const { ttftPriorMs, ttftMs, ttftHighMs } = predicted;
    ok(Math.abs(ttftMs[slot] / ttftPriorMs[slot] - times) < 1e-5, `${ttftMs[slot]}`);
    ok(Math.abs(ttftHighMs[slot] / ttftMs[slot] - 1.5) < 1e-5, `${ttftHighMs[slot]}`);
  }
});
