import { deepStrictEqual, equal, match, ok, rejects, strictEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { sleep, systemClock, VirtualClock } from "../core/mod.ts";
import { ServiceTrainer, type ServiceTrainerOptions } from "./service_trainer.ts";
import { TrainingError, type TrainingFailure, type TrainingParameters, type TrainingSet } from "./trainer.ts";

const parameters: TrainingParameters = {
  quantiles: [0.5, 0.9],
  trees: 200,
  depth: 6,
  learningRate: 0.05,
  rowSample: 0.8,
  columnSample: 0.8,
  minChildWeight: 5,
  gamma: 0.2,
  l1: 0.01,
  l2: 0.1,
  bins: 256,
  monotone: [1, 0],
  seed: 7,
};

const samples: TrainingSet = {
  featureNames: ["tokens", "role"],
  featureTypes: ["float", "c"],
  rows: 3,
  columns: [new Float32Array([1, NaN, 3.5]), new Float32Array([0, 1, 2])],
  labels: new Float32Array([0.5, 0.25, -1]),
  margins: new Float32Array([1, 2, 3]),
  weights: new Float32Array([1, 1, 0.5]),
};

const modelBytes = new TextEncoder().encode("{L\0\0\0\0\0\0\0\x07learner…}");
const never = new AbortController().signal;

/** Reads what a client sends, as the service does. */
function decode(body: Uint8Array<ArrayBuffer>) {
  const end = body.indexOf(0x0a);
  const header = JSON.parse(new TextDecoder().decode(body.subarray(0, end)));
  const values = new Float32Array(body.slice(end + 1).buffer);
  const parts = Array.from(
    { length: header.featureNames.length + 3 },
    (_, index) => values.slice(index * header.rows, (index + 1) * header.rows),
  );
  return { header, parts };
}

/** The service's pages on a real socket, as `deploy/trainer` answers them: models exist after `polls` asks. */
class FakeService implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly asked: { page: string; headers: Headers; body: Uint8Array<ArrayBuffer>; atMs: number }[] = [];
  readonly etag = '"0123"';
  polls = 0;
  /** Answers in place of its own, by page. */
  readonly instead: Record<string, () => Response | Promise<Response>> = {};
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #generation = 0;

  constructor() {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    this.#close = resolve;
    this.#closed = closed;
    this.#server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
      const { pathname, searchParams } = new URL(request.url);
      const page = `${request.method} ${pathname}`;
      const { headers } = request;
      this.asked.push({ page, headers, body: await request.bytes(), atMs: this.clock.now() });
      return this.instead[page]?.() ?? this.#answer(page, searchParams, headers);
    });
  }

  readonly #close: () => void;
  readonly #closed: Promise<void>;

  #answer(page: string, query: URLSearchParams, headers: Headers): Response {
    if (page === "POST /base/v1/samples") return Response.json({ rows: 3 }, { status: 202 });
    if (page === "POST /base/v1/train") return Response.json({ generation: ++this.#generation }, { status: 202 });
    if (Number(query.get("generation")) !== this.#generation || query.get("format") !== "ubj") {
      return Response.json({ detail: "there is no such training" }, { status: 404 });
    }
    if (this.polls-- > 0) return Response.json({ status: "pending" }, { status: 202 });
    const head = { headers: { etag: this.etag } };
    if (headers.get("if-none-match") === this.etag) return new Response(null, { ...head, status: 304 });
    return new Response(modelBytes, head);
  }

  trainer(options: Partial<ServiceTrainerOptions> = {}): ServiceTrainer {
    const url = `http://127.0.0.1:${this.#server.addr.port}/base/`;
    return new ServiceTrainer({ url, fetcher: fetch, clock: this.clock, timeoutMs: 60_000, source: "r1", ...options });
  }

  /** A page that never answers. */
  readonly silence = async () => {
    await this.#closed;
    return new Response();
  };

  /** Fires the waits between polls until the work is over; the deadline only once it is next. */
  async settle<T>(work: Promise<T>): Promise<T> {
    let over = false;
    work.catch(() => {}).finally(() => over = true);
    while (!over) {
      await sleep(systemClock, 0);
      this.clock.step(this.clock.now() + 2000);
    }
    return work;
  }

  async fails(reason: TrainingFailure, message: RegExp, options?: Partial<ServiceTrainerOptions>): Promise<void> {
    const work = this.settle(this.trainer(options).train("ttft", samples, parameters, never));
    await rejects(work, (error) => {
      ok(error instanceof TrainingError, String(error));
      equal(error.reason, reason, error.message);
      match(error.message, message);
      return true;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    await this.#server.shutdown();
  }
}

Deno.test("ServiceTrainer sends samples and parameters as the service reads them and gives back the model's bytes", async () => {
  await using service = new FakeService();
  const trainer = service.trainer({ token: () => "secret", name: "pool-a" });
  deepStrictEqual(await service.settle(trainer.train("ttft", samples, parameters, never)), modelBytes);
  const [upload, request, model] = service.asked;
  const { header, parts } = decode(upload.body);
  match(header.set, /^pool-a\.[0-9a-f]{16}$/);
  deepStrictEqual(header, {
    set: header.set,
    source: "r1",
    target: "ttft",
    featureNames: samples.featureNames,
    featureTypes: samples.featureTypes,
    rows: 3,
  });
  deepStrictEqual(parts, [...samples.columns, samples.labels, samples.margins, samples.weights]);
  equal(upload.headers.get("content-type"), "application/vnd.warmpath.samples");
  deepStrictEqual(JSON.parse(new TextDecoder().decode(request.body)), { set: header.set, target: "ttft", parameters });
  equal(model.page, "GET /base/v1/models/ttft");
  deepStrictEqual(service.asked.map(({ headers }) => headers.get("authorization")), Array(3).fill("Bearer secret"));
});

Deno.test("ServiceTrainer sends every set bit for bit", async () => {
  const float = fc.float({ noDefaultInfinity: true });
  const sets = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 40 })).chain(([features, rows]) =>
    fc.array(fc.array(float, { minLength: rows, maxLength: rows }), {
      minLength: features + 3,
      maxLength: features + 3,
    })
  );
  await using service = new FakeService();
  await fc.assert(
    fc.asyncProperty(sets, fc.integer({ min: 0, max: 3 }), async (values, shift) => {
      // Columns may be views into a larger buffer.
      const arrays = values.map((column) => Float32Array.from([...Array(shift).fill(9), ...column]).subarray(shift));
      const [labels, margins, weights] = arrays.slice(-3);
      const columns = arrays.slice(0, -3);
      const featureNames = columns.map((_, index) => `f${index}`);
      const featureTypes = columns.map(() => "float" as const);
      service.asked.length = 0;
      const set = { featureNames, featureTypes, rows: labels.length, columns, labels, margins, weights };
      await service.settle(service.trainer().train("tpot", set, parameters, never));
      deepStrictEqual(decode(service.asked[0].body).parts, arrays.map((array) => Float32Array.from(array)));
    }),
    { numRuns: 25 },
  );
});

Deno.test("ServiceTrainer polls at growing intervals, at most two seconds", async () => {
  await using service = new FakeService();
  service.polls = 7;
  await service.settle(service.trainer().train("ttft", samples, parameters, never));
  const polledMs = service.asked.slice(2).map(({ atMs }) => atMs);
  deepStrictEqual(polledMs, [100, 300, 700, 1500, 3100, 5100, 7100, 9100]);
});

Deno.test("ServiceTrainer keeps a model that has not changed and asks for it by its tag", async () => {
  await using service = new FakeService();
  const trainer = service.trainer();
  const train = () => service.settle(trainer.train("ttft", samples, parameters, never));
  const first = await train();
  strictEqual(await train(), first);
  deepStrictEqual(service.asked.map(({ headers }) => headers.get("if-none-match")), [
    ...[null, null, null],
    ...[null, null, service.etag],
  ]);
  // Another target's model is another file.
  service.asked.length = 0;
  await service.settle(trainer.train("tpot", samples, parameters, never));
  equal(service.asked[2].headers.get("if-none-match"), null);
});

Deno.test("ServiceTrainer names the set by the features, so that versions of a router do not mix", async () => {
  await using service = new FakeService();
  const names: string[] = [];
  for (const change of [{}, { featureNames: ["tokens", "other"] }, { featureTypes: ["float", "int"] as const }]) {
    service.asked.length = 0;
    await service.settle(service.trainer().train("ttft", { ...samples, ...change }, parameters, never));
    names.push(decode(service.asked[0].body).header.set);
  }
  equal(new Set(names).size, 3);
});

Deno.test("ServiceTrainer tells refusals, failures and what is no model apart", async () => {
  const detail = (status: number, text: unknown) => () => Response.json({ detail: text }, { status });
  const model = (text: string) => () => new Response(text);
  const [upload, request, poll] = ["POST /base/v1/samples", "POST /base/v1/train", "GET /base/v1/models/ttft"];
  const cases: [string, () => Response, TrainingFailure, RegExp][] = [
    [upload, detail(422, "weights: must be finite numbers"), "refused", /status 422: weights: must be finite numbers$/],
    [upload, detail(401, "the token"), "refused", /status 401/],
    [upload, detail(422, [{ msg: "x" }]), "refused", /\[\{"msg":"x"\}\]$/],
    [upload, detail(503, "too many bodies"), "busy", /status 503/],
    [upload, () => new Response("<html>", { status: 202 }), "refused", /JSON object/],
    [upload, () => new Response("x".repeat(70_000), { status: 400 }), "refused", /more than 65536 bytes/],
    [request, detail(409, "has no samples"), "refused", /v1\/train with status 409/],
    [request, () => Response.json({ generation: "1" }, { status: 202 }), "refused", /without a generation/],
    [poll, detail(404, "no such training"), "refused", /status 404/],
    [poll, detail(500, "the training failed: no gain"), "failed", /no gain$/],
    [poll, () => new Response(null, { status: 304 }), "refused", /status 304/],
    [poll, model("\x80\x04pickle"), "bad-model", /JSON or UBJSON/],
    [poll, model(""), "bad-model", /JSON or UBJSON/],
    [poll, model("{}"), "bad-model", /JSON or UBJSON/],
    [poll, model("<html>"), "bad-model", /JSON or UBJSON/],
    [poll, () => new Response(new Uint8Array(32 * 2 ** 20 + 1).fill(0x20)), "refused", /more than 33554432 bytes/],
    [poll, () => Response.redirect("http://127.0.0.1:9/", 302), "unreachable", /redirect/],
  ];
  for (const [page, answer, reason, message] of cases) {
    await using service = new FakeService();
    service.instead[page] = answer;
    await service.fails(reason, message);
  }
});

Deno.test("ServiceTrainer takes a model in JSON", async () => {
  await using service = new FakeService();
  service.instead["GET /base/v1/models/ttft"] = () => new Response('{"learner":{}}');
  const bytes = await service.settle(service.trainer().train("ttft", samples, parameters, never));
  equal(new TextDecoder().decode(bytes), '{"learner":{}}');
});

Deno.test("ServiceTrainer gives up at its deadline, on a slow training as on a silent service", async () => {
  await using slow = new FakeService();
  slow.polls = Infinity;
  await slow.fails("timeout", /no model after 10000 ms/, { timeoutMs: 10_000 });
  equal(slow.clock.now(), 10_000);
  await using silent = new FakeService();
  silent.instead["POST /base/v1/samples"] = silent.silence;
  await silent.fails("timeout", /no model after 1500 ms/, { timeoutMs: 1500 });
});

Deno.test("ServiceTrainer says when nobody listens", async () => {
  await using service = new FakeService();
  const url = "http://127.0.0.1:1";
  await service.fails("unreachable", /^Cannot ask the trainer service: /, { url });
});

Deno.test("ServiceTrainer ends at the caller's signal and at stop(), and trains once at a time for a target", async () => {
  await using service = new FakeService();
  service.instead["POST /base/v1/train"] = service.silence;
  const trainer = service.trainer();
  const cancelled = (error: TrainingError) => error.reason === "cancelled";
  const end = new AbortController();
  const first = trainer.train("ttft", samples, parameters, end.signal);
  await rejects(trainer.train("ttft", samples, parameters, never), { reason: "busy" });
  const other = trainer.train("tpot", samples, parameters, never);
  end.abort(new Error("the round is over"));
  await rejects(first, cancelled);
  await rejects(trainer.train("ttft", samples, parameters, end.signal), cancelled);
  const again = trainer.train("ttft", samples, parameters, never);
  const stopped = trainer.stop();
  await rejects(again, cancelled);
  await rejects(other, cancelled);
  await stopped;
  await rejects(trainer.train("ttft", samples, parameters, never), cancelled);
});

Deno.test("ServiceTrainer refuses sets that the service could not read, before it dials", async () => {
  await using service = new FakeService();
  const train = (change: Partial<TrainingSet>) =>
    service.trainer().train("ttft", { ...samples, ...change }, parameters, never);
  const empty = new Float32Array();
  await rejects(train({ columns: [samples.columns[0]] }), { reason: "invalid" });
  await rejects(train({ labels: new Float32Array(2) }), { reason: "invalid" });
  await rejects(
    train({ rows: 0, columns: [empty, empty], labels: empty, margins: empty, weights: empty }),
    { reason: "invalid" },
  );
  const large = new Float32Array(4 << 20);
  await rejects(
    train({ rows: large.length, columns: [large, large], labels: large, margins: large, weights: large }),
    { reason: "invalid", message: /at most 67108864 bytes/ },
  );
  deepStrictEqual(service.asked, []);
  throws(() => service.trainer({ url: "ftp://host" }), /must begin with http/);
  throws(() => service.trainer({ url: "trainer:8100" }), TypeError);
});
