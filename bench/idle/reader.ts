// The router's side of load, and nothing else of a router: `reader.ts feed|scrape PORT,PORT,…`. Prints {"ready": n} once it
// has heard from all of them.
import { endpointMeta, EndpointTable, Prng, systemClock } from "../../src/core/mod.ts";
import { AgentSource, EndpointFeed, type LoadSample, seedCheck } from "../../src/kv/mod.ts";
import { Dialects, HttpFetcher, LoadScraper } from "../../src/pool/mod.ts";
import { openTree } from "./tree.ts";

const [mode, list] = Deno.args;
const ports = list.split(",").map(Number);
const table = new EndpointTable(ports.length);
const slots = ports.map((port) => table.add(endpointMeta({ host: "127.0.0.1", port })));
const heard = new Set<number>();

function hear(slot: number): void {
  heard.add(slot);
  if (heard.size === ports.length) console.log(JSON.stringify({ ready: heard.size }));
}

function keep(slot: number, { running, waiting, kvUsage }: LoadSample): void {
  table.running[slot] = running ?? 0;
  table.waiting[slot] = waiting ?? 0;
  table.kvUsage[slot] = kvUsage ?? 0;
  table.sampleAtMs[slot] = systemClock.now();
  hear(slot);
}

if (mode === "feed") {
  const tree = await openTree(ports.length);
  const check = seedCheck(tree);
  for (const slot of slots) {
    new EndpointFeed({
      slot,
      source: new AgentSource({ host: "127.0.0.1", port: ports[slot], seedCheck: check }),
      tree,
      clock: systemClock,
      rng: new Prng(slot),
      clear: () => tree.clear(slot),
      onLoad: (sample) => keep(slot, sample),
    }).start();
  }
} else {
  const scraper = new LoadScraper({
    table,
    clock: systemClock,
    prng: new Prng(1),
    dialects: new Dialects(),
    fetchText: new HttpFetcher().fetch,
    observer: { scraped: (slot) => hear(slot) },
  });
  for (const slot of slots) scraper.track(slot);
}
// Timers of the feeds and of the scraper do not keep a process alive.
setInterval(() => {}, 60_000);
