/**
 * `peers`: what do other routers and proxies cost, for the same requests to the same servers on the same machine?
 *
 *     deno task bench peers [--peers smg,vllm-router,…] [--seconds 2] [--rounds 3] [--json]
 *
 * Peers are installed at the start into a temporary folder by the machine's own pip, npm and apt-get, and removed at the end;
 * nothing of them is in this repository. One that cannot be had, does not start, does not pass streams on as they come or
 * fails a request is reported as missing with the reason. `bench/peers/` holds how each is started:
 *   smg, vllm-router, sglang-router   routers for model servers, with their cache-aware policy
 *   envoy, haproxy, nginx             plain proxies: the fewest requests or connections, no look at the prompt
 *   portkey                           a gateway on Node, its targets balanced by weight
 *   warmpath, relay                   `serve --endpoints`, and the bare relay to one server (no choice to make)
 * All by their defaults, logs and numbers of threads included. Four simulated servers in one process (no model) send chunks
 * of about 200 bytes 20 ms apart. In each round every program runs alone: started, warmed, measured, ended; the order is
 * reversed every other round. CPU is user + system time of the whole process tree, less what it used while idle.
 *
 * Members of `peers` by name, medians over the rounds:
 *   version
 *   cpu_us_per_chunk         100 streams at once; left out where fewer than 97 % of the chunks came at their pace
 *   cpu_us_per_request       short requests that are not streamed, 16 connections busy
 *   cpu_us_per_request_8k, cpu_us_per_request_100k   prompts of that many tokens (four bytes each), 95 % of each shared with
 *                            every eighth other, 4 connections busy, answers not streamed
 *   added_ms_p50, added_ms_p99   first body byte of a stream, less the same quantile when asked of a server directly; one
 *                            request at a time, taking turns
 *   rss_mb                   memory of the process tree at the end of the round; pages shared by processes count for each
 *   idle_cores               CPU while nothing is asked
 * Figures:
 *   chunk_ratio_NAME, request_ratio_NAME, request_ratio_8k_NAME, request_ratio_100k_NAME   the peer's CPU divided by
 *                            Warmpath's of the same round: above 1, Warmpath costs less
 */
import {
  type Bench,
  type BenchContext,
  type Flags,
  list,
  positive,
  positiveInteger,
  type Report,
  UsageError,
} from "./lib/bench.ts";
import { freePorts } from "./lib/child.ts";
import { untilAnswers } from "./lib/load.ts";
import { commit } from "./lib/machine.ts";
import { orderOf } from "./lib/measure.ts";
import type { Progress } from "./lib/progress.ts";
import { type Program, Programs } from "./lib/programs.ts";
import { Figures } from "./lib/stats.ts";
import { envoy } from "./peers/envoy.ts";
import { haproxy } from "./peers/haproxy.ts";
import { install, lastLines } from "./peers/install.ts";
import { measureRound, type Round, type Setting } from "./peers/measure.ts";
import { nginx } from "./peers/nginx.ts";
import type { Peer } from "./peers/peer.ts";
import { portkey } from "./peers/portkey.ts";
import { sglangRouter, smg, vllmRouter } from "./peers/routers.ts";

export const peersKnown: readonly Peer[] = [smg, vllmRouter, sglangRouter, envoy, haproxy, nginx, portkey];

/** Until a program must have answered its first request. */
const startMsMax = 30_000;

/** A program to measure; started anew in every round. */
interface Subject {
  readonly name: string;
  readonly version: string;
  start(programs: Programs, upstreams: readonly string[]): Promise<Program>;
}

/** Names of ratios, and the figures they divide. */
const ratioFigures = [
  ["chunk_ratio", "cpu_us_per_chunk"],
  ["request_ratio", "cpu_us_per_request"],
  ["request_ratio_8k", "cpu_us_per_request_8k"],
  ["request_ratio_100k", "cpu_us_per_request_100k"],
] as const;

const smokeSetting: Setting = {
  streams: 5,
  gapMs: 10,
  seconds: 0.4,
  rounds: 1,
  chunkShareMin: 0,
  rampMs: 100,
  firstBytes: 5,
  prompts: { "8k": 500, "100k": 2000 },
};

export const peers: Bench = {
  name: "peers",
  summary: "What do other routers and proxies cost for the same requests?",
  flags: [
    {
      flag: "--peers <names>",
      about: "beside warmpath and relay",
      fallback: peersKnown.map(({ name }) => name).join(),
    },
    { flag: "--seconds <n>", about: "length of one measurement", fallback: "2" },
    { flag: "--rounds <n>", about: "measurements of each program", fallback: "3" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting: Setting = context.smoke ? smokeSetting : {
      streams: 100,
      gapMs: 20,
      seconds: positive(flags, "seconds"),
      rounds: positiveInteger(flags, "rounds"),
      chunkShareMin: 0.97,
      rampMs: 2000,
      firstBytes: 100,
      prompts: { "8k": 8000, "100k": 100_000 },
    };
    const named = namedPeers(flags);
    const folder = await Deno.makeTempDir({ prefix: "warmpath-peers-" });
    try {
      // Nothing is downloaded to see whether the benchmark runs.
      return { setting, ...await compare(context.smoke ? [] : named, folder, setting, context) };
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
};

function namedPeers(flags: Flags): Peer[] {
  return list(flags, "peers").map((name) => {
    const peer = peersKnown.find((peer) => peer.name === name);
    if (peer) return peer;
    const known = peersKnown.map(({ name }) => name).join(", ");
    throw new UsageError(`Cannot use --peers as each must be one of ${known}: one is "${name}"`);
  });
}

/** Programs that were to be measured and could not be, with the reason. */
class Missing {
  readonly reasons: Record<string, { readonly reason: string }> = {};

  constructor(readonly progress: Progress) {}

  /** The result of `get`; undefined when it fails, and `name` is missing from then on. */
  async unlessMissing<T>(name: string, get: () => Promise<T>): Promise<T | undefined> {
    if (name in this.reasons) return undefined;
    try {
      return await get();
    } catch (error) {
      const reason = lastLines(error instanceof Error ? error.message : String(error));
      this.reasons[name] = { reason };
      this.progress.note(`${name} is missing: ${reason}`);
      return undefined;
    }
  }
}

async function compare(
  named: readonly Peer[],
  folder: string,
  setting: Setting,
  { progress }: BenchContext,
): Promise<Report> {
  const missing = new Missing(progress);
  const subjects: Subject[] = [
    { name: "warmpath", version: commit(), start: (programs, upstreams) => programs.router(upstreams) },
    {
      name: "relay",
      version: `Deno ${Deno.version.deno}`,
      start: (programs, upstreams) => programs.relay(upstreams[0]),
    },
  ];
  for (const [i, peer] of named.entries()) {
    progress.update("installing", i, named.length);
    const home = `${folder}/${peer.name}`;
    const version = await missing.unlessMissing(peer.name, () => install(peer.package, home));
    if (version !== undefined) subjects.push(subjectOf(peer, version, home));
  }
  const rounds: Map<string, Round>[] = [];
  for (let round = 0, done = 0; round < setting.rounds; round++) {
    const measured = new Map<string, Round>();
    for (const subject of orderOf(subjects, round)) {
      progress.update(`round ${round + 1}`, done++, setting.rounds * subjects.length);
      const figures = await missing.unlessMissing(subject.name, () => startAndMeasure(subject, setting, progress));
      if (figures) measured.set(subject.name, figures);
    }
    rounds.push(measured);
  }
  const found = subjects.filter(({ name }) => !(name in missing.reasons));
  return { peers: tableOf(found, rounds), missing: missing.reasons, figures: ratiosOf(found, rounds) };
}

/** Medians over the rounds, a row for each program. */
function tableOf(found: readonly Subject[], rounds: readonly Map<string, Round>[]) {
  return Object.fromEntries(found.map(({ name, version }) => {
    const row = new Figures();
    for (const round of rounds) for (const [figure, value] of Object.entries(round.get(name)!)) row.add(figure, value);
    return [name, { version, ...row.medians() }];
  }));
}

/** Every program's CPU over Warmpath's, of the same round. */
function ratiosOf(found: readonly Subject[], rounds: readonly Map<string, Round>[]): Record<string, number> {
  const ratios = new Figures();
  for (const { name } of found) {
    if (name === "warmpath") continue;
    for (const [ratio, figure] of ratioFigures) {
      for (const round of rounds) {
        ratios.add(
          `${ratio}_${name.replaceAll("-", "_")}`,
          round.get(name)![figure] / (round.get("warmpath")?.[figure] ?? NaN),
        );
      }
    }
  }
  return ratios.toRecord();
}

/** One start of a program with servers of its own. */
async function startAndMeasure(subject: Subject, setting: Setting, progress: Progress): Promise<Round> {
  await using programs = new Programs(progress);
  // A program that stops answering is ended, and with it whatever waits for it.
  const timer = setTimeout(() => void programs.stop(), startMsMax + 20_000 * setting.seconds);
  try {
    const upstreams = await programs.upstreams(setting.gapMs, 4);
    return await measureRound(await subject.start(programs, upstreams), { url: upstreams[0] }, setting);
  } finally {
    clearTimeout(timer);
  }
}

/** A peer installed in `installed`. */
function subjectOf(peer: Peer, version: string, installed: string): Subject {
  const start = async (programs: Programs, upstreams: readonly string[]): Promise<Program> => {
    const work = await Deno.makeTempDir({ dir: installed, prefix: "start-" });
    const [port, adminPort] = freePorts(2);
    const hosts = upstreams.map((url) => new URL(url).host);
    const { program, args, env, files = {}, headers } = peer.start({
      installed,
      work,
      port,
      adminPort,
      upstreams: hosts,
    });
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${work}/${name}`, text);
    const child = programs.launch({ name: peer.name, program, args, env, cwd: work });
    const target = { url: `http://127.0.0.1:${port}`, headers };
    await untilAnswers(target, { ms: startMsMax, unless: () => child.lastWords });
    return { name: peer.name, target, child };
  };
  return { name: peer.name, version, start };
}
