/** A whole router over simulated or recording model servers: one process, real sockets, free ports. */
import { fail, ok } from "node:assert/strict";
import { sleep, systemClock } from "../../src/core/mod.ts";
import { type Config, loadConfigText, resolveConfig } from "../../src/config/mod.ts";
import { Router } from "../../src/commands/mod.ts";
import { type SimOptions, type SimServer, startSimServer } from "../../src/sim/mod.ts";
import { parsePrometheus } from "../../src/telemetry/testing.ts";

/** The base model of the simulators. */
export const model = "sim/model-8b";

/** Registers a test that may leave nothing behind: no timer, no socket, no unfinished operation. */
export function fact(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: true, sanitizeResources: true });
}

/** Waits for what another thread of events brings about; fails after `deadlineMs` naming what did not come. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<void> {
  const endMs = systemClock.now() + deadlineMs;
  while (!(await condition())) {
    if (systemClock.now() > endMs) fail(`Not within ${deadlineMs} ms: ${what}`);
    await sleep(systemClock, 2);
  }
}

/**
 * Checks that something takes less than `limitMs`: in one of five rounds, since a busy machine delays any of them and never
 * hurries one.
 */
export async function faster(limitMs: number, round: () => Promise<number>): Promise<void> {
  const tookMs: number[] = [];
  do tookMs.push(await round()); while (tookMs.at(-1)! >= limitMs && tookMs.length < 5);
  ok(tookMs.at(-1)! < limitMs, `took ${tookMs.map((ms) => ms.toFixed(1)).join(", ")} ms`);
}

/** One line of the access log, parsed. */
export type AccessLine = Readonly<Record<string, unknown>>;

/** What a test is given. */
export interface Stage {
  readonly router: Router;
  /** Of the clients' port, without a slash at the end. */
  readonly url: string;
  readonly adminUrl: string;
  readonly sims: readonly SimServer[];
  readonly accessLines: readonly AccessLine[];
  /** Lines of the router's log, parsed. */
  readonly logLines: readonly Readonly<Record<string, unknown>>[];
  /** The access line of the request with this id, once it is written. */
  accessLine(id: string): Promise<AccessLine>;
}

export interface StageOptions {
  /** One simulator for each item; `speed` is 20 and `seed` the position where an item does not say. */
  readonly sims?: readonly Partial<SimOptions>[];
  /** Further endpoints, as the configuration's `endpoints` takes them. */
  readonly endpoints?: readonly (string | Readonly<Record<string, unknown>>)[];
  /** Sections of the configuration; ports, hosts and small memory are filled in. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** False: the test begins before any endpoint is ready. */
  readonly ready?: boolean;
}

/** Starts simulators and a router over them, runs `use` once every endpoint is known, and stops all of it. */
export async function withRouter(options: StageOptions, use: (stage: Stage) => Promise<void>): Promise<void> {
  const sims = (options.sims ?? []).map((sim, seed) =>
    startSimServer({ port: 0, name: `sim-${seed}`, speed: 20, seed, ...sim })
  );
  try {
    await routed(options, sims, use);
  } finally {
    await Promise.all(sims.map((sim) => sim.stop()));
  }
}

async function routed(
  options: StageOptions,
  sims: readonly SimServer[],
  use: (stage: Stage) => Promise<void>,
): Promise<void> {
  const accessLines: AccessLine[] = [], logLines: Record<string, unknown>[] = [];
  const config = configOf(options.config ?? {}, [...sims.map(({ url }) => url), ...options.endpoints ?? []]);
  const router = await Router.start(config, {
    out: (line) => void accessLines.push(JSON.parse(line)),
    err: (line) => void logLines.push(JSON.parse(line)),
    errIsTerminal: false,
  });
  const accessLine = async (id: string) => {
    const found = () => accessLines.find((line) => line.id === id);
    await until(`access line of request ${id}`, () => found() !== undefined);
    return found()!;
  };
  try {
    if (options.ready !== false) await known(router);
    await use({
      router,
      url: `http://127.0.0.1:${router.port}`,
      adminUrl: `http://127.0.0.1:${router.adminPort}`,
      sims,
      accessLines,
      logLines,
      accessLine,
    });
  } finally {
    await router.stop(0);
  }
}

/** A configuration: sections given by the test over the ones every test needs. */
export function configOf(sections: Readonly<Record<string, unknown>>, endpoints: readonly unknown[]): Config {
  const { server, admin, memory, scheduling, ...rest } = sections as Record<string, Record<string, unknown>>;
  // JSON is YAML.
  const text = JSON.stringify({
    server: { host: "127.0.0.1", port: 0, bodyBytesMax: "1MiB", ...server },
    admin: { host: "127.0.0.1", port: 0, ...admin },
    memory: { prefixTree: "4MiB", ...memory },
    scheduling: { seed: 1, ...scheduling },
    ...(endpoints.length > 0 ? { endpoints } : {}),
    ...rest,
  });
  return resolveConfig(loadConfigText(text, "e2e.yaml"));
}

/** Every endpoint is ready and has told its models and its load. */
async function known(router: Router): Promise<void> {
  await until("every endpoint is known", () => {
    const endpoints = router.pool.snapshot();
    return endpoints.length > 0 &&
      endpoints.every(({ state, models, load }) => state === "ready" && models.length > 0 && load !== null);
  });
}

/** Requests and tokens that the endpoint table counts as in flight, over all endpoints. */
export function reserved({ router }: Stage): { requests: number; prefillTokens: number; decodeTokens: number } {
  const sum = { requests: 0, prefillTokens: 0, decodeTokens: 0 };
  for (const { inFlight } of router.pool.snapshot()) {
    sum.requests += inFlight.requests;
    sum.prefillTokens += inFlight.prefillTokens;
    sum.decodeTokens += inFlight.decodeTokens;
  }
  return sum;
}

export const nothingReserved = { requests: 0, prefillTokens: 0, decodeTokens: 0 };

/**
 * The sum of a metric over its series, or the one series named with all its labels, at the operators' port; 0 where there is
 * none.
 */
export async function metric({ adminUrl }: Pick<Stage, "adminUrl">, series: string): Promise<number> {
  const page = await (await fetch(`${adminUrl}/metrics`)).text();
  // Every line of the page must be one.
  parsePrometheus(page);
  const name = `warmpath_${series}`;
  const lines = page.split("\n").filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

/** Requests that run or wait in a simulator. */
export function busy(sim: SimServer): number {
  return sim.models.ranks.reduce((sum, rank) => {
    const { running, waiting } = rank.metrics();
    return sum + running + waiting;
  }, 0);
}

/** POSTs JSON: an object is written by `JSON.stringify`, a string goes as it is. */
export function post(
  url: string,
  body: unknown,
  init: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal } = {},
): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...init.headers },
    body: typeof body === "string" ? body : JSON.stringify(body),
    signal: init.signal,
  });
}

/** The `data:` payloads of an event stream's text. */
export function eventData(text: string): string[] {
  return text.split(/\r?\n\r?\n/).flatMap((event) => {
    const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
    return lines.length === 0 ? [] : [lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n")];
  });
}

/** The error of an OpenAI-shaped answer; fails when it has another shape. */
export async function openAiError(response: Response): Promise<Record<string, unknown>> {
  const { error } = await response.json();
  ok(error && typeof error.message === "string" && typeof error.type === "string", JSON.stringify(error));
  ok("param" in error && "code" in error, JSON.stringify(error));
  return error;
}
