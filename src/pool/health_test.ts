import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import { createServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { endpointMeta } from "../core/mod.ts";
import { Health as HealthService, HealthCheckResponse_ServingStatus as ServingStatus } from "../proto/mod.ts";
import type { HealthCheck } from "./discovery/discovery.ts";
import { HttpFetcher } from "./http.ts";
import { Probes } from "./probes.ts";
import { Ward } from "./ward_testing.ts";

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
