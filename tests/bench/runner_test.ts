/** Every benchmark in its smallest form, as a program: that it runs, and that its figures have their fixed names. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

async function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "bench/run.ts", ...args],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

/** The JSON object of a run; checks what all benchmarks have in common. */
async function smoke(name: string, ...flags: string[]) {
  const { code, stdout, stderr } = await bench(name, "--smoke", "--json", ...flags);
  equal(code, 0, stderr);
  const result = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  equal(result.bench, name);
  for (const key of ["cpu", "os", "deno"]) equal(typeof result.machine[key], "string");
  for (const key of ["cores", "memoryGiB"]) ok(result.machine[key] > 0);
  match(result.commit, /^([0-9a-f]{7,}\+?|unknown)$/);
  const notNumbers = Object.entries(result.figures).filter(([, value]) => !Number.isFinite(value));
  deepStrictEqual(notNumbers, []);
  for (const figure of Object.keys(result.figures)) match(stderr, new RegExp(`^${figure} +[-\\d.e]+$`, "m"));
  return result;
}

Deno.test("bench decide gives quantiles of each length and pool size", async () => {
  const { figures } = await smoke("decide");
  for (const length of ["2k", "8k"]) {
    for (const endpoints of [10, 100]) {
      for (const policy of ["", "llmd_"]) {
        const p50 = figures[`${policy}p50_ms_${length}_${endpoints}`],
          p99 = figures[`${policy}p99_ms_${length}_${endpoints}`];
        ok(p50 > 0 && p50 <= p99, `${policy} ${length} ${endpoints}: ${p50}, ${p99}`);
      }
      const matched = figures[`matched_share_${length}_${endpoints}`];
      ok(matched > 0.2 && matched < 1, `conversations are found again: ${matched}`);
    }
  }
});

Deno.test("bench flow gives dispatches of each fairness policy, and the CPU of a queue that stands still", async () => {
  const { figures } = await smoke("flow");
  const rates = ["dispatches_per_s", "round_robin_per_s", "global_strict_per_s", "program_aware_per_s", "drain_per_s"];
  for (const name of rates) ok(figures[name] > 1000, `${name}: ${figures[name]}`);
  for (const name of ["idle_cpu", "idle_cpu_empty"]) equal(typeof figures[name], "number", name);
  ok(figures.direct_decision_us > 0 && figures.fast_path_us < 1000, `${figures.fast_path_us} µs`);
});

Deno.test("bench overload gives what is answered, refused and kept under too much load", async () => {
  const { figures } = await smoke("overload");
  ok(figures.capacity_rps > 10 && figures.goodput_ratio > 0.5, JSON.stringify(figures));
  equal(figures.failed, 0);
  ok(figures.refused_p50_ms >= 0 && figures.rss_most_mb >= figures.rss_before_mb);
});

Deno.test("bench replay gives every policy's figures, the same ones each time", async () => {
  const result = await smoke("replay");
  deepStrictEqual(Object.keys(result.policies), [
    "random",
    "round-robin",
    "least-request",
    "llm-d",
    "predicted",
    "approximate",
    "precise",
  ]);
  const { ceiling, ceiling_tokens, oracle_hit_rate, requests } = result.figures;
  equal(requests, 300);
  ok(ceiling > 0 && ceiling < 1 && oracle_hit_rate <= ceiling_tokens);
  for (const row of Object.values<Record<string, number>>(result.policies)) {
    ok(row.hit_rate > 0 && row.hit_rate <= ceiling_tokens);
    ok(row.ttft_ms_p50 <= row.ttft_ms_p90 && row.ttft_ms_p90 <= row.ttft_ms_p99);
    ok(row.e2e_ms_p50 > row.ttft_ms_p50 && row.e2e_ms_p50 <= row.e2e_ms_p99);
    ok(row.goodput > 0.5 && row.goodput <= 1 && row.balance >= 1 && row.refused === 0);
  }
  deepStrictEqual((await smoke("replay")).policies, result.policies);
});

Deno.test("bench replay runs the policies that are named", async () => {
  const { policies } = await smoke("replay", "--policies", "llm-d,random");
  deepStrictEqual(Object.keys(policies), ["llm-d", "random"]);
});

Deno.test("bench replay feeds the index of precise by the engines' events, some lost on the way", async () => {
  const { policies } = await smoke("replay", "--policies", "precise,precise-no-replay", "--drop-events", "0.2");
  deepStrictEqual(Object.keys(policies), ["precise", "precise-no-replay"]);
  for (const row of Object.values<Record<string, number>>(policies)) ok(row.hit_rate > 0.5 && row.refused === 0);
});

Deno.test("bench replay runs an EndpointPickerConfig beside the policies", async () => {
  const config = "bench/replay/configs/weight-3.yaml";
  const { policies, command } = await smoke("replay", "--policies", "approximate", "--configs", config);
  deepStrictEqual(Object.keys(policies), ["approximate", "weight-3"]);
  equal(command, "deno task bench replay --smoke --policies approximate --configs bench/replay/configs/weight-3.yaml");
});

Deno.test("bench fairness gives the waits of each kind of load, beside others and alone", async () => {
  const { figures } = await smoke("fairness");
  equal(figures.batch_finished, 1);
  ok(figures.interactive_p99_ms_alone > 0 && figures.interactive_p99_ms_unprotected > figures.interactive_p99_ms_alone);
  ok(figures.interactive_p99_ratio < 1.5, `${figures.interactive_p99_ratio}`);
  ok(figures.a_p99_ms_alone > 0 && figures.a_p99_ms_noisy < figures.a_p99_ms_fcfs);
});

Deno.test("bench stream gives CPU of router and relay", async () => {
  const { figures } = await smoke("stream");
  // Shares of the CPU clock's ticks: so short a run may use none of them.
  for (const name of ["router_us_per_chunk", "relay_us_per_chunk", "router_us_per_request"]) {
    equal(typeof figures[name], "number", name);
  }
  // 5 streams, 10 ms apart.
  ok(figures.chunks_per_s > 50 && figures.chunks_per_s < 1000, `${figures.chunks_per_s} chunks/s`);
  ok(figures.added_ttfb_ms_p50 > -50 && figures.added_ttfb_ms_p50 < 500);
});

Deno.test("bench requests gives CPU and the wait added, of router and relay", async () => {
  const { figures } = await smoke("requests");
  for (const name of ["cpu_us_per_request", "requests_per_core_s", "relay_us_per_request", "p50_ms", "p99_ms"]) {
    equal(typeof figures[name], "number", name);
  }
  ok(figures.rps > 50 && Math.abs(figures.open_rps / figures.rps - 0.5) < 0.01);
  ok(figures.direct_p50_ms > 0 && figures.direct_p50_ms <= figures.direct_p99_ms);
});

Deno.test("bench longprompt gives CPU, added first byte and memory at both lengths", async () => {
  const { figures } = await smoke("longprompt");
  for (const suffix of ["", "_1m"]) {
    for (const name of ["cpu_us_per_request", "prompt_us_per_request", "relay_us_per_request", "p50_ms", "p99_ms"]) {
      equal(typeof figures[name + suffix], "number", name + suffix);
    }
    ok(figures[`rss_high_mb${suffix}`] > 10);
  }
});

Deno.test("bench connections gives memory and CPU of streams that all deliver", async () => {
  const { figures } = await smoke("connections");
  deepStrictEqual([figures.streams, figures.delivered_share], [40, 1]);
  ok(figures.rss_mb_40_streams > 10 && figures.rss_mb_idle > 10 && figures.cpu_cores_40_streams >= 0);
});

Deno.test("bench soak gives memory over many requests", async () => {
  const { figures } = await smoke("soak");
  ok(figures.requests >= 2000 && figures.rss_warm_mb > 0 && figures.rss_end_mb > 0 && figures.rss_growth < 1);
});

Deno.test("bench scale gives requests a second of one isolate, and decisions of one thread that agree", async () => {
  const { figures } = await smoke("scale", "--workers", "1");
  equal(figures.decisions_agree, 1);
  ok(figures.text_decisions_per_s_1 > 0 && figures.exact_decisions_per_s_1 > 0);
  ok(figures.rps_1 > 50 && figures.cpu_us_per_request_1 > 0 && figures.cpu_left_cores_1 >= 0);
});

Deno.test("bench peers gives the same figures of every program, and ratios to warmpath", async () => {
  const { peers, missing, figures } = await smoke("peers");
  deepStrictEqual([Object.keys(peers), missing], [["warmpath", "relay"], {}]);
  for (const row of Object.values<Record<string, unknown>>(peers)) {
    const requests = ["", "_8k", "_100k"].map((length) => `cpu_us_per_request${length}`);
    for (const name of [...requests, "cpu_us_per_chunk", "added_ms_p50", "added_ms_p99"]) {
      equal(typeof row[name], "number", name);
    }
    ok(Number(row.rss_mb) > 10);
  }
  equal(typeof figures.request_ratio_relay, "number");
});

Deno.test("bench predict gives the time of scoring pools of each size", async () => {
  const { figures } = await smoke("predict");
  for (const name of ["us_per_endpoint", "ms_10", "ms_100", "ms_1000", "ms_100_cold"]) ok(figures[name] > 0, name);
  ok(figures.ms_10 < figures.ms_1000);
});

Deno.test("bench idle gives CPU by feed and by scrape, and the age of a change", async () => {
  const { figures } = await smoke("idle");
  for (const name of ["cores_100_endpoints_feed", "cores_100_endpoints_scrape"]) {
    equal(typeof figures[name], "number", name);
  }
  ok(figures.freshness_ms_p50 > 0 && figures.freshness_ms_p50 <= figures.freshness_ms_p99);
  ok(figures.freshness_idle_ms_p50 > 0 && figures.page_reads_per_s > 0);
});

Deno.test("bench restart gives the time to LIVE of each kind of restart, and what was lost and wrong", async () => {
  const { figures } = await smoke("restart");
  for (const kind of ["agent", "snapshot", "peer"]) {
    const readyS = figures[`${kind}_ready_s`], liveS = figures[`${kind}_live_s`];
    ok(readyS > 0 && readyS <= liveS, `${kind}: ready after ${readyS} s, live after ${liveS} s`);
    ok(figures[`${kind}_stop_s`] > 0 && figures[`${kind}_held_ms`] > 0);
  }
  deepStrictEqual([figures.blocks, figures.differing_blocks], [2000, 0]);
  ok(figures.requests_answered > 0 && figures.gather_held_ms > 0);
});

Deno.test("bench names the benchmarks when asked for one that does not exist", async () => {
  const { code, stdout, stderr } = await bench("speed", "--json");
  equal(code, 2);
  equal(stdout, "");
  for (const name of ["decide", "replay", "stream"]) match(stderr, new RegExp(`^ +${name} `, "m"));
});

Deno.test("bench says which flag is wrong", async () => {
  const { code, stderr } = await bench("replay", "--smoke", "--policies", "fastest");
  equal(code, 2);
  match(stderr, /^Cannot use --policies as each must be one of random, .*: one is "fastest"$/m);
  match(
    (await bench("peers", "--smoke", "--peers", "squid")).stderr,
    /^Cannot use --peers as each must be one of smg, .*"squid"$/m,
  );
  match(
    (await bench("replay", "--smoke", "--speed", "0")).stderr,
    /^Cannot use --speed as it must be a number above 0/m,
  );
});
