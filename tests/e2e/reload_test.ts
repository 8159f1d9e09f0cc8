/** A running program: new configuration without a dropped stream, and an orderly end. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { type SimServer, startSimServer } from "../../src/sim/mod.ts";
import { systemClock } from "../../src/core/mod.ts";
import { busy, fact, model, openAiError, post, until } from "./harness.ts";
import { endInOrder, type Program, replaceFile, withFolder, withProgram } from "./program.ts";

interface Running {
  readonly program: Program;
  readonly url: string;
  readonly adminUrl: string;
  readonly sims: readonly SimServer[];
  readonly path: string;
  /** Replaces the file by one with these endpoints. */
  configure(endpoints: readonly SimServer[], extra?: Extra): Promise<void>;
}

/** Further keys of the file: of its `server` section, and whole sections. */
interface Extra {
  readonly server?: string;
  readonly sections?: string;
}

const configText = (endpoints: readonly SimServer[], { server = "", sections = "" }: Extra) =>
  `server: { host: 127.0.0.1, port: 0, ${server} }
admin: { port: 0 }
memory: { prefixTree: 4MiB }
endpoints: [${endpoints.map(({ url }) => url).join(", ")}]
${sections}
`;

/** A program over the first of `count` simulators, ready. */
function withRunning(
  count: number,
  use: (running: Running) => Promise<void>,
  extra: Extra = {},
): Promise<void> {
  return withFolder(async (folder) => {
    const sims = Array.from({ length: count }, (_, i) => startSimServer({ port: 0, name: `sim-${i}` }));
    const path = join(folder, "warmpath.yaml");
    const configure = (endpoints: readonly SimServer[], extra: Extra = {}) =>
      replaceFile(path, configText(endpoints, extra));
    await configure(sims.slice(0, 1), extra);
    try {
      await withProgram(["serve", "--config", path], async (program) => {
        const { url, adminUrl } = await program.serving();
        await endpointsAre(adminUrl, sims.slice(0, 1));
        await use({ program, url, adminUrl, sims, path, configure });
      });
    } finally {
      await Promise.all(sims.map((each) => each.stop()));
    }
  });
}

/** Waits until exactly these endpoints are ready, with their models known. */
async function endpointsAre(adminUrl: string, sims: readonly SimServer[]): Promise<void> {
  const wanted = sims.map(({ url }) => url).sort();
  await until(`the endpoints are ${wanted}`, async () => {
    const endpoints: { url: string; state: string; models: unknown[] }[] = await (await fetch(
      `${adminUrl}/debug/endpoints`,
    )).json();
    const ready = endpoints.filter(({ state, models }) => state === "ready" && models.length > 0);
    const gone = endpoints.every(({ state }) => state === "ready" || state === "draining");
    return gone && JSON.stringify(ready.map(({ url }) => url).sort()) === JSON.stringify(wanted);
  });
}

const asked = (max_tokens: number) => ({ model, prompt: "Once upon a time", max_tokens, stream: true });

/** Starts a stream and reads its first event. */
async function startStream(url: string, tokens: number) {
  const response = await post(`${url}/v1/completions`, asked(tokens));
  equal(response.status, 200);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value!;
  return {
    pod: response.headers.get("x-inference-pod"),
    /** The whole text once the stream has ended. */
    async rest(): Promise<string> {
      for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
      return text;
    },
  };
}

const tokensIn = (text: string) => text.match(/"text":/g)?.length ?? 0;

for (const how of ["a change of the file", "SIGHUP"] as const) {
  fact(
    `${how} takes in new endpoints and lets go of old ones without dropping a running stream`,
    () =>
      withRunning(2, async ({ program, url, adminUrl, sims, configure }) => {
        // 6.35 ms a token: about 3 s, longer than the second between two looks at the file.
        const stream = await startStream(url, 400);
        equal(stream.pod, "sim-0");
        await configure([sims[1]]);
        if (how === "SIGHUP") program.signal("SIGHUP");
        await program.err.find(/"message":"Configuration reloaded"/);
        await endpointsAre(adminUrl, [sims[1]]);
        equal(busy(sims[0]), 1);
        const next = await post(`${url}/v1/completions`, { ...asked(1), stream: false });
        await next.body?.cancel();
        equal(next.headers.get("x-inference-pod"), "sim-1");
        const text = await stream.rest();
        match(text, /data: \[DONE\]\n\n$/);
        equal(tokensIn(text), 400);
        await until(
          "the old endpoint is gone",
          async () => (await (await fetch(`${adminUrl}/debug/endpoints`)).json()).length === 1,
        );
        await endInOrder(program);
      }),
  );
}

fact(
  "a bad new file changes nothing, and the log says where it is wrong; a good one after it is taken",
  () =>
    withRunning(2, async ({ program, url, adminUrl, sims, path, configure }) => {
      await configure(sims, { sections: "observe: { logLevel: loud }" });
      program.signal("SIGHUP");
      const line = JSON.parse(await program.err.find(/Cannot reload the configuration/));
      equal(line.level, "error");
      match(line.problem, new RegExp(`^${path}:5: observe\\.logLevel: must be one of`));
      await endpointsAre(adminUrl, sims.slice(0, 1));
      const served = await post(`${url}/v1/completions`, { ...asked(1), stream: false });
      await served.body?.cancel();
      equal(served.status, 200);
      const failed = await (await fetch(`${adminUrl}/metrics`)).text();
      match(failed, /warmpath_config_reload\w*\{[^}]*\} 1/);
      await configure(sims);
      program.signal("SIGHUP");
      await endpointsAre(adminUrl, sims);
      await endInOrder(program);
    }),
);

fact(
  "SIGTERM turns readiness off at once, lets a running stream end, and exits with 0",
  () =>
    withRunning(1, async ({ program, url, adminUrl }) => {
      const stream = await startStream(url, 150);
      program.signal("SIGTERM");
      await program.err.find(/"message":"Shutting down/);
      const readyz = await fetch(`${adminUrl}/readyz`);
      await readyz.body?.cancel();
      equal(readyz.status, 503);
      const refused = await post(`${url}/v1/completions`, asked(1));
      equal(refused.status, 503);
      equal((await openAiError(refused)).code, "shutting_down");
      const text = await stream.rest();
      match(text, /data: \[DONE\]\n\n$/);
      equal(tokensIn(text), 150);
      equal(await program.exit(), 0);
      const lines = program.out.seen.map((line) => JSON.parse(line));
      deepStrictEqual(lines.map(({ outcome }) => outcome).sort(), ["completed", "rejected-shutting-down"]);
    }),
);

fact(
  "a stream that outlasts the drain timeout is cut, its server is told, and the exit code is 0",
  () =>
    withRunning(1, async ({ program, url, sims }) => {
      const stream = await startStream(url, 20_000);
      const startedMs = systemClock.now();
      program.signal("SIGTERM");
      const rest = stream.rest().catch(() => "cut");
      equal(await program.exit(), 0);
      const tookMs = systemClock.now() - startedMs;
      ok(tookMs >= 500 && tookMs < 3000, `${tookMs} ms`);
      ok(!(await rest).endsWith("data: [DONE]\n\n"));
      await until("the engine is idle", () => busy(sims[0]) === 0);
      match(program.err.seen.join("\n"), /Requests are cut off as the drain timeout is over/);
    }, { server: "drainTimeout: 500ms" }),
);

fact(
  "a second SIGTERM ends the program at once, with exit code 1",
  () =>
    withRunning(1, async ({ program, url, sims }) => {
      const stream = await startStream(url, 20_000);
      program.signal("SIGTERM");
      await program.err.find(/"message":"Shutting down/);
      const rest = stream.rest().catch(() => "cut");
      program.signal("SIGTERM");
      equal(await program.exit(), 1);
      ok(!(await rest).endsWith("data: [DONE]\n\n"));
      await until("the engine is idle", () => busy(sims[0]) === 0);
    }),
);

fact(
  "latency.quantile stays as it is learned until the next start, the policy that predicts is taken over at once",
  () =>
    withRunning(1, async ({ url, adminUrl, sims, configure }) => {
      const asked = async () => {
        const answer = await post(`${url}/v1/completions`, { model, prompt: "x", max_tokens: 1 }, {
          headers: { "x-warmpath-predictions": "true" },
        });
        await answer.text();
        return answer.headers.get("server-timing") ?? "";
      };
      match(await asked(), /pttft90;/);
      await configure(sims.slice(0, 1), {
        sections: "scheduling: { policy: predicted }\nlatency: { quantile: 0.5, echo: always }",
      });
      await until("the policy predicts", async () => {
        const config = await (await fetch(`${adminUrl}/debug/config`)).json();
        return config.latency.echo === "always";
      });
      match(await asked(), /pttft90;/);
    }),
);
