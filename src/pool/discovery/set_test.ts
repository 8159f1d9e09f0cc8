import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import { type DiscoveredEndpoint, type Discovery, endpointId } from "./discovery.ts";
import { DiscoverySet } from "./set.ts";

/** A source the test speaks for; `begun` ends its start. */
class Spoken implements Discovery {
  readonly begun = Promise.withResolvers<void>();
  say: (list: readonly DiscoveredEndpoint[]) => void = () => {};
  stops = 0;

  constructor(readonly name = "spoken") {}

  start(onChange: (list: readonly DiscoveredEndpoint[]) => void): Promise<void> {
    this.say = onChange;
    return this.begun.promise;
  }

  stop(): void {
    this.stops++;
  }
}

const endpoint = (port: number): DiscoveredEndpoint => ({ scheme: "http", host: "h", port, labels: {} });

function collect(...sources: Spoken[]) {
  const applied: [ids: string[], complete: boolean][] = [];
  const set = new DiscoverySet(sources, {}, (desired, complete) => {
    applied.push([[...desired.values()].map(endpointId), complete]);
  });
  return { set, applied };
}

Deno.test("DiscoverySet joins its sources and says when all have spoken", () => {
  const [a, b] = [new Spoken(), new Spoken()];
  const { set, applied } = collect(a, b);
  void set.start();
  b.say([endpoint(2), endpoint(3)]);
  a.say([endpoint(1), endpoint(2)]);
  a.say([]);
  deepStrictEqual(applied, [
    [["h:2", "h:3"], false],
    [["h:1", "h:2", "h:3"], true],
    [["h:2", "h:3"], true],
  ]);
});

Deno.test("replace() applies new sources only once all have started", async () => {
  const [old, next] = [new Spoken(), new Spoken()];
  const { set, applied } = collect(old);
  void set.start();
  old.say([endpoint(1)]);
  const replaced = set.replace([next]);
  next.say([endpoint(2)]);
  old.say([endpoint(1), endpoint(3)]);
  deepStrictEqual(applied.at(-1), [["h:1", "h:3"], true]);
  next.begun.resolve();
  await replaced;
  deepStrictEqual(applied.at(-1), [["h:2"], true]);
  equal(old.stops, 1);
});

Deno.test("replace() keeps the old sources and stops all new ones when one fails", async () => {
  const [old, good, bad] = [new Spoken(), new Spoken(), new Spoken()];
  const { set, applied } = collect(old);
  void set.start();
  good.begun.resolve();
  bad.begun.reject(new Error("bad"));
  await rejects(set.replace([good, bad]), /bad/);
  deepStrictEqual([old.stops, good.stops, bad.stops], [0, 1, 1]);
  old.say([endpoint(1)]);
  deepStrictEqual(applied, [[["h:1"], true]]);
});

Deno.test("stop() also ends sources that are still starting", async () => {
  const [old, next] = [new Spoken(), new Spoken()];
  const { set, applied } = collect(old);
  const started = set.start();
  const replaced = set.replace([next]);
  set.stop();
  old.begun.resolve();
  next.begun.resolve();
  await Promise.all([started, replaced]);
  next.say([endpoint(1)]);
  deepStrictEqual(applied, []);
  equal(old.stops > 0 && next.stops > 0, true);
});
