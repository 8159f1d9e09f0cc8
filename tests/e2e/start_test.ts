/** How the program starts, and what it says when it cannot. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { startSimServer } from "../../src/sim/mod.ts";
import { systemClock } from "../../src/core/mod.ts";
import { fact, model, post, until } from "./harness.ts";
import { endInOrder, runProgram, withFolder, withProgram } from "./program.ts";

const free = ["--port", "0", "--admin-port", "0"];

fact(
  "with nothing configured it serves a demo pool within 3 s, says so, and its curl line works",
  () =>
    withProgram(["serve", ...free], async (program) => {
      const { url, adminUrl } = await program.serving();
      const shown = await program.err.find(/curl -N/);
      ok(shown.includes(`${url}/v1/chat/completions`), shown);
      const body = /-d '(.*)'$/.exec(await program.err.find(/-d '/))![1];
      await until("it is ready", async () => {
        const readyz = await fetch(`${adminUrl}/readyz`);
        await readyz.body?.cancel();
        return readyz.status === 200;
      });
      const answer = await post(`${url}/v1/chat/completions`, body);
      equal(answer.status, 200);
      match(await answer.text(), /data: \[DONE\]\n\n$/);
      const tookMs = systemClock.now() - program.startedMs;
      ok(tookMs < 3000, `${tookMs} ms`);
      match(program.err.seen.join("\n"), /DEMO POOL.*SIMULATED/);
      const { endpoints } = await (await fetch(`${adminUrl}/readyz`)).json();
      equal(endpoints.total, 3);
      await endInOrder(program);
      const lines = program.out.seen.map((line) => JSON.parse(line));
      deepStrictEqual(lines.map(({ api, status, model }) => [api, status, model]), [["chat", 200, model]]);
    }),
);

fact("`serve` is the default command, and environment variables count as flags", async () => {
  const sim = startSimServer({ port: 0, speed: 20 });
  try {
    await withProgram(free, async (program) => {
      const { adminUrl } = await program.serving();
      const [endpoint] = await (await fetch(`${adminUrl}/debug/endpoints`)).json();
      equal(endpoint.url, sim.url);
      await endInOrder(program);
    }, { WARMPATH_ENDPOINTS: sim.url });
  } finally {
    await sim.stop();
  }
});

fact("an llm-d EndpointPickerConfig given by --config schedules over --endpoints", () =>
  withFolder(async (folder) => {
    const sims = [0, 1].map((seed) => startSimServer({ port: 0, name: `sim-${seed}`, speed: 20 }));
    const path = join(folder, "picker.yaml");
    await Deno.writeTextFile(
      path,
      `apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: session-affinity-scorer
- type: max-score-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: session-affinity-scorer
    weight: 1
  - pluginRef: max-score-picker
`,
    );
    try {
      const args = ["serve", ...free, "--config", path, "--endpoints", sims.map(({ url }) => url).join(",")];
      await withProgram(args, async (program) => {
        const { url, adminUrl } = await program.serving();
        await until("both are ready", async () =>
          (await (await fetch(`${adminUrl}/readyz`)).json()).endpoints.ready === 2);
        const asked = { model, prompt: "x", max_tokens: 1 };
        const first = await post(`${url}/v1/completions`, asked);
        await first.body?.cancel();
        const token = first.headers.get("x-session-token")!;
        for (let i = 0; i < 6; i++) {
          const again = await post(`${url}/v1/completions`, asked, { headers: { "x-session-token": token } });
          await again.body?.cancel();
          equal(again.headers.get("x-inference-pod"), first.headers.get("x-inference-pod"));
        }
        const decided = await post(`${adminUrl}/debug/decide?path=/v1/completions`, asked);
        const { explanation } = await decided.json();
        deepStrictEqual(
          explanation.candidates[0].scores.map(({ plugin }: { plugin: string }) =>
            plugin
          ),
          ["session-affinity-scorer"],
        );
        await endInOrder(program);
      });
    } finally {
      await Promise.all(sims.map((sim) => sim.stop()));
    }
  }));

/** What is wrong with a file, and how the message about it begins: `LINE: key: …`. */
const mistakes: readonly (readonly [string, string, RegExp])[] = [
  ["an unknown key", "server:\n  prot: 1\n", /:2: server\.prot: must be a known key.*server\.port/],
  ["a wrong type", "\nserver:\n  port: eighty\n", /:3: server\.port: must be .*"eighty"/],
  [
    "a name used twice",
    "endpoints:\n- {url: http://a:1, name: x}\n- {url: http://b:1, name: x}\n",
    /:3: endpoints\[1\]\.name: must be unique.*:2\)/,
  ],
  ["a YAML error", "server:\n  port: [1\n", /:\d+: /],
  [
    "an unreachable file",
    "scheduling:\n  endpointPickerConfig: not-there.yaml\n",
    /:2: scheduling\.endpointPickerConfig: .*no such file/,
  ],
  ["an unreachable list of endpoints", "discovery:\n  file: not-there.yaml\n", /:2: discovery\.file: .*no such file/],
  ["a plugin that does not exist", "scheduling:\n  plugins:\n  - type: nope\n", /:3: .*nope/],
];

fact("a mistake in the file is named by file, line and key, with exit code 2", () =>
  withFolder(async (folder) => {
    for (const [i, [what, text, expected]] of mistakes.entries()) {
      const path = join(folder, `config-${i}.yaml`);
      await Deno.writeTextFile(path, text);
      const { code, out, err } = await runProgram(["serve", ...free, "--config", path]);
      equal(code, 2, `${what}: ${err}`);
      ok(err.startsWith(`${path}:`), `${what}: ${err}`);
      match(err, expected, what);
      equal(out, "");
    }
    const missing = await runProgram(["serve", "--config", join(folder, "missing.yaml")]);
    deepStrictEqual([missing.code, /missing\.yaml: .*no such file/.test(missing.err)], [2, true], missing.err);
  }));

fact(
  "a mistake on the command line ends with exit code 2 and names the flag; --help and --version with 0",
  async () => {
    for (const line of ["--port eighty", "--endpoints ftp://x", "--nonsense", "--port"]) {
      const { code, err } = await runProgram(["serve", ...line.split(" ")]);
      equal(code, 2, `${line}: ${err}`);
      ok(err.includes(line.split(" ")[0]), `${line}: ${err}`);
    }
    const help = await runProgram(["serve", "--help"]);
    equal(help.code, 0);
    for (const flag of ["--config", "--endpoints", "--port", "--admin-port"]) ok(help.out.includes(flag), help.out);
    const version = await runProgram(["--version"]);
    deepStrictEqual([version.code, version.out], [0, "0.1.0"]);
  },
);

fact("a port in use is said in one line with what to do, with exit code 2", async () => {
  const listener = Deno.listen({ hostname: "0.0.0.0", port: 0 });
  const adminListener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = (on: Deno.TcpListener) => String(on.addr.port);
  try {
    for (
      const ports of [
        ["--port", port(listener), "--admin-port", "0"],
        ["--port", "0", "--admin-port", port(adminListener)],
      ]
    ) {
      const { code, err } = await runProgram(["serve", ...ports, "--endpoints", "http://127.0.0.1:1"]);
      equal(code, 2, err);
      match(err, /^Cannot listen: .*in use.*--port/);
      ok(!err.includes("    at "), err);
    }
  } finally {
    listener.close();
    adminListener.close();
  }
});
