/** Keys that change under load, the command that makes them, and the token of the admin port. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { join } from "node:path";
import { secretHash } from "../../src/core/mod.ts";
import { startSimServer } from "../../src/sim/mod.ts";
import { fact, model, openAiError, post, until, withRouter } from "./harness.ts";
import { endInOrder, type Program, replaceFile, runProgram, withFolder, withProgram } from "./program.ts";

const hashOf = (secret: string) => `sha256:${secretHash(secret)}`;
const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` });

interface Running {
  readonly program: Program;
  readonly url: string;
  readonly adminUrl: string;
  readonly path: string;
  /** Status of a short request with this key. */
  ask(key: string): Promise<number>;
}

/** A program over one simulator, whose keys stand in a file of their own that holds `keys`. */
function withKeysFile(keys: string, use: (running: Running) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const sim = startSimServer({ port: 0, speed: 20 });
    const path = join(folder, "keys.yaml");
    await Deno.writeTextFile(path, keys);
    const env = { WARMPATH_ENDPOINTS: sim.url, WARMPATH_KEYS_FILE: path };
    try {
      await withProgram(["serve", "--port", "0", "--admin-port", "0"], async (program) => {
        const { url, adminUrl } = await program.serving();
        const ask = async (key: string) => {
          const asked = { model, prompt: "x", max_tokens: 2 };
          const response = await post(`${url}/v1/completions`, asked, { headers: bearer(key) });
          await response.body?.cancel();
          return response.status;
        };
        await until("it is ready", async () => {
          const response = await fetch(`${adminUrl}/readyz`);
          await response.body?.cancel();
          return response.status === 200;
        });
        await use({ program, url, adminUrl, path, ask });
      }, env);
    } finally {
      await sim.stop();
    }
  });
}

const keysText = (keys: Readonly<Record<string, string>>) =>
  "list:\n" +
  Object.entries(keys).map(([id, more]) => `- {id: ${id}, hash: "${hashOf(`sk-${id}`)}"${more}}\n`).join("");

for (const how of ["a change of the file", "SIGHUP"] as const) {
  fact(
    `${how} takes in new keys and lets go of old ones under load; who stays loses nothing`,
    () =>
      withKeysFile(keysText({ a: ", requestsPerMinute: 100000, tokensPerMinute: 1000000", b: "" }), async (running) => {
        const { program, url, adminUrl, path, ask } = running;
        const statuses = new Set<number>();
        let asked = 0, stopped = false;
        const load = Array.from({ length: 4 }, async () => {
          for (; !stopped; asked++) statuses.add(await ask("sk-a"));
        });
        // A stream of the key that goes, longer than the change takes.
        const stream = await post(`${url}/v1/completions`, { model, prompt: "x", max_tokens: 4000, stream: true }, {
          headers: bearer("sk-b"),
        });
        equal(stream.status, 200);
        deepStrictEqual([await ask("sk-b"), await ask("sk-c")], [200, 401]);
        await replaceFile(path, keysText({ c: "", a: ", requestsPerMinute: 100000, tokensPerMinute: 1000000" }));
        if (how === "SIGHUP") program.signal("SIGHUP");
        await program.err.find(/"message":"Configuration reloaded"/);
        deepStrictEqual([await ask("sk-b"), await ask("sk-c")], [401, 200]);
        match(await stream.text(), /data: \[DONE\]\n\n$/);
        stopped = true;
        await Promise.all(load);
        deepStrictEqual([...statuses], [200]);
        const page = await (await fetch(`${adminUrl}/debug/keys`)).json();
        deepStrictEqual(page.keys.map(({ id, inFlight }: Record<string, unknown>) => [id, inFlight]), [["c", 0], [
          "a",
          0,
        ]]);
        const { requests } = page.keys[1];
        // 100,000 a minute: each request counts, those before the change too, and 1.7 come back in a millisecond.
        ok(requests.remaining < 100_000 || requests.resetMs === 0, JSON.stringify(requests));
        ok(asked > 20);
        await endInOrder(program);
        const lines = program.out.seen.map((line) => JSON.parse(line));
        equal(lines.filter(({ key, outcome }) => key === "a" && outcome === "completed").length, asked);
      }),
  );
}

fact(
  "a bad keys file changes nothing, is told of by file, line and key, and is counted; balances outlive it",
  () =>
    withKeysFile(keysText({ a: ", requestsPerMinute: 3" }), async ({ program, adminUrl, path, ask }) => {
      deepStrictEqual([await ask("sk-a"), await ask("sk-a")], [200, 200]);
      await replaceFile(path, `${keysText({ a: "" })}- {id: b, key: sk-secret-text}\n`);
      program.signal("SIGHUP");
      const line = JSON.parse(await program.err.find(/Cannot reload the configuration/));
      match(
        line.problem,
        new RegExp(`^${path}:3: list\\[1\\]\\.hash: must be .*\\n${path}:3: list\\[1\\]\\.key: must be left out`),
      );
      match(await (await fetch(`${adminUrl}/metrics`)).text(), /warmpath_config_reloads_total\{result="failure"\} 1/);
      deepStrictEqual([await ask("sk-a"), await ask("sk-a"), await ask("sk-b")], [200, 429, 401]);
      // The same key with the same limit, in another place of another file.
      await replaceFile(path, keysText({ z: "", a: ", requestsPerMinute: 3" }));
      program.signal("SIGHUP");
      await program.err.find(/"message":"Configuration reloaded"/);
      deepStrictEqual([await ask("sk-a"), await ask("sk-z")], [429, 200]);
      await endInOrder(program);
      ok(!program.err.seen.join("\n").includes("sk-secret-text"));
    }),
);

fact("`warmpath key` makes a key that its hash lets in", async () => {
  const { code, out } = await runProgram(["key"]);
  equal(code, 0);
  const [, key, hash] = /^key: {2}(sk-[\w-]{43})\nhash: (sha256:[0-9a-f]{64})$/.exec(out)!;
  await withRouter({ sims: [{}], config: { keys: { list: [{ id: "a", hash }] } } }, async ({ url }) => {
    const response = await fetch(`${url}/v1/models`, { headers: bearer(key) });
    await response.body?.cancel();
    equal(response.status, 200);
  });
  ok((await runProgram(["key"])).out !== out);
});

fact("WARMPATH_API_KEY alone asks everyone for that key", async () => {
  const sim = startSimServer({ port: 0, speed: 20 });
  const env = { WARMPATH_ENDPOINTS: sim.url, WARMPATH_API_KEY: "sk-only-one" };
  try {
    await withProgram(["serve", "--port", "0", "--admin-port", "0"], async (program) => {
      const { url } = await program.serving();
      for (const [key, status] of [["sk-only-one", 200], ["sk-another", 401]] as const) {
        const response = await fetch(`${url}/v1/models`, { headers: bearer(key) });
        await response.body?.cancel();
        equal(response.status, status);
      }
      await endInOrder(program);
    }, env);
  } finally {
    await sim.stop();
  }
});

fact(
  "with admin.token every admin page but probes and metrics asks for it",
  () =>
    withRouter({ sims: [{}], config: { admin: { token: hashOf("the-token") } } }, async ({ adminUrl }) => {
      const page = (path: string, init: RequestInit = {}) => fetch(adminUrl + path, init);
      for (const path of ["/livez", "/readyz", "/metrics"]) {
        const response = await page(path);
        await response.body?.cancel();
        equal(response.status, 200, path);
      }
      for (const path of ["/debug/endpoints", "/debug/config", "/debug/keys", "/nothing"]) {
        for (const headers of [new Headers(), new Headers(bearer("another"))]) {
          const response = await page(path, { headers });
          deepStrictEqual([response.status, response.headers.get("www-authenticate")], [401, "Bearer"], path);
          equal((await openAiError(response)).code, "invalid_admin_token");
        }
      }
      const decide = await page("/debug/decide", { method: "POST", body: "x".repeat(1 << 19) });
      equal((await openAiError(decide)).code, "invalid_admin_token");
      const config = await (await page("/debug/config", { headers: bearer("the-token") })).text();
      ok(config.includes('"tokenHash":"[hidden]"') && !config.includes(secretHash("the-token")));
    }),
);

const outside = Deno.networkInterfaces().find(({ family, address }) =>
  family === "IPv4" && !address.startsWith("127.")
);

Deno.test({
  name: "without a token another machine sees probes and metrics only, as the image binds all addresses",
  ignore: outside === undefined,
  fn: () =>
    withRouter({ sims: [{}], config: { admin: { host: "0.0.0.0" } } }, async ({ router }) => {
      const status = async (host: string, path: string) => {
        const response = await fetch(`http://${host}:${router.adminPort}${path}`);
        await response.body?.cancel();
        return response.status;
      };
      for (
        const [path, ...statuses] of [["/readyz", 200, 200], ["/metrics", 200, 200], ["/debug/keys", 200, 401]] as const
      ) {
        deepStrictEqual([await status("127.0.0.1", path), await status(outside!.address, path)], statuses, path);
      }
    }),
});
