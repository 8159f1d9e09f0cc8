/**
 * `soak`: does the router's memory grow over a million short requests?
 *
 *     deno task bench soak [--requests 1000000] [--connections 32] [--workers 1] [--json]
 *
 * Three processes on one machine, over loopback: this one keeps `--connections` busy; a server answers every chat completion
 * at once with 60 tokens (simulated, no model); the router is `serve --workers N`, all else default. Every request has a
 * prompt of its own, so that the prefix tree and every table are filled as far as they get: the tree's entries lie wherever
 * their hashes say, so that its region is touched page by page. Memory is resident, looked at after each hundredth part;
 * the first two fifths of the requests are warm-up.
 *
 * Figures:
 *   requests                 that were answered
 *   rss_warm_mb, rss_end_mb  median of the looks in the fifth tenth and in the last
 *   rss_growth               the latter over the former, less 1
 *   rss_most_mb              highest look after the warm-up
 *   rps                      requests a second
 */
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { batch } from "./lib/load.ts";
import { memoryMb } from "./lib/procfs.ts";
import { Programs } from "./lib/programs.ts";
import { shortBody } from "./lib/prompts.ts";
import { quantile } from "./lib/stats.ts";

const looks = 100;
const encoder = new TextEncoder();

export const soak: Bench = {
  name: "soak",
  summary: "Does memory grow over a million short requests?",
  flags: [
    { flag: "--requests <n>", about: "requests in all", fallback: "1000000" },
    { flag: "--connections <n>", about: "connections kept busy", fallback: "32" },
    { flag: "--workers <n>", about: "edge isolates", fallback: "1" },
  ],
  async run(flags: Flags, { smoke, progress }: BenchContext): Promise<Report> {
    const total = smoke ? 2_000 : positiveInteger(flags, "requests");
    const connections = smoke ? 4 : positiveInteger(flags, "connections");
    await using programs = new Programs(progress);
    const upstreams = await programs.upstreams(0, 2);
    const router = await programs.router(upstreams, "--workers", String(positiveInteger(flags, "workers")));
    const rssMb: number[] = [];
    const startMs = performance.now();
    let sent = 0;
    for (let look = 0; look < looks; look++) {
      progress.update("requests", look, looks);
      await batch(
        router.target,
        { count: Math.ceil(total / looks), inFlight: connections, rampMs: 0 },
        () => numbered(sent++),
      );
      rssMb.push(memoryMb(router.child.pid, "VmRSS"));
    }
    const tookS = (performance.now() - startMs) / 1000;
    const median = (from: number) => quantile(rssMb.slice(from, from + looks / 10).sort((a, b) => a - b), 0.5);
    const warmAt = looks * 2 / 5;
    const warm = median(warmAt), end = median(looks - looks / 10);
    const figures = {
      requests: sent,
      rss_warm_mb: warm,
      rss_end_mb: end,
      rss_growth: end / warm - 1,
      rss_most_mb: Math.max(...rssMb.slice(warmAt)),
      rps: sent / tookS,
    };
    return { setting: { total, connections }, figures, rss_mb: rssMb };
  },
};

const template = new TextDecoder().decode(shortBody({ maxTokens: 60, stream: false }));

/** The short request with a number in front of its prompt. */
function numbered(number: number): Uint8Array {
  return encoder.encode(template.replace('"content":"', `"content":"${number} `));
}
