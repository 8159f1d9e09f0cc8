import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { endpointMeta, EndpointState, EndpointTable, Prng, VirtualClock } from "../core/mod.ts";
import { HttpStatusError } from "./http.ts";
import { ModelIndex } from "./model_index.ts";
import { ModelDirectory, type ModelOptions, parseModels } from "./models.ts";

const encoder = new TextEncoder();
const list = (...data: unknown[]) => JSON.stringify({ object: "list", data });

class Library {
  readonly clock = new VirtualClock();
  readonly table = new EndpointTable(16);
  readonly index = new ModelIndex(this.table);
  readonly answers: (string | Error | undefined)[] = [];
  readonly asked: number[] = [];
  readonly directory: ModelDirectory;

  constructor(options: Partial<ModelOptions> = {}) {
    this.directory = new ModelDirectory({
      table: this.table,
      clock: this.clock,
      prng: new Prng(3),
      options,
      fetchText: async (target, path, { signal }) => {
        equal(path, "/v1/models");
        this.asked.push(target.port);
        const answer = this.answers[target.port];
        if (answer === undefined) {
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        }
        if (answer instanceof Error) throw answer;
        return encoder.encode(answer);
      },
    });
  }

  /** The port is also the index of its answer. */
  add(port: number, answer?: string | Error, configured: string[] = []): number {
    this.answers[port] = answer;
    const slot = this.table.add(endpointMeta({ host: "h", port }), EndpointState.Ready);
    this.directory.track(slot, configured);
    return slot;
  }

  async run(ms = 0): Promise<void> {
    const settle = async () => {
      for (let i = 0; i < 20; i++) await Promise.resolve();
    };
    const end = this.clock.now() + ms;
    await settle();
    while (this.clock.step(end)) await settle();
    this.clock.advance(end - this.clock.now());
  }

  slots(model: string): number[] {
    const { slots, count } = this.index.candidates(model);
    return [...slots.subarray(0, count)];
  }
}

Deno.test("parseModels() reads vLLM's list with adapters and leaves out what is no model", () => {
  const text = list(
    {
      id: "base",
      object: "model",
      created: 1700000000,
      owned_by: "vllm",
      root: "base",
      parent: null,
      max_model_len: 8192,
    },
    { id: "adapter", object: "model", parent: "base", max_model_len: null },
    { id: "base" },
    { id: "" },
    { id: 5 },
    null,
    "x",
  );
  const base = { id: "base", parent: undefined, maxModelLen: 8192, created: 1700000000, ownedBy: "vllm" };
  const adapter = { id: "adapter", parent: "base", maxModelLen: undefined, created: undefined, ownedBy: undefined };
  deepStrictEqual(parseModels(encoder.encode(text), 10), [base, adapter]);
  deepStrictEqual(parseModels(encoder.encode(text), 1), [base]);
  for (const bad of ["", "[]", "{}", '{"data":{}}', "<html>"]) {
    throws(() => parseModels(encoder.encode(bad), 10), Error, bad);
  }
});

Deno.test("candidates() gives the ready endpoints that report or are configured for a model", async () => {
  const pool = new Library();
  const a = pool.add(1, list({ id: "m1" }, { id: "lora", parent: "m1" }));
  const b = pool.add(2, list({ id: "m1" }, { id: "m2" }));
  const c = pool.add(3, new HttpStatusError(404, "/v1/models"), ["m2", "m3"]);
  await pool.run();
  deepStrictEqual(["m1", "m2", "m3", "lora", "none"].map((m) => pool.slots(m)), [[a, b], [b, c], [c], [a], []]);
  deepStrictEqual(pool.slots(""), [a, b, c]);
  equal(pool.index.hasModel("lora"), true);
  equal(pool.index.hasModel("none"), false);
});

Deno.test("candidates() follows the table's version: state changes, endpoints that leave", async () => {
  const pool = new Library();
  const [a, b] = [pool.add(1, list({ id: "m" })), pool.add(2, list({ id: "m" }))];
  await pool.run();
  equal(pool.index.candidates("m"), pool.index.candidates("m"), "nothing is rebuilt without a change");
  pool.table.setState(a, EndpointState.Unhealthy);
  deepStrictEqual(pool.slots("m"), [b]);
  pool.table.setState(b, EndpointState.Unhealthy);
  deepStrictEqual(pool.slots("m"), []);
  equal(pool.index.hasModel("m"), true);
  pool.table.setState(a, EndpointState.Draining);
  pool.directory.untrack(b);
  pool.table.remove(b);
  pool.add(3, list({ id: "other" }));
  await pool.run();
  equal(pool.index.hasModel("m"), false);
});

Deno.test("candidates() gives, when asked, the endpoints of a model that are out", async () => {
  const pool = new Library();
  const [a, b, c] = [
    pool.add(1, list({ id: "m" })),
    pool.add(2, list({ id: "m" })),
    pool.add(3, list({ id: "other" })),
  ];
  await pool.run();
  const out = (model: string) => [...pool.index.candidates(model, true).slots];
  deepStrictEqual(out("m"), []);
  for (const slot of [a, c]) pool.table.setState(slot, EndpointState.Unhealthy);
  pool.table.setState(b, EndpointState.Draining);
  deepStrictEqual([out("m"), out("other"), out(""), out("none")], [[a], [c], [a, c], []]);
});

Deno.test("candidates() takes every endpoint for every model while nothing is known of any, and no longer", async () => {
  const pool = new Library();
  const a = pool.add(1, new HttpStatusError(404, "/v1/models"));
  await pool.run();
  deepStrictEqual(pool.slots("anything"), [a]);
  equal(pool.index.hasModel("anything"), true);
  const b = pool.add(2, list({ id: "m" }));
  await pool.run();
  deepStrictEqual(pool.slots("m"), [b]);
  deepStrictEqual(pool.slots("anything"), []);
});

Deno.test("ModelDirectory looks every 30 s, sooner after a failure, and keeps the old list meanwhile", async () => {
  const pool = new Library();
  const slot = pool.add(1, list({ id: "m" }));
  await pool.run(300_000);
  equal(pool.asked.length >= 10 && pool.asked.length <= 12, true, `${pool.asked.length}`);
  pool.answers[1] = new Error("refused");
  await pool.run(40_000);
  deepStrictEqual(pool.slots("m"), [slot]);
  equal(pool.directory.lastError(slot), "refused");
  pool.answers[1] = list({ id: "n" });
  await pool.run(40_000);
  deepStrictEqual([pool.slots("m"), pool.slots("n")], [[], [slot]]);
  equal(pool.directory.lastError(slot), undefined);
});

Deno.test("ModelDirectory gives up on an answer at the deadline", async () => {
  const pool = new Library();
  const slot = pool.add(1);
  await pool.run(2000);
  equal(pool.directory.lastError(slot), "No model list within 2000 ms");
});

Deno.test("ModelDirectory does not ask endpoints that are out, and asks when they are back", async () => {
  const pool = new Library();
  const slot = pool.add(1, list({ id: "m" }));
  await pool.run();
  pool.table.setState(slot, EndpointState.Unhealthy);
  pool.asked.length = 0;
  await pool.run(120_000);
  equal(pool.asked.length, 0);
  pool.answers[1] = list({ id: "n" });
  pool.table.setState(slot, EndpointState.Ready);
  pool.directory.onReady(slot);
  await pool.run();
  deepStrictEqual(pool.slots("n"), [slot]);
});

Deno.test("refreshModels() looks at all ready endpoints at once, at most once a second", async () => {
  const pool = new Library();
  for (let port = 1; port <= 5; port++) pool.add(port, list({ id: "m" }));
  await pool.run();
  pool.asked.length = 0;
  for (let port = 1; port <= 5; port++) pool.answers[port] = list({ id: "new" });
  const first = pool.directory.refreshModels();
  equal(pool.directory.refreshModels(), first);
  await first;
  deepStrictEqual([...pool.asked].sort(), [1, 2, 3, 4, 5]);
  equal(pool.slots("new").length, 5);
  await pool.directory.refreshModels();
  equal(pool.asked.length, 5);
  await pool.run(1000);
  await pool.directory.refreshModels();
  equal(pool.asked.length, 10);
});

Deno.test("models() merges the lists: each model once, its adapters with parents, the shortest context", async () => {
  const pool = new Library();
  pool.add(1, list({ id: "b", max_model_len: 4096, owned_by: "vllm" }, { id: "a", parent: "b" }));
  pool.add(2, list({ id: "b", max_model_len: 2048, created: 7 }, { id: "c" }, { id: "d" }));
  await pool.run();
  const rest = { parent: undefined, created: undefined, ownedBy: undefined, maxModelLen: undefined };
  deepStrictEqual(new ModelIndex(pool.table, 3).models(), [
    { ...rest, id: "a", parent: "b", endpoints: 1 },
    { ...rest, id: "b", created: 7, ownedBy: "vllm", maxModelLen: 2048, endpoints: 2 },
    { ...rest, id: "c", endpoints: 1 },
  ]);
});

Deno.test("untrack() ends a look whose answer then changes nothing", async () => {
  const pool = new Library();
  const slot = pool.add(1);
  await pool.run();
  pool.directory.untrack(slot);
  const { version } = pool.table;
  await pool.run(60_000);
  equal(pool.asked.length, 1);
  equal(pool.table.version, version);
});

Deno.test("baseOf() knows the adapters that ready endpoints report", async () => {
  const library = new Library();
  library.add(0, list({ id: "base", parent: null }, { id: "tuned", parent: "base" }));
  await library.run();
  const bases = ["base", "tuned", "other"].map((model) => library.index.baseOf(model));
  deepStrictEqual(bases, [undefined, "base", undefined]);
});
