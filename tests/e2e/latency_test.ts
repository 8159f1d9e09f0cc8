/** Predicted latency in the whole program: forests trained while requests stream, kept over a restart, read from files, obeyed. */
import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import { type Ensemble, type LatencyReport, writeModelUbjson } from "../../src/latency/mod.ts";
import { defaultCost, type SimOptions } from "../../src/sim/mod.ts";
import { fact, model, openAiError, post, type Stage, until, withRouter } from "./harness.ts";
import { withFolder } from "./program.ts";

/** Prompts of up to 6,000 letters take 2 to 60 ms, by the square of their length, which no prior knows. */
const sim: Partial<SimOptions> = {
  speed: 1,
  cost: { ...defaultCost, stepBaseMs: 2, prefillTokensPerS: 1e6, prefillAttentionNs: 50 },
};

async function report({ adminUrl }: Stage): Promise<LatencyReport> {
  return await (await fetch(`${adminUrl}/debug/latency?pairs=0`)).json();
}

interface Asked {
  readonly letters: number;
  /** Of the prompt: another one begins otherwise. */
  readonly id: number;
  /** Of the answer. @default {6} */
  readonly tokens?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A stream over a connection of its own, read to its end. */
async function stream({ url }: Stage, { letters, id, tokens = 6, headers }: Asked): Promise<Response> {
  const prompt = `${id}: ${"what the sea knows ".repeat(400)}`.slice(0, letters);
  const answer = await post(`${url}/v1/completions`, { model, prompt, max_tokens: tokens, stream: true }, {
    headers: { connection: "close", ...headers },
  });
  if (answer.status === 200) await answer.text();
  return answer;
}

/** Keeps four streams running, of lengths that come again and again, until `end` is true. */
async function streamUntil(stage: Stage, end: () => boolean): Promise<void> {
  let id = 0;
  const client = async () => {
    while (!end()) {
      id++;
      const { status } = await stream(stage, { letters: 100 + (id * 37 % 60) * 100, id });
      equal(status, 200);
    }
  };
  await Promise.all([client(), client(), client(), client()]);
}

/** Lets requests stream until the report is as wanted. */
async function streamingUntil(stage: Stage, what: string, wanted: (report: LatencyReport) => boolean): Promise<void> {
  let done = false;
  const streaming = streamUntil(stage, () => done);
  try {
    await until(what, async () => wanted(await report(stage)), 60_000);
  } finally {
    done = true;
    await streaming;
  }
}

fact(
  "a forest is trained while requests stream, predicts from then on, and goes on after a restart, in workers too",
  () =>
    withFolder(async (folder) => {
      const training = { interval: "1s", minSamples: 100, trees: 20, depth: 3, learningRate: 0.3 };
      const snapshot = { file: `${folder}/learned.bin` };
      await withRouter({ sims: [sim, sim, sim, sim], config: { latency: { training, snapshot } } }, async (stage) => {
        await streamingUntil(stage, "a forest predicts", ({ targets: { ttft } }) => ttft.source === "model");
        const { champion, verdict } = (await report(stage)).targets.ttft;
        equal(champion!.trees, 40, "20 for each quantile");
        ok(verdict!.challenger! < verdict!.prior!);
        const told = stage.logLines.filter(({ message }) => message === "A new model predicts latency");
        ok(told.some(({ target }) => target === "ttft"), JSON.stringify(stage.logLines));
        await streamingUntil(
          stage,
          "the forest is compared with what came",
          ({ targets: { ttft } }) => ttft.scores.model.labels >= 10,
        );
        const before = await report(stage);
        await stage.router.stop(5000);
        const latency = { training: { ...training, enabled: false }, snapshot };
        await goesOn(stage.sims.map(({ url }) => url), latency, before);
      });
    }),
);

/** The next life of a router, its edges in workers: what it knows before its first request, and that both edges go by it. */
async function goesOn(endpoints: string[], latency: object, before: LatencyReport): Promise<void> {
  const config = { latency, workers: 2, observe: { accessLog: false } };
  await withRouter({ endpoints, config }, async (stage) => {
    const { targets: { ttft }, endpoints } = await report(stage);
    const known = before.targets.ttft;
    deepStrictEqual([ttft.source, ttft.champion!.bytes], ["model", known.champion!.bytes]);
    deepStrictEqual([ttft.reservoir.rows, ttft.scores.told.labels], [known.reservoir.rows + known.heldBack, 0]);
    for (const { endpoint, prior } of endpoints) {
      const other = before.endpoints.find((one) => one.endpoint === endpoint)!.prior;
      const ratio = prior.ttft.msPer1000Tokens / other.ttft.msPer1000Tokens;
      ok(ratio > 0.8 && ratio < 1.25, `${endpoint}: ${ratio}`);
    }
    await streamingUntil(stage, "requests are predicted", ({ targets: { ttft } }) => ttft.scores.told.labels >= 30);
    const dumps = await stage.router.edges.each((door) => door.dump());
    const counts = dumps.map((dump) => dump.find(({ name }) => name === "request_total")?.value ?? 0);
    ok(counts.length === 2 && counts.every((count) => count > 0), `both edges served: ${counts}`);
    const { scores } = (await report(stage)).targets.ttft;
    equal(scores.model.labels, scores.told.labels, "the forest had a say in every prediction");
  });
}

/** A model file by llm-d's columns: so long for prompts of fewer tokens than 100, else so long. */
function modelFile(shortMs: number, longMs: number): Uint8Array {
  const of = (...values: number[]) => Float32Array.from(values);
  const ensemble: Ensemble = {
    objective: "reg:squarederror",
    features: 2,
    featureNames: ["num_request_waiting", "input_token_length"],
    featureTypes: ["int", "int"],
    groups: 1,
    baseMargin: of(0),
    trees: [{
      left: Int32Array.of(1, -1, -1),
      right: Int32Array.of(2, -1, -1),
      feature: Int32Array.of(1, 0, 0),
      threshold: of(100, shortMs, longMs),
      defaultLeft: new Uint8Array(3),
      group: 0,
      weight: 1,
      gain: of(1, 0, 0),
      cover: of(2, 1, 1),
      baseWeight: of(0, 0, 0),
    }],
    attributes: {},
    version: [2, 1, 0],
  };
  return writeModelUbjson(ensemble);
}

fact("a configured model predicts from the first request on", () =>
  withFolder(async (folder) => {
    const seedModel = { ttft: `${folder}/ttft.ubj`, tpot: `${folder}/tpot.ubj` };
    await Deno.writeFile(seedModel.ttft, modelFile(111, 2222));
    await Deno.writeFile(seedModel.tpot, modelFile(7, 8));
    await withRouter({ sims: [{}], config: { latency: { seedModel } } }, async (stage) => {
      const { targets: { ttft, tpot } } = await report(stage);
      deepStrictEqual([ttft.source, tpot.source, ttft.champion!.trees], ["model", "model", 1]);
      const body = { model, prompt: "word ".repeat(400), max_tokens: 8, stream: true };
      const decided = await post(`${stage.adminUrl}/debug/decide?path=/v1/completions`, body);
      const [{ prediction }] = (await decided.json()).explanation.candidates;
      deepStrictEqual([prediction.ttft.medianMs, prediction.tpot.medianMs], [2222, 8]);
      const first = await stream(stage, { letters: 100, id: 1, headers: { "x-warmpath-predictions": "true" } });
      match(
        first.headers.get("server-timing")!,
        /\bpttft;dur=111\.000, pttft90;dur=[\d.]+, ptpot;dur=7\.000, ptpot90;/,
      );
      await until(
        "what came is compared with it",
        async () => (await report(stage)).targets.ttft.scores.model.labels === 1,
      );
    });
  }));

fact(
  "a configured model that cannot be used keeps the router from starting, and it leaves nothing behind",
  () =>
    withFolder(async (folder) => {
      const path = `${folder}/ttft.ubj`;
      const config = { latency: { seedModel: { ttft: path } } };
      const message = `${path}: latency.seedModel.ttft: must be a model file in XGBoost's JSON or UBJSON: `;
      for (const bytes of [undefined, modelFile(1, 2).subarray(9)]) {
        if (bytes) await Deno.writeFile(path, bytes);
        await rejects(
          withRouter({ sims: [{}], config }, () => Promise.resolve()),
          (error: Error) => error.name === "ConfigError" && error.message.startsWith(message),
        );
      }
    }),
);

fact(
  "a target that nobody can meet is refused once that is known, and not before; any other request is served",
  () => {
    // A first token takes 60 ms at least.
    const slow = { speed: 1, cost: { ...defaultCost, stepBaseMs: 60 } };
    const config = { scheduling: { policy: "predicted" }, latency: { slo: { admission: "all" } } };
    return withRouter({ sims: [slow], config }, async (stage) => {
      const ask = (id: number, ttftMs: number) =>
        stream(stage, {
          letters: 100,
          id,
          tokens: 1,
          headers: { "x-slo-ttft-ms": `${ttftMs}`, "x-warmpath-priority": "5", "x-request-id": `asked-${id}` },
        });
      for (let id = 1; id <= 8; id++) equal((await ask(id, 40)).status, 200, `request ${id}`);
      await until("eight are learned", async () => (await report(stage)).targets.ttft.scores.told.labels === 8);
      const refused = await ask(9, 40);
      equal(refused.status, 429);
      deepStrictEqual(
        ["retry-after", "x-llm-d-request-dropped-reason"].map((name) => refused.headers.get(name)),
        ["1", "rejected-slo"],
      );
      deepStrictEqual(await openAiError(refused), {
        message: "No endpoint is predicted to meet the latency targets of the request",
        type: "rate_limit_error",
        param: null,
        code: "slo_unmet",
      });
      equal((await stage.accessLine("asked-9")).outcome, "rejected-slo");
      equal((await ask(10, 5000)).status, 200);
      equal((await stream(stage, { letters: 100, id: 11, tokens: 1 })).status, 200);
    });
  },
);
