/**
 * Three model servers of which one is killed and restarted every second, under 50 requests a second for a minute. A request
 * may be lost only after its client has begun to read the answer; nothing else may be lost, kept or lengthened.
 */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Prng, sleep, systemClock } from "../../src/core/mod.ts";
import { until } from "../e2e/harness.ts";
import { type Fate, openLoad } from "./load.ts";
import { defaultCost } from "../../src/sim/mod.ts";
import { MortalServers } from "./mortal_servers.ts";
import { RouterProcess } from "./router_process.ts";

const durationMs = 60_000;
const requestsPerS = 50;
const killEveryMs = 1_000;
/** Resident memory, from the tenth second to the last. */
const growthMaxMiB = 20;
const model = "sim/model-8b";

/** What was seen of the process while it ran. */
interface Watch {
  readonly rssMiB: { readonly atMs: number; readonly value: number }[];
  /** Looks at readiness, and those that found it lost. */
  looks: number;
  unready: number;
}

async function watch(router: RouterProcess, signal: AbortSignal): Promise<Watch> {
  const seen: Watch = { rssMiB: [], looks: 0, unready: 0 };
  const startMs = systemClock.now();
  for (let i = 0; !signal.aborted; i++) {
    seen.looks++;
    if (!(await router.ready())) seen.unready++;
    if (i % 10 === 0) {
      const bytes = await router.metric("warmpath_process_memory_bytes", 'kind="rss"');
      seen.rssMiB.push({ atMs: systemClock.now() - startMs, value: bytes / 2 ** 20 });
    }
    await sleep(systemClock, 100, signal).catch(() => {});
  }
  return seen;
}

async function killEverySecond(servers: MortalServers): Promise<void> {
  const prng = new Prng(7);
  const startMs = systemClock.now();
  let index = 0;
  for (let next = killEveryMs; next < durationMs; next += killEveryMs) {
    await sleep(systemClock, Math.max(0, startMs + next - systemClock.now()));
    // Another one than the last, which has only just come back; on a slow machine the next one waits for its return.
    index = (index + 1 + prng.below(servers.urls.length - 1)) % servers.urls.length;
    await servers.killAndRestart(index);
  }
}

Deno.test({
  name: "a pool whose servers are killed one a second loses no request that has no byte yet, and keeps nothing",
  async fn() {
    // 40 to 110 tokens at 6 to 8 ms each: answers of 250 to 900 ms, also when one server has the load of three.
    const cost = { ...defaultCost, stepPerRequestMs: 0.03, prefillTokensPerS: 100_000 };
    await using servers = await MortalServers.start(3, { model, cost });
    await using router = await RouterProcess.start({
      server: { host: "127.0.0.1", port: 0 },
      admin: { port: 0 },
      memory: { prefixTree: "16MiB" },
      scheduling: { seed: 1 },
      // The worker that trains is there before memory is first looked at, and trains again and again after that.
      latency: { training: { interval: "1s", minSamples: 100 } },
      endpoints: servers.urls,
      // A third of the pool dies every second: more requests are sent again than the budget's tenth.
      upstream: { retryBudget: { ratio: 1 } },
    });
    await until(
      "every server is ready",
      async () => (await router.endpoints()).every(({ state, models }) => state === "ready" && models.length > 0),
    );
    const over = new AbortController();
    const watching = watch(router, over.signal);
    const [fates] = await Promise.all([
      openLoad({ url: router.url, model, requestsPerS, durationMs, seed: 3, streams: 0.6, tokens: [40, 110] }),
      killEverySecond(servers),
    ]);
    over.abort();
    await check(router, servers, fates, await watching);
    await router.stop();
  },
});

async function check(router: RouterProcess, servers: MortalServers, fates: readonly Fate[], seen: Watch) {
  const { rssMiB, looks, unready } = seen;
  const lost = fates.filter(({ complete }) => !complete);
  const early = lost.filter(({ bytes }) => bytes === 0);
  const before = rssMiB.find(({ atMs }) => atMs >= 10_000)!.value, after = rssMiB.at(-1)!.value;
  const report = {
    requests: fates.length,
    complete: fates.length - lost.length,
    lostWithBytes: lost.length - early.length,
    lostWithout: early.length,
    retries: await router.metric("warmpath_upstream_retries_total"),
    kills: servers.kills,
    longestRestartMs: Math.round(servers.longestRestartMs),
    unready: `${unready} of ${looks} looks`,
    rssMiB: rssMiB.filter((_, i) => i % 10 === 0).map(({ value }) => Math.round(value)).join(" "),
  };
  console.log(JSON.stringify(report));
  deepStrictEqual(early, [], "requests lost before their first byte");
  ok(fates.length > 0.9 * requestsPerS * durationMs / 1000, JSON.stringify(report));
  ok(servers.kills >= 45 && report.lostWithBytes > 0 && report.retries > 0, `kills hit: ${JSON.stringify(report)}`);
  ok(after - before < growthMaxMiB, `memory stays flat: ${JSON.stringify(report)}`);
  equal(unready, 0, "two of three servers stand at any time: the router is always ready");

  await until(
    "nothing is reserved",
    async () =>
      (await router.endpoints()).every(({ inFlight }) => Object.values(inFlight).every((value) => value === 0)),
    5_000,
  );
  equal(await router.metric("warmpath_request_running"), 0);
  // An ejection grows to 30 s at most.
  await until(
    "every server is ready again",
    async () => (await router.endpoints()).every(({ state }) => state === "ready"),
    40_000,
  );
  // They are gathered for a while before they are written.
  await until("every request has its line", () => router.accessLines.length >= fates.length);
  const ids = router.accessLines.map(({ id }) => id).toSorted();
  deepStrictEqual(ids, fates.map(({ id }) => id).toSorted(), "each request has one line in the access log");
  deepStrictEqual(router.logLines.filter(({ level }) => level === "error"), []);
}
