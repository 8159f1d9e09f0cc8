/** The operators' port: probes, metrics and debug pages. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { fact, model, nothingReserved, openAiError, post, reserved, type Stage, until, withRouter } from "./harness.ts";

async function page({ adminUrl }: Stage, path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(adminUrl + path);
  return { status: response.status, text: await response.text() };
}

fact(
  "/livez is up at once, /readyz when an endpoint is ready",
  () =>
    withRouter({ sims: [{}], config: { pool: { health: { path: "/not/there" } } }, ready: false }, async (stage) => {
      equal((await page(stage, "/livez")).status, 200);
      const before = await page(stage, "/readyz");
      equal(before.status, 503);
      deepStrictEqual(JSON.parse(before.text), {
        ready: false,
        reason: "no endpoint is ready",
        endpoints: { ready: 0, total: 1 },
        edges: { running: 1, wanted: 1 },
      });
    }).then(() =>
      withRouter({ sims: [{}, {}], ready: false }, async (stage) => {
        await until("/readyz is 200", async () => (await page(stage, "/readyz")).status === 200);
        await until("both are ready", () => stage.router.pool.readiness().ready === 2);
        deepStrictEqual(JSON.parse((await page(stage, "/readyz")).text), {
          ready: true,
          reason: "",
          endpoints: { ready: 2, total: 2 },
          edges: { running: 1, wanted: 1 },
        });
      })
    ),
);

fact(
  "while it drains, /livez is up, /readyz is not, running streams end and new requests are told to go elsewhere",
  () =>
    withRouter({ sims: [{ speed: 1 }] }, async (stage) => {
      const asked = { model, prompt: "x", max_tokens: 40, stream: true };
      const running = await post(`${stage.url}/v1/completions`, asked);
      const stopped = stage.router.stop(10_000);
      equal((await page(stage, "/livez")).status, 200);
      const readyz = await page(stage, "/readyz");
      equal(readyz.status, 503);
      match(JSON.parse(readyz.text).reason, /shutting down/);
      const refused = await post(`${stage.url}/v1/completions`, asked);
      equal(refused.status, 503);
      equal(refused.headers.get("x-llm-d-request-dropped-reason"), "rejected-shutting-down");
      equal((await openAiError(refused)).code, "shutting_down");
      match(await running.text(), /data: \[DONE\]\n\n$/);
      await stopped;
      await until("both access lines are written", () => stage.accessLines.length === 2);
      deepStrictEqual(stage.accessLines.map(({ outcome }) => outcome), ["rejected-shutting-down", "completed"]);
    }),
);

/** Samples of a page in Prometheus text format by name; fails on a line that is none. */
function parseMetrics(text: string): Map<string, { labels: string; value: number }[]> {
  const samples = new Map<string, { labels: string; value: number }[]>();
  const line = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[\d.e+-]+|NaN|[+-]Inf)$/;
  for (const each of text.split("\n")) {
    if (each === "" || each.startsWith("# HELP ") || each.startsWith("# TYPE ")) continue;
    const parts = line.exec(each);
    ok(parts, each);
    const [, name, labels = "", value] = parts;
    samples.set(name, [...samples.get(name) ?? [], { labels, value: Number(value) }]);
  }
  return samples;
}

fact(
  "/metrics has the main series under the router's names and llm-d's, with the same values",
  () =>
    withRouter({ sims: [{}, {}] }, async (stage) => {
      for (let i = 0; i < 3; i++) {
        const asked = { model, prompt: "sea ".repeat(300), max_tokens: 4, stream: true };
        await (await post(`${stage.url}/v1/completions`, asked)).text();
      }
      await (await post(`${stage.url}/v1/completions`, { model: "none", prompt: "x" })).body?.cancel();
      await until("every request has ended", () => stage.accessLines.length === 4);
      const { status, text } = await page(stage, "/metrics");
      equal(status, 200);
      const samples = parseMetrics(text);
      const sum = (name: string, labels: string) =>
        (samples.get(name) ?? []).filter((sample) => sample.labels.includes(labels))
          .reduce((sum, { value }) => sum + value, 0);
      const served = `model_name="${model}"`, unknown = 'model_name="other"';
      for (
        const [name, labels, value] of [
          ["request_total", served, 3],
          ["request_total", unknown, 1],
          ["request_error_total", 'error_code="NotFound"', 1],
          ["request_duration_seconds_count", served, 3],
          ["request_ttft_seconds_count", 'streaming="true"', 3],
          ["request_output_tokens_sum", served, 12],
          ["request_cached_tokens_count", served, 3],
          ["request_running", "", 0],
          ["scheduler_attempts_total", 'status="success"', 3],
          ["prefix_indexer_hit_ratio_count", "", 3],
          ["ready_endpoints", "", 2],
          ["inflight_requests", "", 0],
        ] as const
      ) {
        for (const prefix of ["warmpath_", "llm_d_epp_"]) {
          ok(samples.has(prefix + name), `${prefix}${name} is missing among ${[...samples.keys()].join(" ")}`);
          equal(sum(prefix + name, labels), value, prefix + name);
        }
      }
    }),
);

fact(
  "/debug/endpoints shows every endpoint with state, models, load and work in flight",
  () =>
    withRouter({ sims: [{}, { model: "org/b" }] }, async (stage) => {
      const endpoints = JSON.parse((await page(stage, "/debug/endpoints")).text);
      equal(endpoints.length, 2);
      endpoints.forEach((endpoint: Record<string, unknown>, i: number) => {
        equal(endpoint.url, stage.sims[i].url);
        equal(endpoint.state, "ready");
        deepStrictEqual((endpoint.models as { id: string }[]).map(({ id }) => id), [i === 0 ? model : "org/b"]);
        deepStrictEqual(endpoint.inFlight, nothingReserved);
        deepStrictEqual(endpoint.cache, { blocks: 32_768, blockTokens: 16 });
      });
    }),
);

/** Waits until nothing is in flight and every endpoint's load is known to be none: decisions then see the same facts. */
function quiet(stage: Stage): Promise<void> {
  return until("the pool is quiet", () =>
    reserved(stage).requests === 0 &&
    stage.router.pool.snapshot().every(({ load }) => load?.running === 0 && load.waiting === 0));
}

fact(
  "/debug/decide chooses as the real request will, and forwards and reserves nothing",
  () =>
    withRouter({ sims: [{}, {}, {}] }, async (stage) => {
      const asked = (i: number) => ({ model, prompt: `${i}: ` + "what the sea knows. ".repeat(100), max_tokens: 2 });
      const homes = new Set<string>();
      for (let i = 0; i < 6; i++) {
        await quiet(stage);
        const finished = () => stage.sims.reduce((sum, sim) => sum + sim.models.ranks[0].metrics().finished, 0);
        const before = finished(), lines = stage.accessLines.length;
        const decided = await post(`${stage.adminUrl}/debug/decide?path=/v1/completions`, asked(i));
        const report = JSON.parse(await decided.text());
        equal(decided.status, 200, JSON.stringify(report));
        equal(report.request.model, model);
        ok(report.request.promptBlocks > 5);
        equal(report.explanation.candidates.length, 3);
        deepStrictEqual([finished(), stage.accessLines.length], [before, lines]);
        deepStrictEqual(reserved(stage), nothingReserved);
        const real = await post(`${stage.url}/v1/completions`, asked(i));
        await real.text();
        const pod = Number(real.headers.get("x-inference-pod")!.slice("sim-".length));
        equal(report.explanation.picked[0], `127.0.0.1:${stage.sims[pod].port}`);
        homes.add(report.explanation.picked[0]);

        await quiet(stage);
        const again = JSON.parse(
          await (await post(`${stage.adminUrl}/debug/decide?path=/v1/completions`, asked(i))).text(),
        );
        equal(again.explanation.picked[0], report.explanation.picked[0]);
        const matched = again.matched.filter(({ blocks }: { blocks: number }) => blocks > 0);
        deepStrictEqual(matched.map(({ endpoint }: { endpoint: string }) => endpoint), [report.explanation.picked[0]]);
      }
      equal(homes.size, 3);
    }),
);

fact(
  "/debug/decide answers a request that would be refused with its refusal",
  () =>
    withRouter({ sims: [{}] }, async ({ adminUrl }) => {
      const unknown = await post(`${adminUrl}/debug/decide`, {
        model: "none",
        messages: [{ role: "user", content: "x" }],
      });
      equal(unknown.status, 404);
      equal((await openAiError(unknown)).code, "model_not_found");
      const broken = await post(`${adminUrl}/debug/decide`, "{");
      equal(broken.status, 400);
      await openAiError(broken);
      const page = await fetch(`${adminUrl}/nothing`);
      equal(page.status, 404);
      await openAiError(page);
    }),
);
