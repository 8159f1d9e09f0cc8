import { deepStrictEqual, equal, match } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import type { LoadSample } from "../kv/mod.ts";
import { Dialects, type FetchText } from "../pool/mod.ts";
import { LoadWatch, type LoadWatchParts } from "./load_watch.ts";

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

function vllmPage(...ranks: [running: number, waiting: number, usage: number][]): string {
  return ranks.map(([running, waiting, usage], rank) =>
    [
      `vllm:num_requests_running{engine="${rank}",model_name="m"} ${running}.0`,
      `vllm:num_requests_waiting{engine="${rank}",model_name="m"} ${waiting}.0`,
      `vllm:kv_cache_usage_perc{engine="${rank}",model_name="m"} ${usage}`,
      `vllm:cache_config_info{block_size="16",engine="${rank}",num_gpu_blocks="9000"} 1.0`,
    ].join("\n")
  ).join("\n") + "\n";
}

/** A page that is read in virtual time. */
class Ward {
  readonly clock = new VirtualClock();
  readonly told: [rank: number, sample: LoadSample][] = [];
  readonly troubles: (string | undefined)[] = [];
  readonly readsAtMs: number[] = [];
  page = vllmPage([0, 0, 0]);
  tookMs = 0;
  fails = false;
  readonly watch: LoadWatch;

  constructor(parts: Partial<LoadWatchParts> = {}) {
    const fetchText: FetchText = async (_target, path, { signal }) => {
      equal(path, "/metrics");
      this.readsAtMs.push(this.clock.now());
      await new Promise<void>((resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        if (this.tookMs > 0) this.clock.after(this.tookMs, resolve);
        else resolve();
      });
      if (this.fails) throw new Error("refused");
      return new TextEncoder().encode(this.page);
    };
    this.watch = new LoadWatch({
      clock: this.clock,
      fetchText,
      target: { scheme: "http", host: "127.0.0.1", port: 8000 },
      path: "/metrics",
      dialect: new Dialects().of({}, "vllm"),
      ranks: 1,
      onLoad: (rank, sample) => this.told.push([rank, sample]),
      onTrouble: (reason) => this.troubles.push(reason),
      ...parts,
    });
    this.watch.start();
  }

  async run(ms: number): Promise<number[]> {
    const from = this.readsAtMs.length, end = this.clock.now() + ms;
    await settle();
    while (this.clock.step(end)) await settle();
    this.clock.advance(end - this.clock.now());
    return this.readsAtMs.slice(from);
  }
}

Deno.test("LoadWatch reads seldom while nothing runs and every 10 ms while something does", async () => {
  const ward = new Ward();
  equal((await ward.run(999)).length, 10);
  ward.page = vllmPage([2, 1, 0.25]);
  await ward.run(101);
  equal((await ward.run(1000)).length, 100);
  deepStrictEqual(ward.told.at(-1), [0, {
    running: 2,
    waiting: 1,
    kvUsage: 0.25,
    cacheBlocks: 9000,
    cacheBlockTokens: 16,
  }]);
});

Deno.test("poke() has an idle page read at once, and often for a second", async () => {
  const ward = new Ward();
  await ward.run(150);
  ward.watch.poke();
  const reads = await ward.run(1900);
  equal(reads[0], 150);
  equal(reads.filter((at) => at < 1150).length, 100);
  equal(reads.filter((at) => at >= 1170).length, 9);
});

Deno.test("poke() many times within an interval causes one read", async () => {
  const ward = new Ward();
  await ward.run(95);
  for (let i = 0; i < 50; i++) ward.watch.poke();
  equal((await ward.run(9)).length, 1);
});

Deno.test("LoadWatch spends at most a fifth of the time reading a slow page", async () => {
  const ward = new Ward();
  ward.page = vllmPage([1, 0, 0]);
  ward.tookMs = 8;
  await ward.run(100);
  equal((await ward.run(1000)).length, 25);
});

Deno.test("LoadWatch backs off while reads fail, and says so once", async () => {
  const ward = new Ward();
  ward.fails = true;
  const reads = await ward.run(60_000);
  equal(reads.length < 20, true);
  deepStrictEqual(ward.troubles, ["refused"]);
  ward.fails = false;
  await ward.run(5000);
  deepStrictEqual(ward.troubles, ["refused", undefined]);
  equal(ward.watch.errors, reads.length);
});

Deno.test("LoadWatch gives a read up at its deadline", async () => {
  const ward = new Ward();
  ward.tookMs = 1_000_000;
  await ward.run(1001);
  deepStrictEqual(ward.troubles, ["no metrics within 1000 ms"]);
});

Deno.test("LoadWatch takes a page without load metrics as trouble", async () => {
  const ward = new Ward();
  ward.page = "process_cpu_seconds_total 5\n";
  await ward.run(10);
  match(ward.troubles[0]!, /none of the load metrics of engine "vllm"/);
});

Deno.test("LoadWatch tells each data-parallel rank its own series", async () => {
  const ward = new Ward({ ranks: 2 });
  ward.page = vllmPage([1, 0, 0.1], [5, 2, 0.5]);
  await ward.run(1);
  deepStrictEqual(ward.told.map(([rank, { running, kvUsage }]) => [rank, running, kvUsage]), [[0, 1, 0.1], [
    1,
    5,
    0.5,
  ]]);
});

Deno.test("LoadWatch tells when the engine's process started, where the page says so", async () => {
  const starts: number[] = [];
  const ward = new Ward({ onStartTime: (seconds) => starts.push(seconds) });
  await ward.run(50);
  deepStrictEqual(starts, []);
  ward.page += "process_start_time_seconds 1.70000000025e+09\n";
  await ward.run(100);
  deepStrictEqual(starts, [1_700_000_000.25]);
});

Deno.test("stop() ends reading, a read that runs included", async () => {
  const ward = new Ward();
  ward.tookMs = 50;
  await ward.run(10);
  ward.watch.stop();
  equal((await ward.run(1000)).length, 0);
  deepStrictEqual(ward.told, []);
  deepStrictEqual(ward.troubles, []);
});
