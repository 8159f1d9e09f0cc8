import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import { AttemptEnd, ConfigError, EndpointTable, Prng, Reservation, systemClock, VirtualClock } from "../core/mod.ts";
import type { DiscoveredEndpoint, Discovery } from "./discovery/discovery.ts";
import { FileDiscovery } from "./discovery/file.ts";
import { parseEndpointUrls, StaticDiscovery } from "./discovery/static.ts";
import { HttpFetcher } from "./http.ts";
import { ModelIndex } from "./model_index.ts";
import { Pool, type PoolEvents, type PoolOptions } from "./pool.ts";

/** A model server on a real socket. */
class Engine {
  model = "m";
  running = 0;
  status = 200;
  readonly hits = new Map<string, number>();
  readonly #server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    this.hits.set(pathname, (this.hits.get(pathname) ?? 0) + 1);
    if (pathname === "/health") return new Response(null, { status: this.status });
    if (pathname === "/v1/models") return Response.json({ data: [{ id: this.model }] });
    if (pathname !== "/metrics") return new Response(null, { status: 404 });
    return new Response(
      `vllm:num_requests_waiting{engine="0"} 0\nvllm:num_requests_running{engine="0"} ${this.running}\n` +
        `vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="500"} 1\n`,
    );
  });

  get port(): number {
    return this.#server.addr.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

/** A pool over a table whose events are kept, with a way to wait for what they should lead to. */
class Scene {
  readonly table: EndpointTable;
  readonly changes: string[] = [];
  readonly problems: string[] = [];
  readonly events: string[] = [];
  readonly pool: Pool;
  #wake = () => {};

  constructor(discovery: readonly Discovery[], options: PoolOptions = {}, capacity = 8) {
    this.table = new EndpointTable(capacity);
    const note = (text: string) => (this.events.push(text), this.#wake());
    const events: PoolEvents = {
      onSlotAdded: (slot) => note(`added ${slot}`),
      onSlotFreed: (slot) => note(`freed ${slot}`),
      onGeometry: (slot, blocks, tokens) => note(`geometry ${slot} ${blocks} ${tokens}`),
    };
    this.pool = new Pool({
      table: this.table,
      clock: systemClock,
      discovery,
      options: { drainCheckMs: 5, ...options },
      events,
      prng: new Prng(5),
      observer: {
        stateChanged: (id, _from, to) => (this.changes.push(`${id} ${to}`), this.#wake()),
        problem: (message) => (this.problems.push(message), this.#wake()),
        scraped: () => this.#wake(),
        probed: () => this.#wake(),
      },
    });
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  ready(count: number): Promise<void> {
    return this.until(() => this.pool.readiness().ready === count);
  }
}

const fixed = (...urls: string[]) => new StaticDiscovery(parseEndpointUrls(urls, "test", "endpoints"));

/** A source the test speaks for. */
class Spoken implements Discovery {
  readonly name = "spoken";
  say: (list: readonly DiscoveredEndpoint[]) => void = () => {};
  stopped = false;

  start(onChange: (list: readonly DiscoveredEndpoint[]) => void): Promise<void> {
    this.say = onChange;
    return Promise.resolve();
  }

  stop(): void {
    this.stopped = true;
  }
}

const at = (port: number, more: Partial<DiscoveredEndpoint> = {}): DiscoveredEndpoint => ({
  scheme: "http",
  host: "127.0.0.1",
  port,
  labels: {},
  health: { kind: "none" },
  ...more,
});

/** A pool whose endpoints answer nothing, driven by hand. */
function quiet(capacity = 8) {
  const spoken = new Spoken(), clock = new VirtualClock(), table = new EndpointTable(capacity);
  const freed: number[] = [], problems: string[] = [];
  const pool = new Pool({
    table,
    clock,
    discovery: [spoken],
    prng: new Prng(1),
    events: { onSlotFreed: (slot) => freed.push(slot) },
    observer: { problem: (message) => problems.push(message) },
    fetchText: () => Promise.reject(new Error("refused")),
  });
  const state = (port: number) => pool.snapshot().find(({ id }) => id === `127.0.0.1:${port}`)?.state;
  return { spoken, clock, table, freed, problems, pool, state };
}

Deno.test("Pool brings real servers up: ready, sampled, with models and geometry", async () => {
  await using a = new Engine();
  await using b = new Engine();
  b.model = "n";
  const { pool, table, events, until, ready } = bound(new Scene([fixed(a.url, b.url)]));
  await pool.start();
  await ready(2);
  await until(() => events.filter((e) => e.startsWith("geometry")).length === 2);
  const index = new ModelIndex(table);
  await until(() => index.models().length === 2);
  const slot = table.slotOf(`127.0.0.1:${b.port}`);
  deepStrictEqual([...index.candidates("n").slots], [slot]);
  equal(index.candidates("absent").count, 0);
  ok(events.includes(`geometry ${slot} 500 16`));
  const seen = pool.snapshot()[slot];
  equal(seen.state, "ready");
  deepStrictEqual(seen.models.map(({ id }) => id), ["n"]);
  ok(seen.load !== null && seen.load.ageMs < 60_000);
  deepStrictEqual(seen.cache, { blocks: 500, blockTokens: 16 });
  equal(seen.lastError, null);
  JSON.stringify(pool.snapshot());
  pool.stop();
});

Deno.test("Pool ejects a server whose requests fail and takes it back when its checks pass", async () => {
  await using a = new Engine();
  await using b = new Engine();
  const options = { health: { fastIntervalMs: 5 }, breaker: { baseMs: 20 } };
  const { pool, table, changes, ready } = bound(new Scene([fixed(a.url, b.url)], options));
  await pool.start();
  await ready(2);
  const slot = table.slotOf(`127.0.0.1:${a.port}`);
  const report = { slot, generation: table.generation[slot], firstTokenMs: NaN, workTokens: 0, permit: 0 };
  for (let i = 0; i < 5; i++) pool.report({ ...report, end: AttemptEnd.Reset });
  deepStrictEqual(pool.readiness(), { ready: 1, total: 2 });
  equal(pool.snapshot()[slot].state, "unhealthy");
  await ready(2);
  deepStrictEqual(changes.slice(-2), [`127.0.0.1:${a.port} 4`, `127.0.0.1:${a.port} 2`]);
  equal(pool.snapshot()[slot].breaker!.state, "half-open");
  pool.stop();
});

Deno.test("Pool drains an endpoint by hand: it keeps its slot and stays out until it is undrained", async () => {
  await using a = new Engine();
  await using b = new Engine();
  const { pool, table, ready, changes } = bound(new Scene([fixed(a.url, b.url)], {}));
  await pool.start();
  await ready(2);
  const id = `127.0.0.1:${a.port}`;
  const slot = table.slotOf(id);
  equal(pool.drain(id), true);
  equal(pool.drain("nobody:1"), false);
  deepStrictEqual(pool.readiness(), { ready: 1, total: 1 });
  // Discovery that still names it changes nothing.
  await pool.setDiscovery([fixed(a.url, b.url)]);
  deepStrictEqual([pool.snapshot()[slot].state, pool.readiness().ready], ["draining", 1]);
  deepStrictEqual([pool.undrain(id), pool.undrain(id)], [true, false]);
  await ready(2);
  equal(table.slotOf(id), slot);
  // One that is no longer discovered goes, held or not.
  pool.drain(id);
  await pool.setDiscovery([fixed(b.url)]);
  equal(table.slotOf(id), -1);
  equal(pool.undrain(id), false);
  deepStrictEqual(changes.at(-1), `${id} 0`);
  pool.stop();
});

Deno.test("Pool scrapes a poked server again at once", async () => {
  await using a = new Engine();
  const { pool, table, until, ready } = bound(new Scene([fixed(a.url)], { scrape: { idleIntervalMs: 3_600_000 } }));
  await pool.start();
  await ready(1);
  const slot = table.slotOf(`127.0.0.1:${a.port}`);
  await until(() => (pool.snapshot()[slot].scrape?.intervalMs ?? 0) > 100);
  a.running = 3;
  pool.poke(slot);
  await until(() => table.running[slot] === 3);
  pool.stop();
});

Deno.test("Pool follows a file: endpoints that stay keep slot and counters, the one that left drains first", async () => {
  await using a = new Engine();
  await using b = new Engine();
  await using c = new Engine();
  const directory = await Deno.makeTempDir();
  const path = `${directory}/endpoints.json`;
  const write = async (...engines: Engine[]) => {
    const endpoints = engines.map(({ port }) => ({ name: `e${port}`, address: "127.0.0.1", port: String(port) }));
    await Deno.writeTextFile(`${path}.new`, JSON.stringify({ endpoints }));
    await Deno.rename(`${path}.new`, path);
  };
  await write(a, b);
  const { pool, table, events, until, ready } = bound(
    new Scene([new FileDiscovery(path, systemClock, { quietMs: 1 })]),
  );
  await pool.start();
  await ready(2);
  const [slotA, slotB] = [a, b].map(({ port }) => table.slotOf(`127.0.0.1:${port}`));
  const load = { prefillTokens: 5, decodeTokens: 9 };
  const [onA, onB] = [new Reservation(table, slotA, load), new Reservation(table, slotB, load)];
  await write(b, c);
  await until(() => pool.snapshot().some(({ state }) => state === "draining"));
  await ready(2);
  equal(pool.snapshot()[slotA].state, "draining");
  equal(table.slotOf(`127.0.0.1:${b.port}`), slotB);
  equal(pool.snapshot()[slotB].inFlight.requests, 1);
  equal(new ModelIndex(table).candidates("").slots.includes(slotA), false);
  onA.release();
  await until(() => events.includes(`freed ${slotA}`));
  equal(table.size, 2);
  onB.release();
  pool.stop();
  await Deno.remove(directory, { recursive: true });
});

Deno.test("Pool takes a draining endpoint back when it is discovered again", async () => {
  const { pool, spoken, table, clock, freed, state } = quiet();
  await pool.start();
  spoken.say([at(1)]);
  equal(state(1), "ready");
  const request = new Reservation(table, 0, { prefillTokens: 0, decodeTokens: 1 });
  spoken.say([]);
  equal(state(1), "draining");
  spoken.say([at(1)]);
  equal(state(1), "ready");
  request.release();
  clock.advance(1000);
  deepStrictEqual(freed, []);
  spoken.say([]);
  deepStrictEqual(freed, [0]);
  pool.stop();
});

Deno.test("Pool takes a new list while an endpoint that left before has just ended its last request", async () => {
  const { pool, spoken, table, freed } = quiet();
  await pool.start();
  spoken.say([at(1), at(2), at(3)]);
  const request = new Reservation(table, 1, { prefillTokens: 0, decodeTokens: 1 });
  spoken.say([at(1), at(3)]);
  request.release();
  // Freed by the look that the first endpoint's leaving causes, before its turn in the same list.
  spoken.say([at(3)]);
  deepStrictEqual(freed.toSorted(), [0, 1]);
  equal(table.size, 1);
  pool.stop();
});

Deno.test("Pool gives a slot to another endpoint only after the last request there ended", async () => {
  const { pool, spoken, table, clock, freed, problems } = quiet(1);
  await pool.start();
  spoken.say([at(1)]);
  const request = new Reservation(table, 0, { prefillTokens: 0, decodeTokens: 1 });
  spoken.say([at(2)]);
  deepStrictEqual(problems, ["Cannot add 1 endpoints as the table holds at most 1"]);
  clock.advance(1000);
  equal(table.slotOf("127.0.0.1:2"), -1);
  request.release();
  clock.advance(100);
  deepStrictEqual(freed, [0]);
  equal(table.slotOf("127.0.0.1:2"), 0);
  pool.stop();
});

Deno.test("Pool applies changed labels and models in place", async () => {
  const { pool, spoken, table } = quiet();
  await pool.start();
  spoken.say([at(1), at(2, { models: ["x"] })]);
  const generation = table.generation[0];
  table.meta(0).attributes.set("kept", 1);
  spoken.say([
    at(1, { labels: { role: "decode", "llm-d.ai/engine-type": "sglang" }, models: ["y"] }),
    at(2, { models: ["x"] }),
  ]);
  const meta = table.meta(0);
  deepStrictEqual([meta.labels.role, meta.engine, meta.attributes.get("kept")], ["decode", "sglang", 1]);
  deepStrictEqual([...new ModelIndex(table).candidates("y").slots], [0]);
  equal(table.generation[0], generation);
  pool.stop();
});

Deno.test("Pool leaves an unchanged list alone", async () => {
  const { pool, spoken, table } = quiet();
  await pool.start();
  spoken.say([at(1), at(2)]);
  const { version } = table;
  spoken.say([at(2), at(1)]);
  equal(table.version, version);
  pool.stop();
});

Deno.test("setDiscovery() keeps what both sources name, and keeps everything until a new source has spoken", async () => {
  const { pool, spoken, table, state } = quiet();
  await pool.start();
  spoken.say([at(1), at(2)]);
  const next = new Spoken();
  await pool.setDiscovery([next]);
  equal(spoken.stopped, true);
  deepStrictEqual([state(1), state(2)], ["ready", "ready"]);
  next.say([at(2), at(3)]);
  deepStrictEqual([state(1), state(2), state(3)], [undefined, "ready", "ready"]);
  equal(table.slotOf("127.0.0.1:2"), 1);
  pool.stop();
  equal(next.stopped, true);
});

Deno.test("setDiscovery() keeps the old sources when a new one is written wrongly", async () => {
  const { pool, spoken, state } = quiet();
  await pool.start();
  spoken.say([at(1)]);
  const good = new Spoken();
  await rejects(pool.setDiscovery([good, new FileDiscovery("/nonexistent/file.yaml", systemClock)]), ConfigError);
  deepStrictEqual([good.stopped, spoken.stopped, state(1)], [true, false, "ready"]);
  spoken.say([at(1), at(2)]);
  equal(state(2), "ready");
  pool.stop();
});

Deno.test("Pool takes the first description of an endpoint that two sources name", async () => {
  const [first, second] = [new Spoken(), new Spoken()];
  const table = new EndpointTable(4);
  const fetchText = () => Promise.reject(new Error("refused"));
  const pool = new Pool({ table, clock: new VirtualClock(), discovery: [first, second], prng: new Prng(1), fetchText });
  await pool.start();
  second.say([at(1, { labels: { from: "second" } })]);
  equal(table.meta(0).labels.from, "second");
  first.say([at(1, { labels: { from: "first" } })]);
  equal(table.meta(0).labels.from, "first");
  equal(table.size, 1);
  first.say([]);
  equal(table.meta(0).labels.from, "second");
  pool.stop();
});

Deno.test("HttpFetcher refuses long bodies, other statuses and redirects, and ends with the signal", async () => {
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/echo") return new Response(request.headers.get("accept-encoding"));
    if (pathname === "/long") return new Response("x".repeat(2000));
    if (pathname === "/endless") {
      return new Response(new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(1000)) }));
    }
    if (pathname === "/moved") return Response.redirect(`http://127.0.0.1/elsewhere`);
    if (pathname === "/silent") {
      return new Promise<Response>((resolve) => request.signal.onabort = () => resolve(new Response()));
    }
    return new Response(null, { status: 500 });
  });
  const fetcher = new HttpFetcher();
  const target = { scheme: "http", host: "127.0.0.1", port: server.addr.port } as const;
  const get = (path: string, signal = new AbortController().signal) =>
    fetcher.fetch(target, path, { signal, bytesMax: 1999 });
  equal(new TextDecoder().decode(await get("/echo")), "identity");
  await rejects(get("/long"), /must be at most 1999 bytes/);
  await rejects(get("/endless"), /must be at most 1999 bytes/);
  await rejects(get("/moved"), { name: "HttpStatusError", status: 302 });
  await rejects(get("/error"), { name: "HttpStatusError", status: 500 });
  const abort = new AbortController();
  const silent = get("/silent", abort.signal);
  abort.abort(new Error("enough"));
  await rejects(silent, (error) => (match(String(error), /enough/), true));
  fetcher.close();
});

/** The scene's members as plain functions. */
function bound(scene: Scene) {
  return {
    ...scene,
    pool: scene.pool,
    until: (done: () => boolean) => scene.until(done),
    ready: (count: number) => scene.ready(count),
  };
}
