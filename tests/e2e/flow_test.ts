/** Requests that find no room: who waits, who is next, who is told what. */
import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import {
  type AccessLine,
  fact,
  metric,
  model,
  nothingReserved,
  openAiError,
  post,
  reserved,
  type Stage,
  until,
  withRouter,
} from "./harness.ts";
import { Recorder } from "./recorder.ts";

/** A model server that answers a request when the test says so, by the text of its prompt. */
class Engine {
  readonly order: string[] = [];
  most = 0;
  readonly #open = new Map<string, () => void>();
  readonly recorder = new Recorder({
    answer: ({ text }) => {
      const { prompt } = JSON.parse(text);
      this.order.push(prompt);
      return new Promise((resolve) => {
        this.#open.set(prompt, () => resolve(Response.json({ usage: { prompt_tokens: 4, completion_tokens: 2 } })));
        this.most = Math.max(this.most, this.#open.size);
      });
    },
  });

  get running(): string[] {
    return [...this.#open.keys()];
  }

  /** Answers one request. */
  finish(prompt: string): void {
    const answer = this.#open.get(prompt);
    ok(answer, `${prompt} runs`);
    this.#open.delete(prompt);
    answer();
  }

  async runs(prompt: string): Promise<void> {
    await until(`${prompt} runs`, () => this.#open.has(prompt));
  }

  /** Answers whatever comes until all that were asked have their answers. */
  async drain(answers: readonly Promise<unknown>[]): Promise<void> {
    let left = answers.length;
    for (const answer of answers) answer.finally(() => left--).catch(() => {});
    await until("all have an answer", () => {
      for (const prompt of this.running) this.finish(prompt);
      return left === 0;
    });
  }
}

/** An answer, read to its end. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly error: Readonly<Record<string, unknown>>;
}

interface Scene {
  readonly stage: Stage;
  readonly engines: readonly Engine[];
  ask(prompt: string, headers?: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<Answer>;
  /** As `ask`, once the router has it in its queue. */
  queue(
    prompt: string,
    headers?: Readonly<Record<string, string>>,
    signal?: AbortSignal,
  ): Promise<{ readonly answer: Promise<Answer> }>;
}

/** Engines of one place each, unless `flow` says otherwise. */
async function withEngines(
  count: number,
  flow: Readonly<Record<string, unknown>>,
  use: (scene: Scene) => Promise<void>,
  config: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const engines = Array.from({ length: count }, () => new Engine());
  const endpoints = engines.map(({ recorder }) => recorder.url);
  const objectives = [{ name: "urgent", priority: 10 }, { name: "batch", priority: -10 }];
  const saturation = { detector: "fused", maxConcurrency: 1 };
  try {
    await withRouter({ endpoints, config: { objectives, flow: { saturation, ...flow }, ...config } }, async (stage) => {
      const ask: Scene["ask"] = async (prompt, headers, signal) => {
        const init = { headers: { connection: "close", ...headers }, signal };
        const response = await post(`${stage.url}/v1/completions`, { model, prompt }, init);
        const { error = {} } = await response.json();
        return { status: response.status, headers: response.headers, error };
      };
      const queue: Scene["queue"] = async (...asked) => {
        const { controller } = stage.router.flow;
        const before = controller.size;
        const answer = ask(...asked);
        answer.catch(() => {});
        await until(`${asked[0]} waits`, () => controller.size > before);
        return { answer };
      };
      await use({ stage, engines, ask, queue });
      await until("nothing is reserved", () => reserved(stage).requests === 0);
      deepStrictEqual(reserved(stage), nothingReserved);
      equal(stage.router.flow.controller.size, 0);
    });
  } finally {
    await Promise.all(engines.map(({ recorder }) => recorder.stop()));
  }
}

const urgent = { "x-llm-d-inference-objective": "urgent" };
const batch = { "x-llm-d-inference-objective": "batch" };
const tenant = (name: string) => ({ "x-llm-d-inference-fairness-id": name });
const quiet = { observe: { accessLog: false, logLevel: "error" } };

for (const workers of [1, 2]) {
  fact(
    `with ${workers} edges a full endpoint takes no more; what waits goes by priority, then by arrival`,
    () =>
      withEngines(1, {}, async ({ stage, engines: [engine], ask, queue }) => {
        const first = ask("first");
        await engine.runs("first");
        const waiting = [
          (await queue("low", batch)).answer,
          (await queue("a")).answer,
          (await queue("b")).answer,
          (await queue("high", urgent)).answer,
          (await queue("number", { "x-warmpath-priority": "5" })).answer,
        ];
        deepStrictEqual(engine.order, ["first"]);
        await engine.drain([first, ...waiting]);
        deepStrictEqual(engine.order, ["first", "high", "number", "a", "b", "low"]);
        equal(engine.most, 1);
        for (const answer of [first, ...waiting]) equal((await answer).status, 200);
        equal(stage.router.edges.listening, workers);
      }, { workers, ...(workers > 1 ? quiet : {}) }),
  );
}

fact(
  "tenants share: one that asked for much does not make another wait for all of it",
  () =>
    withEngines(1, {}, async ({ engines: [engine], ask, queue }) => {
      const first = ask("first");
      await engine.runs("first");
      const waiting: Promise<Answer>[] = [];
      for (let i = 0; i < 6; i++) waiting.push((await queue(`greedy ${i}`, tenant("greedy"))).answer);
      waiting.push((await queue("modest", tenant("modest"))).answer);
      await engine.drain([first, ...waiting]);
      ok(engine.order.indexOf("modest") <= 2, engine.order.join());
    }),
);

fact(
  "a burst onto several endpoints never passes the capacity of any",
  () =>
    withEngines(4, { saturation: { detector: "fused", maxConcurrency: 5 } }, async ({ engines, ask }) => {
      const asked = Array.from({ length: 120 }, (_, i) => ask(`p${i}`));
      let left = asked.length;
      for (const answer of asked) answer.finally(() => left--).catch(() => {});
      await until("all have an answer", () => {
        for (const engine of engines) for (const prompt of engine.running) engine.finish(prompt);
        return left === 0;
      });
      deepStrictEqual(new Set(await Promise.all(asked.map(async (answer) => (await answer).status))), new Set([200]));
      deepStrictEqual(engines.map(({ most }) => most), [5, 5, 5, 5]);
    }),
);

fact(
  "a wait that is over is 429 with its reason; the client's header shortens it",
  () =>
    withEngines(1, { ttl: "10s" }, async ({ engines: [engine], ask, stage }) => {
      const first = ask("first");
      await engine.runs("first");
      const response = await ask("late", { "x-llm-d-inference-ttl": "50ms", "x-request-id": "late" });
      equal(response.status, 429);
      equal(response.headers.get("x-llm-d-request-dropped-reason"), "rejected-ttl-expired");
      match(response.headers.get("retry-after")!, /^\d+$/);
      equal(response.error.code, "ttl_expired");
      const line: AccessLine = await stage.accessLine("late");
      equal(line.outcome, "rejected-ttl-expired");
      const bad = await ask("bad", { "x-llm-d-inference-ttl": "soon" });
      equal(bad.status, 400);
      equal(bad.error.param, "x-llm-d-inference-ttl");
      await engine.drain([first]);
    }),
);

fact(
  "a client that leaves while it waits leaves the queue at once",
  () =>
    withEngines(1, {}, async ({ stage, engines: [engine], ask, queue }) => {
      const first = ask("first");
      await engine.runs("first");
      const leaving = new AbortController();
      const { answer: gone } = await queue("gone", {}, leaving.signal);
      const { answer: after } = await queue("after");
      leaving.abort();
      await rejects(gone);
      await until("it has left", () => stage.router.flow.controller.size === 1);
      await engine.drain([first, after]);
      deepStrictEqual(engine.order, ["first", "after"]);
    }),
);

fact(
  "a full queue is 429 at once, and a higher priority displaces a lower one",
  () =>
    withEngines(1, { maxRequests: 1 }, async ({ engines: [engine], ask, queue }) => {
      const first = ask("first");
      await engine.runs("first");
      const { answer: low } = await queue("low", batch);
      const full = await ask("full", batch);
      equal(full.status, 429);
      equal(full.headers.get("x-llm-d-request-dropped-reason"), "rejected-saturated");
      ok(Number(full.headers.get("retry-after")) >= 1);
      const high = ask("high", urgent);
      equal((await low).status, 429);
      await engine.drain([first, high]);
      deepStrictEqual(engine.order, ["first", "high"]);
    }),
);

fact("with no endpoint at all requests wait for the first one, up to their time", async () => {
  const directory = await Deno.makeTempDir();
  const engine = new Engine();
  const file = `${directory}/endpoints.yaml`;
  const config = { flow: { noEndpointTtl: "10s" }, discovery: { file } };
  await Deno.writeTextFile(file, "endpoints: []\n");
  try {
    await withRouter({ ready: false, config }, async ({ url, router }) => {
      const late = await post(`${url}/v1/completions`, { model, prompt: "x" }, {
        headers: { "x-llm-d-inference-ttl": "100ms" },
      });
      equal(late.status, 503);
      equal(late.headers.get("x-llm-d-request-dropped-reason"), "rejected-no-endpoints");
      equal((await openAiError(late)).code, "no_endpoints");
      const waiting = post(`${url}/v1/completions`, { model, prompt: "held" });
      await until("it waits", () => router.flow.controller.size === 1);
      const { hostname, port } = new URL(engine.recorder.url);
      await Deno.writeTextFile(file, `endpoints:\n  - {name: first, address: ${hostname}, port: ${port}}\n`);
      await engine.runs("held");
      engine.finish("held");
      const response = await waiting;
      equal(response.status, 200);
      await response.body?.cancel();
    });
  } finally {
    await engine.recorder.stop();
    await Deno.remove(directory, { recursive: true });
  }
});

fact(
  "an endpoint that fails hands what waits for it to another",
  () =>
    withEngines(2, {}, async ({ stage, engines, ask, queue }) => {
      const first = [ask("first a"), ask("first b")];
      await until("both are full", () => engines.every(({ running }) => running.length === 1));
      const { answer: waiting } = await queue("waits");
      const [lost] = engines;
      stage.router.pool.drain(lost.recorder.url.replace("http://", ""));
      await until("one endpoint takes requests", () => stage.router.pool.readiness().ready === 1);
      engines[1].finish(engines[1].running[0]);
      await engines[1].runs("waits");
      engines[1].finish("waits");
      equal((await waiting).status, 200);
      await lost.drain(first);
    }),
);

fact(
  "a request of negative priority makes room before its first byte, and waits again where it asked to",
  () =>
    withEngines(1, { eviction: true }, async ({ stage, engines: [engine], ask }) => {
      const ended = ask("ends", batch);
      await engine.runs("ends");
      const high = ask("high", urgent);
      const evicted = await ended;
      equal(evicted.status, 429);
      equal(evicted.headers.get("x-llm-d-request-dropped-reason"), "evicted");
      await engine.runs("high");
      engine.finish("high");
      equal((await high).status, 200);

      const again = ask("again", { ...batch, "x-warmpath-on-eviction": "requeue" });
      await engine.runs("again");
      const other = ask("other", urgent);
      await engine.runs("other");
      engine.finish("other");
      equal((await other).status, 200);
      await until("it runs again", () => engine.order.filter((prompt) => prompt === "again").length === 2);
      engine.finish("again");
      equal((await again).status, 200);
      equal(await metric(stage, 'request_outcome_total{api="completions",outcome="evicted"}'), 1);
    }),
);

fact(
  "flow control that is turned off by a reload lets go what waits, and limits again once it is back on",
  () =>
    withEngines(1, {}, async ({ stage: { router }, engines: [engine], ask, queue }) => {
      const { config } = router;
      const first = ask("first");
      await engine.runs("first");
      const { answer: waiting } = await queue("waits");
      await router.reload({ ...config, flow: { ...config.flow, enabled: false } });
      await engine.runs("waits");
      await router.reload(config);
      const { answer: again } = await queue("again");
      await engine.drain([first, waiting, again]);
      equal(engine.most, 2);
    }),
);
