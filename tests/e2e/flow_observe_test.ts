/** What operators are told of requests that wait: metrics, /debug/flow, /debug/endpoints, the access log. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import type { FlowReport } from "../../src/flow/mod.ts";
import { parsePrometheus } from "../../src/telemetry/testing.ts";
import { busy, fact, metric, model, post, type Stage, until, withRouter } from "./harness.ts";

const prompt = { model, prompt: "What the sea knows.", max_tokens: 40 };
const one = { flow: { saturation: { maxConcurrency: 1 } } };

async function page<T>({ adminUrl }: Stage, path: string): Promise<T> {
  return await (await fetch(adminUrl + path)).json();
}

const tenant = (name: string, priority = 0) => ({
  headers: { "x-llm-d-inference-fairness-id": name, "x-warmpath-priority": String(priority) },
});

fact(
  "a full endpoint is told of: what waits for it, of whom, why, and then how long each waited",
  () =>
    withRouter({ sims: [{ speed: 2 }], config: one }, async (stage) => {
      const ask = (name: string, priority?: number) =>
        post(`${stage.url}/v1/completions`, prompt, tenant(name, priority));
      const answers = [ask("first")];
      await until("the endpoint is busy", () => busy(stage.sims[0]) === 1);
      answers.push(ask("a"), ask("a"), ask("b", 5));
      await until("three wait", () => stage.router.flow.controller.size === 3);

      const { lanes: [lane], bands, held } = await page<FlowReport>(stage, "/debug/flow");
      const name = new URL(stage.sims[0].url).host;
      equal(held.requests, 3);
      deepStrictEqual(
        bands.map(({ priority, tenants }) => [priority, tenants.map(({ tenant, queued }) => [tenant, queued])]),
        [[5, [["b", 1]]], [0, [["a", 2]]]],
      );
      deepStrictEqual([lane.model, lane.queued, lane.head?.tenant, lane.head?.priority], [model, 3, "b", 5]);
      equal(lane.head?.why, `the only endpoint is full: ${name} 1/1 requests`);
      const { saturation, capacity, inFlight, open } = lane.endpoints[0];
      deepStrictEqual({ saturation, capacity, inFlight, open }, {
        saturation: 1,
        capacity: 1,
        inFlight: 1,
        open: true,
      });
      const [row] = await page<{ flow: unknown }[]>(stage, "/debug/endpoints");
      deepStrictEqual(row.flow, { capacity: 1, foreign: 0, saturation: 1, queued: 3 });

      const { samples } = parsePrometheus(await (await fetch(`${stage.adminUrl}/metrics`)).text());
      const of = (name: string) => samples.filter((sample) => sample.name === name);
      for (const prefix of ["warmpath", "llm_d_epp"]) {
        deepStrictEqual(
          of(`${prefix}_flow_control_queue_size`).map(({ labels, value }) => [labels.fairness_id, value]).sort(),
          [["a", 2], ["b", 1]],
        );
        deepStrictEqual(of(`${prefix}_flow_control_pool_saturation`).map(({ labels }) => labels.stage), [
          "decode",
          "effective",
        ]);
      }
      equal(of("warmpath_flow_control_required_replicas")[0].value, 4);
      ok(of("warmpath_flow_control_oldest_wait_seconds").every(({ value }) => value > 0 && value < 10));
      equal(await metric(stage, 'flow_control_tenant_queue_size{fairness_id="a"}'), 2);

      for (const answer of await Promise.all(answers)) {
        equal(answer.status, 200);
        await answer.text();
      }
      await until("all access lines are written", () => stage.accessLines.length === 4);
      const waited = stage.accessLines.filter(({ queued_ms }) => queued_ms !== undefined);
      deepStrictEqual(waited.map(({ fairness_id }) => fairness_id), ["b", "a", "a"]);
      equal(await metric(stage, "flow_control_requests_total"), 3);
      equal(await metric(stage, "flow_control_queue_size"), 0);
      equal(await metric(stage, "flow_control_request_queue_duration_seconds_count"), 3);
      equal(await metric(stage, "flow_control_request_enqueue_duration_seconds_count"), 3);
      deepStrictEqual((await page<FlowReport>(stage, "/debug/flow")).lanes.map(({ queued, head }) => [queued, head]), [
        [0, undefined],
      ]);
    }),
);

fact(
  "a request that waits in vain is counted by its outcome, and one without any endpoint is explained",
  () =>
    withRouter({ sims: [{}], config: { flow: { noEndpointTtl: "30s" } } }, async (stage) => {
      stage.router.pool.drain(stage.router.pool.snapshot()[0].id);
      const left = new AbortController();
      const asked = post(`${stage.url}/v1/completions`, prompt, { ...tenant("t"), signal: left.signal });
      await until("one waits", () => stage.router.flow.controller.size === 1);
      const { lanes: [{ head, endpoints }] } = await page<FlowReport>(stage, "/debug/flow");
      match(head!.why, /^no endpoint of .+ is ready$/);
      ok(head!.dueInMs! > 20_000 && head!.dueInMs! <= 30_000);
      deepStrictEqual(endpoints, []);
      equal(await metric(stage, 'flow_control_pool_saturation{inference_pool="default",stage="effective"}'), 1);
      equal(await metric(stage, "flow_control_required_replicas"), 1);
      left.abort();
      await asked.catch(() => {});
      const series =
        'flow_control_requests_total{outcome="EvictedContextCancelled",priority="0",inference_pool="default"}';
      await until("its end is counted", async () => await metric(stage, series) === 1);
      await until("its access line is written", () => stage.accessLines.length === 1);
      const [{ outcome, queued_ms }] = stage.accessLines;
      equal(outcome, "client-disconnect");
      ok(Number(queued_ms) > 0, `${queued_ms}`);
    }),
);
