import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { endpointMeta, EndpointTable, Prng, Reservation, VirtualClock } from "../../core/mod.ts";
import type { FetchText } from "../http.ts";
import { Dialects } from "./dialects.ts";
import { LoadScraper, type ScrapeOptions } from "./scraper.ts";

const encoder = new TextEncoder();

/** Lets everything that waits for settled promises run; timers stay where they are. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** A fleet whose pages are made by `page`, driven in virtual time. */
class Fleet {
  readonly clock = new VirtualClock();
  readonly table = new EndpointTable(128);
  /** Scrape times by port. */
  readonly scrapes = new Map<number, number[]>();
  readonly geometry: number[][] = [];
  page: (port: number) => string | Error | Promise<Uint8Array> = () => idlePage;
  readonly scraper: LoadScraper;
  running = 0;
  runningMax = 0;

  constructor(options: Partial<ScrapeOptions> = {}) {
    const fetchText: FetchText = async (target, _path, { signal }) => {
      this.scrapes.set(target.port, [...this.scrapes.get(target.port) ?? [], this.clock.now()]);
      const page = this.page(target.port);
      if (page instanceof Error) throw page;
      if (typeof page === "string") return encoder.encode(page);
      this.runningMax = Math.max(this.runningMax, ++this.running);
      const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      return await Promise.race([page, aborted]).finally(() => this.running--);
    };
    this.scraper = new LoadScraper({
      table: this.table,
      clock: this.clock,
      prng: new Prng(7),
      dialects: new Dialects(),
      fetchText,
      options,
      onGeometry: (...all) => this.geometry.push(all),
    });
  }

  add(port: number): number {
    const slot = this.table.add(endpointMeta({ host: "h", port }));
    this.scraper.track(slot);
    return slot;
  }

  async run(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    await settle();
    while (this.clock.step(end)) await settle();
    this.clock.advance(end - this.clock.now());
  }

  count(port: number): number {
    return this.scrapes.get(port)?.length ?? 0;
  }
}

const idlePage = "vllm:num_requests_waiting 0\nvllm:num_requests_running 0\nvllm:kv_cache_usage_perc 0\n";
const busyPage = "vllm:num_requests_waiting 2\nvllm:num_requests_running 5\nvllm:kv_cache_usage_perc 0.5\n";

Deno.test("LoadScraper backs off to the idle interval while an endpoint has nothing to do", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  fleet.add(1);
  await fleet.run(20_000);
  deepStrictEqual(fleet.scrapes.get(1)!.slice(0, 8), [0, 100, 300, 700, 1500, 3100, 5100, 7100]);
  await fleet.run(60_000);
  fleet.scrapes.clear();
  await fleet.run(60_000);
  equal(fleet.count(1), 30);
});

Deno.test("LoadScraper scrapes every 50 ms while the page shows load, and backs off when it is gone", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  fleet.page = () => busyPage;
  const slot = fleet.add(1);
  await fleet.run(999);
  equal(fleet.count(1), 20);
  deepStrictEqual([fleet.table.waiting[slot], fleet.table.running[slot], fleet.table.kvUsage[slot]], [2, 5, 0.5]);
  fleet.page = () => idlePage;
  fleet.scrapes.clear();
  await fleet.run(10_000);
  ok(fleet.count(1) < 12, `${fleet.count(1)}`);
  equal(fleet.table.waiting[slot], 0);
});

Deno.test("poke() wakes an idle endpoint at once, and in-flight requests keep it awake", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  const slot = fleet.add(1);
  await fleet.run(10_000);
  fleet.scrapes.clear();
  const reservation = new Reservation(fleet.table, slot, { prefillTokens: 1, decodeTokens: 1 });
  fleet.scraper.poke(slot);
  fleet.scraper.poke(slot);
  await fleet.run(0);
  deepStrictEqual(fleet.scrapes.get(1), [10_000]);
  await fleet.run(1000);
  equal(fleet.count(1), 21);
  reservation.release();
  await fleet.run(10_000);
  equal(fleet.scraper.status(slot)!.intervalMs, 2000);
});

Deno.test("poke() never makes scrapes closer than the busy interval, nor two at once", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  const slot = fleet.add(1);
  await fleet.run(110);
  fleet.scrapes.clear();
  fleet.scraper.poke(slot);
  await fleet.run(60);
  deepStrictEqual(fleet.scrapes.get(1), [150]);
  fleet.page = () => new Promise(() => {});
  await fleet.run(300);
  for (let i = 0; i < 10; i++) fleet.scraper.poke(slot);
  await fleet.run(3000);
  equal(fleet.runningMax, 1);
});

Deno.test("LoadScraper gives up at the deadline, counts the error and leaves the old sample with its age", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  fleet.page = () => busyPage;
  const slot = fleet.add(1);
  await fleet.run(10);
  fleet.page = () => new Promise(() => {});
  await fleet.run(1060);
  deepStrictEqual([fleet.table.waiting[slot], fleet.table.sampleAtMs[slot]], [2, 0]);
  equal(fleet.table.sampleAgeMs(slot, fleet.clock.now()), 1070);
  const status = fleet.scraper.status(slot)!;
  deepStrictEqual([status.scrapes, status.errors, status.lastError], [2, 1, "No metrics within 1000 ms"]);
});

Deno.test("LoadScraper never reads an endpoint it could not see as idle", async () => {
  const fleet = new Fleet();
  const pages: (string | Error)[] = [new Error("refused"), "", "<html>hello</html>", "vllm:num_requests_waiting NaN\n"];
  pages.forEach((_, port) => fleet.add(port + 1));
  fleet.page = (port) => pages[port - 1];
  await fleet.run(30_000);
  for (const slot of fleet.table.slots()) {
    equal(fleet.table.sampleAgeMs(slot, fleet.clock.now()), Infinity);
    const { scrapes, errors } = fleet.scraper.status(slot)!;
    ok(scrapes > 5 && scrapes === errors);
  }
});

Deno.test("LoadScraper backs off from a failing endpoint even while it has requests", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  fleet.page = () => new Error("refused");
  const slot = fleet.add(1);
  new Reservation(fleet.table, slot, { prefillTokens: 1, decodeTokens: 1 });
  for (let i = 0; i < 200; i++) {
    fleet.scraper.poke(slot);
    await fleet.run(100);
  }
  ok(fleet.count(1) < 20, `${fleet.count(1)}`);
});

Deno.test("LoadScraper shares its scrapes a second among many busy endpoints", async () => {
  const fleet = new Fleet({ scrapesPerSecondMax: 100 });
  fleet.page = () => busyPage;
  for (let port = 1; port <= 50; port++) fleet.add(port);
  await fleet.run(1000);
  fleet.scrapes.clear();
  await fleet.run(10_000);
  const total = [...fleet.scrapes.values()].reduce((sum, times) => sum + times.length, 0);
  ok(total > 950 && total < 1060, `${total}`);
});

Deno.test("LoadScraper spreads endpoints that started together", async () => {
  const fleet = new Fleet();
  for (let port = 1; port <= 20; port++) fleet.add(port);
  await fleet.run(60_000);
  const last = new Set([...fleet.scrapes.values()].map((times) => Math.round(times.at(-1)!)));
  ok(last.size > 15, `${last.size} distinct times`);
});

Deno.test("LoadScraper fills adapters, attributes, geometry and own running count", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  fleet.page = () =>
    `vllm:num_requests_waiting 1
vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1
vllm:lora_requests_info{max_lora="2",running_lora_adapters="a",waiting_lora_adapters=""} 5
`;
  const slot = fleet.add(1);
  for (let i = 0; i < 4; i++) new Reservation(fleet.table, slot, { prefillTokens: 1, decodeTokens: 1 });
  await fleet.run(200);
  deepStrictEqual(fleet.geometry, [[slot, 100, 16]]);
  deepStrictEqual(fleet.table.meta(slot).adapters, { running: new Set(["a"]), waiting: new Set(), max: 2 });
  equal(fleet.table.running[slot], 3);
});

Deno.test("untrack() ends a running scrape and nothing of it reaches the slot's next endpoint", async () => {
  const fleet = new Fleet();
  let answer = (_: Uint8Array) => {};
  fleet.page = () => new Promise((resolve) => answer = resolve);
  const slot = fleet.add(1);
  await fleet.run(0);
  equal(fleet.running, 1);
  fleet.scraper.untrack(slot);
  fleet.table.remove(slot);
  equal(fleet.table.add(endpointMeta({ host: "h", port: 2 })), slot);
  answer(encoder.encode(busyPage));
  await fleet.run(5000);
  equal(fleet.running, 0);
  ok(Number.isNaN(fleet.table.sampleAtMs[slot]));
  equal(fleet.count(1), 1);
});

Deno.test("LoadScraper takes pushed load at once and scrapes seldom while it comes", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  const slot = fleet.add(1);
  fleet.page = () => busyPage;
  await fleet.run(200);
  for (let i = 0; i < 8; i++) {
    fleet.scraper.pushed(
      slot,
      i === 0 ? { running: 7, waiting: 1, kvUsage: 0.75, cacheBlocks: 10, cacheBlockTokens: 16 } : {},
    );
    if (i === 0) {
      const { running, waiting, kvUsage, sampleAtMs } = fleet.table;
      deepStrictEqual([running[slot], waiting[slot], kvUsage[slot], sampleAtMs[slot]], [7, 1, 0.75, 200]);
      deepStrictEqual(fleet.geometry, [[slot, 10, 16]]);
      fleet.scrapes.clear();
    }
    fleet.scraper.poke(slot);
    await fleet.run(5000);
  }
  ok(fleet.count(1) <= 6, `${fleet.count(1)} scrapes in 40 s`);
  equal(
    fleet.table.sampleAgeMs(slot, fleet.clock.now()) <= 8000,
    true,
    "an unchanged load is as fresh as its heartbeat",
  );
});

Deno.test("LoadScraper goes back to scraping when pushes stop, and keeps what overtook a page", async () => {
  const fleet = new Fleet({ jitterRatio: 0 });
  const slot = fleet.add(1);
  await fleet.run(100);
  const page = Promise.withResolvers<Uint8Array>();
  fleet.page = () => page.promise;
  await fleet.run(300);
  fleet.scraper.pushed(slot, { running: 9 });
  page.resolve(encoder.encode(busyPage));
  await settle();
  equal(fleet.table.running[slot], 9);
  fleet.page = () => busyPage;
  await fleet.run(20_000);
  equal(fleet.table.running[slot], 5);
  fleet.scrapes.clear();
  await fleet.run(1000);
  ok(fleet.count(1) >= 15, `${fleet.count(1)} scrapes in a second`);
});
