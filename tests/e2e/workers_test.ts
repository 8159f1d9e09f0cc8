/** Several edges in workers over one memory: what clients and operators see of that, and of an edge that dies. */
import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { secretHash, sleep, systemClock } from "../../src/core/mod.ts";
import {
  configOf,
  eventData,
  fact,
  metric,
  model,
  nothingReserved,
  post,
  reserved,
  type Stage,
  until,
  withRouter,
} from "./harness.ts";

/** The edges' own lines go to the process's output: none in a test. */
const observe = { accessLog: false, logLevel: "error" };
const config = { workers: 2, observe };

/** A request over a connection of its own: the system spreads connections over the edges. */
async function ask(stage: Stage, body: object): Promise<{ status: number; pod: string | null; text: string }> {
  const response = await post(`${stage.url}/v1/completions`, { model, max_tokens: 2, ...body }, {
    headers: { connection: "close" },
  });
  return { status: response.status, pod: response.headers.get("x-inference-pod"), text: await response.text() };
}

/** Requests each edge has counted. */
async function counted(stage: Stage): Promise<number[]> {
  const dumps = await stage.router.edges.each((door) => door.dump());
  return dumps.map((dump) => dump.find(({ name }) => name === "request_total")?.value ?? 0);
}

fact(
  "edges share the port, and metrics are their exact sum, histograms included",
  () =>
    withRouter({ sims: [{}, {}], config }, async (stage) => {
      const asked = 60;
      const answers = await Promise.all(Array.from({ length: asked }, (_, i) => ask(stage, { prompt: `${i}` })));
      deepStrictEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      await until("every request has ended", () => stage.router.edges.active === 0);
      const each = await counted(stage);
      equal(each.length, 2);
      ok(each.every((count) => count > 0), `both edges served: ${each}`);
      equal(each[0] + each[1], asked);
      equal(await metric(stage, "request_total"), asked);
      equal(await metric(stage, "request_duration_seconds_count"), asked);
      equal(await metric(stage, "request_running"), 0);
      deepStrictEqual(reserved(stage), nothingReserved);
      await until("every claim is settled", () => stage.router.edges.openClaims === 0);
    }),
);

fact(
  "a prefix routed by one edge is known to the other",
  () =>
    withRouter({ sims: [{}, {}, {}], config }, async (stage) => {
      const prompt = "What one edge sent somewhere, the other sends there too. ".repeat(100);
      const pods = new Set<string | null>();
      for (let i = 0; i < 12; i++) {
        const { pod } = await ask(stage, { prompt });
        pods.add(pod);
        await until("the claim is settled", () => stage.router.edges.openClaims === 0);
      }
      equal(pods.size, 1, `${[...pods]}`);
      ok((await counted(stage)).every((count) => count > 0), "both edges served");
    }),
);

fact(
  "a new configuration holds for every edge from one moment on, and for endpoints too",
  () =>
    withRouter({ sims: [{}, {}], config }, async (stage) => {
      const { router, sims } = stage;
      const port = Number(new URL(stage.adminUrl).port);
      const reload = (extra: object) =>
        router.reload(configOf({ ...config, admin: { port }, ...extra }, [sims[1].url]));
      equal((await ask(stage, { model: "nick", prompt: "x" })).status, 404);
      await reload({ models: { aliases: { nick: model } } });
      await until("the first endpoint is gone", () => router.pool.snapshot().length === 1);
      for (let i = 0; i < 20; i++) {
        const { status, pod } = await ask(stage, { model: "nick", prompt: `${i}` });
        deepStrictEqual([status, pod], [200, "sim-1"]);
      }
      await rejects(reload({ scheduling: { plugins: [{ type: "no-such" }], schedulingProfiles: [] } }));
      equal((await ask(stage, { model: "nick", prompt: "x" })).status, 200, "a bad one changes nothing");
    }),
);

fact(
  "an edge that starts while a configuration changes has the new one, endpoints included",
  () =>
    withRouter({ sims: [{}, {}], config }, async (stage) => {
      const { router, sims } = stage;
      const changed = (alias: string, endpoint: string) =>
        configOf({ ...config, models: { aliases: { [alias]: model } } }, [endpoint]);
      for (let i = 0; i < 4; i++) {
        await router.edges.kill(1 + i % 2);
        equal(router.edges.listening, 1);
        // At some point of the newcomer's start.
        await sleep(systemClock, i * 25);
        await router.reload(changed(`alias-${i}`, sims[i % 2].url));
        await until("the edge is replaced", () => router.edges.listening === 2);
        await until("the other endpoint is gone", () => router.pool.snapshot().length === 1);
        await until("the endpoint is ready", () => router.pool.readiness().ready === 1);
        const asked = Array.from({ length: 24 }, (_, n) => ask(stage, { model: `alias-${i}`, prompt: `${i} ${n}` }));
        for (const { status, pod } of await Promise.all(asked)) deepStrictEqual([status, pod], [200, `sim-${i % 2}`]);
      }
    }),
);

fact(
  "an edge that dies takes its own streams with it; the rest goes on, what it held is given back, another comes",
  () =>
    withRouter({ sims: [{ speed: 1 }], config }, async (stage) => {
      const { router } = stage;
      const tokens = 150;
      const streams = Array.from({ length: 16 }, async (_, i) => {
        try {
          return eventData((await ask(stage, { prompt: `${i}`, stream: true, max_tokens: tokens })).text);
        } catch {
          return undefined;
        }
      });
      await until("all run", () => router.edges.active === 16 && reserved(stage).requests === 16);
      const before = router.edges.active;
      await router.edges.kill(1);
      ok(router.edges.active < before, "the edge's requests are gone");
      equal(reserved(stage).requests, router.edges.active);
      equal(router.edges.listening, 1);
      const answers = await Promise.all(streams);
      const whole = answers.filter((events) => events?.at(-1) === "[DONE]");
      ok(whole.length > 0 && whole.length < 16, `some streams were the other edge's: ${whole.length}`);
      for (const events of whole) equal(events!.filter((event) => event.includes('"text"')).length, tokens);
      await until("the edge is replaced", () => router.edges.listening === 2);
      await until("every claim is settled", () => router.edges.openClaims === 0);
      deepStrictEqual(reserved(stage), nothingReserved);
      const again = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(stage, { prompt: `${i}` })));
      deepStrictEqual(new Set(again.map(({ status }) => status)), new Set([200]));
      ok((await counted(stage)).every((count) => count > 0), "both serve");
      equal(await metric(stage, "edge_restarts_total"), 1);
    }),
);

fact(
  "a decision can be explained by any edge, and a port that is taken is told of",
  () =>
    withRouter({ sims: [{}], config }, async (stage) => {
      const { port } = new URL(stage.url);
      const explained =
        await (await post(`${stage.adminUrl}/debug/decide?path=/v1/completions`, { model, prompt: "x" }))
          .json();
      equal(explained.result.slot, 0);
      await rejects(
        withRouter({ config: { ...config, server: { port: Number(port) } }, ready: false }, () => Promise.resolve()),
        { code: "EADDRINUSE" },
      );
    }),
);

fact("a key's limit holds over all edges, and what a dead edge had in flight comes back", () => {
  const secret = "sk-of-both-edges";
  const keys = { list: [{ id: "shared", hash: `sha256:${secretHash(secret)}`, maxConcurrent: 6 }] };
  return withRouter({ sims: [{ speed: 1 }], config: { ...config, keys } }, async (stage) => {
    const start = async (i: number) => {
      const response = await post(`${stage.url}/v1/completions`, {
        model,
        prompt: `${i}`,
        max_tokens: 2000,
        stream: true,
      }, { headers: { connection: "close", authorization: `Bearer ${secret}` } });
      if (response.status !== 200) await response.body?.cancel();
      return response;
    };
    const statuses = (responses: Response[]) => responses.map(({ status }) => status).filter((code) => code === 200);
    const first = await Promise.all(Array.from({ length: 24 }, (_, i) => start(i)));
    equal(statuses(first).length, 6);
    await until("those that were refused have ended", () => stage.router.edges.active === 6);
    const before = stage.router.edges.active;
    await stage.router.edges.kill(1);
    const freed = before - stage.router.edges.active;
    await until("the edge is replaced", () => stage.router.edges.listening === 2);
    const second = await Promise.all(Array.from({ length: 24 }, (_, i) => start(i)));
    equal(statuses(second).length, freed);
    for (const { body } of [...first, ...second]) await body?.cancel().catch(() => {});
    await until("every request has ended", () => stage.router.edges.active === 0);
  });
});
