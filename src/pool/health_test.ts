import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import { createServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { endpointMeta, EndpointState, endpointStateNames, EndpointTable, Prng, VirtualClock } from "../core/mod.ts";
import { Health as HealthService, HealthCheckResponse_ServingStatus as ServingStatus } from "../proto/mod.ts";
import type { HealthCheck } from "./discovery/discovery.ts";
import { Health, type HealthOptions } from "./health.ts";
import { HttpFetcher } from "./http.ts";
import { Probes } from "./probes.ts";

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

class Ward {
  readonly clock = new VirtualClock();
  readonly table = new EndpointTable(8);
  /** Slots whose checks fail, and those whose checks never end. */
  readonly sick = new Set<number>();
  readonly silent = new Set<number>();
  readonly probes: [slot: number, atMs: number][] = [];
  readonly changes: string[] = [];
  readonly ejections: number[] = [];
  readonly ready: number[] = [];
  readonly health: Health;

  constructor(options: Partial<HealthOptions> = {}) {
    this.health = new Health({
      table: this.table,
      clock: this.clock,
      prng: new Prng(1),
      options,
      probe: async (meta, _check, signal) => {
        const slot = this.table.slotOf(meta.id);
        this.probes.push([slot, this.clock.now()]);
        if (this.silent.has(slot)) {
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("canceled"))));
        }
        if (this.sick.has(slot)) throw new Error("sick");
      },
      observer: {
        stateChanged: (id, from, to, reason) =>
          this.changes.push(`${id} ${endpointStateNames[from]} > ${endpointStateNames[to]}: ${reason}`),
        ejected: (_id, backoffMs) => this.ejections.push(backoffMs),
      },
      onReady: (slot) => this.ready.push(slot),
    });
  }

  add(check?: HealthCheck): number {
    const slot = this.table.add(endpointMeta({ host: "h", port: 1 + this.table.size }));
    this.health.track(slot, check);
    return slot;
  }

  async run(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    await settle();
    while (this.clock.step(end)) await settle();
    this.clock.advance(end - this.clock.now());
  }

  fail(slot: number, times: number): void {
    for (let i = 0; i < times; i++) this.health.report(slot, false);
  }

  state(slot: number): string {
    return endpointStateNames[this.table.state[slot]];
  }
}

Deno.test("Health makes a new endpoint ready on its first good check, asked for quickly", async () => {
  const ward = new Ward();
  const slot = ward.add();
  ward.sick.add(slot);
  await ward.run(1000);
  equal(ward.state(slot), "starting");
  equal(ward.probes.length, 3);
  ward.sick.clear();
  await ward.run(1200);
  equal(ward.state(slot), "ready");
  deepStrictEqual(ward.ready, [slot]);
  const before = ward.probes.length;
  await ward.run(50_000);
  ok(Math.abs(ward.probes.length - before - 10) <= 1, `${ward.probes.length - before} checks in 50 s`);
});

Deno.test("Health takes an endpoint out after three failed checks and back after two good ones", async () => {
  const ward = new Ward();
  const slot = ward.add();
  await ward.run(0);
  ward.sick.add(slot);
  await ward.run(10_900);
  equal(ward.state(slot), "ready");
  await ward.run(6000);
  equal(ward.state(slot), "unhealthy");
  equal(ward.health.status(slot)!.lastError, "sick");
  ward.sick.clear();
  const before = ward.probes.length;
  await ward.run(10_000);
  equal(ward.state(slot), "ready");
  const [first, second] = ward.probes.slice(before).map(([, at]) => at);
  equal(second - first, 250);
  match(ward.changes.at(-2)!, /ready > unhealthy: 3 health checks failed: sick/);
});

Deno.test("Health takes one failed check among good ones as nothing", async () => {
  const ward = new Ward();
  const slot = ward.add();
  await ward.run(0);
  for (let i = 0; i < 20; i++) {
    ward.sick.add(slot);
    await ward.run(5500);
    ward.sick.clear();
    await ward.run(5500);
  }
  equal(ward.changes.length, 1);
});

Deno.test("Health takes a check without an answer as failed at the deadline", async () => {
  const ward = new Ward();
  const slot = ward.add();
  ward.silent.add(slot);
  await ward.run(2001);
  deepStrictEqual(ward.health.status(slot)!.down, 1);
  equal(ward.health.status(slot)!.lastError, "No answer within 2000 ms");
});

Deno.test("report() ejects after five failures in a row and the endpoint comes back through checks", async () => {
  const ward = new Ward();
  const [slot] = [ward.add(), ward.add()];
  await ward.run(0);
  ward.fail(slot, 4);
  ward.health.report(slot, true);
  ward.fail(slot, 4);
  equal(ward.state(slot), "ready");
  ward.fail(slot, 1);
  equal(ward.state(slot), "unhealthy");
  const before = ward.probes.filter(([s]) => s === slot).length;
  await ward.run(999);
  equal(ward.probes.filter(([s]) => s === slot).length, before, "no check while ejected");
  equal(ward.state(slot), "unhealthy");
  await ward.run(252);
  equal(ward.state(slot), "ready");
  equal(ward.table.failures[slot], 0);
});

Deno.test("report() doubles the ejection up to its limit and forgets after a minute without one", async () => {
  const ward = new Ward();
  const [slot] = [ward.add(), ward.add()];
  await ward.run(0);
  for (let i = 0; i < 7; i++) {
    ward.fail(slot, 5);
    await ward.run(31_000);
  }
  deepStrictEqual(ward.ejections, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  await ward.run(60_000);
  ward.fail(slot, 5);
  equal(ward.ejections.at(-1), 1000);
});

Deno.test("report() begins again with the shortest ejection after a request went well", async () => {
  const ward = new Ward();
  const [slot] = [ward.add(), ward.add()];
  await ward.run(0);
  for (const answers of [false, false, true, false]) {
    if (answers) ward.health.report(slot, true);
    ward.fail(slot, 5);
    await ward.run(8_000);
  }
  deepStrictEqual(ward.ejections, [1000, 2000, 1000, 2000]);
});

Deno.test("report() keeps the last ready endpoints, active checks do not", async () => {
  const ward = new Ward({ readyMin: 2 });
  const [a, b, c] = [ward.add(), ward.add(), ward.add()];
  await ward.run(0);
  ward.fail(a, 5);
  ward.fail(b, 50);
  deepStrictEqual([a, b, c].map((s) => ward.state(s)), ["unhealthy", "ready", "ready"]);
  await ward.run(2000);
  equal(ward.state(a), "ready");
  ward.fail(b, 1);
  equal(ward.state(b), "unhealthy");
  for (const slot of [a, b, c]) ward.sick.add(slot);
  await ward.run(30_000);
  deepStrictEqual([a, b, c].map((s) => ward.state(s)), ["unhealthy", "unhealthy", "unhealthy"]);
});

Deno.test("report() leaves endpoints alone that are not ready", async () => {
  const ward = new Ward();
  const [a, b] = [ward.add(), ward.add()];
  ward.sick.add(a);
  await ward.run(0);
  ward.fail(a, 10);
  equal(ward.state(a), "starting");
  ward.health.untrack(b);
  ward.table.setState(b, EndpointState.Draining);
  ward.fail(b, 10);
  equal(ward.state(b), "draining");
});

Deno.test("Health without a check takes an endpoint as ready until it is ejected, and again after that", async () => {
  const ward = new Ward();
  const [slot] = [ward.add({ kind: "none" }), ward.add({ kind: "none" })];
  equal(ward.state(slot), "ready");
  ward.fail(slot, 5);
  await ward.run(999);
  equal(ward.state(slot), "unhealthy");
  await ward.run(1);
  equal(ward.state(slot), "ready");
  equal(ward.probes.length, 0);
});

Deno.test("untrack() ends a running check whose answer then changes nothing", async () => {
  const ward = new Ward();
  const slot = ward.add();
  ward.silent.add(slot);
  await ward.run(10);
  ward.health.untrack(slot);
  await ward.run(60_000);
  equal(ward.probes.length, 1);
  equal(ward.state(slot), "starting");
});

Deno.test("Probes asks a real HTTP server", async () => {
  let status = 200;
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    () => new Response("x", { status }),
  );
  const fetcher = new HttpFetcher();
  const { probe } = new Probes(fetcher.fetch);
  const meta = endpointMeta({ host: "127.0.0.1", port: server.addr.port });
  const check: HealthCheck = { kind: "http", path: "/health" };
  await probe(meta, check, new AbortController().signal);
  status = 503;
  await rejects(probe(meta, check, new AbortController().signal), /\/health answered with status 503/);
  fetcher.close();
});

Deno.test("Probes asks a real gRPC server, follows its word and its end", async () => {
  let status: ServingStatus = ServingStatus.SERVING;
  const services: string[] = [];
  const server = createServer(connectNodeAdapter({
    routes: (router) => {
      router.service(HealthService, {
        check: ({ service }) => {
          services.push(service);
          return { status };
        },
      });
    },
  }));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  ok(address !== null && typeof address === "object");
  const fetcher = new HttpFetcher();
  const probes = new Probes(fetcher.fetch);
  const meta = endpointMeta({ host: "127.0.0.1", port: 1 });
  const check: HealthCheck = { kind: "grpc", port: address.port, service: "vllm" };
  const ask = () => probes.probe(meta, check, new AbortController().signal);
  await ask();
  status = ServingStatus.NOT_SERVING;
  await rejects(ask(), /gRPC health is NOT_SERVING/);
  deepStrictEqual(services, ["vllm", "vllm"]);
  probes.forget(meta, check);
  await new Promise<void>((resolve) => server.close(() => resolve()));
  await rejects(ask());
  probes.close();
  fetcher.close();
});
