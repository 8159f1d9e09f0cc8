/**
 * The program from a folder that holds only what the single executable embeds: the modules that `src/main.ts` reaches,
 * and `embeddedFiles`. What is missing here is missing in the executable.
 */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { embeddedFiles, permissions } from "../../.ci/embedded.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Files of the repository that the module at `entry` reaches by imports, itself included. */
async function moduleGraph(entry: string): Promise<string[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "--frozen", entry],
    cwd: root,
    env: { NO_COLOR: "1" },
  }).output();
  ok(success, new TextDecoder().decode(stderr));
  const graph: { modules: { specifier: string; error?: string }[] } = JSON.parse(new TextDecoder().decode(stdout));
  const local = graph.modules.filter(({ specifier }) => specifier.startsWith("file:"));
  deepStrictEqual(local.filter(({ error }) => error !== undefined), []);
  return local.map(({ specifier }) => fileURLToPath(specifier).slice(root.length));
}

/** Copies what the executable embeds into a new folder. */
async function copyEmbedded(): Promise<string> {
  const entries = ["src/main.ts", ...embeddedFiles.filter((file) => file.endsWith(".ts"))];
  const files = new Set(["deno.json", "deno.lock", ...embeddedFiles]);
  for (const entry of entries) for (const file of await moduleGraph(entry)) files.add(file);
  const folder = await Deno.makeTempDir({ prefix: "warmpath-embedded-" });
  for (const file of files) {
    await Deno.mkdir(dirname(join(folder, file)), { recursive: true });
    await Deno.copyFile(join(root, file), join(folder, file));
  }
  return folder;
}

/** Starts the program from `folder` with the permissions of the executable. */
function start(folder: string, args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--cached-only", "--frozen", "--no-prompt", ...permissions, "src/main.ts", ...args],
    cwd: folder,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function withEmbedded(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await copyEmbedded();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("the embedded files alone print the help", () =>
  withEmbedded(async (folder) => {
    const { code, stdout, stderr } = await start(folder, ["--help"]).output();
    equal(code, 0, new TextDecoder().decode(stderr));
    match(new TextDecoder().decode(stdout), /warmpath[\s\S]*serve/);
  }));

Deno.test({
  name: "the embedded files alone start the demo pool, answer a completion and stop on SIGTERM",
  ignore: !existsSync(join(root, "src/commands/serve.ts")),
  fn: () =>
    withEmbedded(async (folder) => {
      const port = freePort();
      const args = ["serve", "--port", String(port), "--admin-port", String(freePort())];
      const child = start(folder, args);
      const output = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
      try {
        const models = await firstAnswer(child, `http://127.0.0.1:${port}/v1/models`);
        const model = models.data[0].id;
        const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ model, prompt: "One two three", max_tokens: 4 }),
        });
        const body = await response.text();
        equal(response.status, 200, body);
        equal(JSON.parse(body).object, "text_completion");
      } finally {
        stop(child);
        await child.status;
      }
      equal((await child.status).code, 0, (await output).join("\n"));
    }),
});

/** Asks the program to end; does nothing when it has ended by itself. */
function stop(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGTERM");
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
}

/** A port nothing listens on at this moment. */
function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}

/** The JSON of the first 200 answer with a model in it; throws when the program ends or 20 s pass. */
async function firstAnswer(child: Deno.ChildProcess, url: string): Promise<{ data: { id: string }[] }> {
  let ended = false;
  child.status.then(() => ended = true);
  const deadlineMs = Date.now() + 20_000;
  while (!ended && Date.now() < deadlineMs) {
    const response = await fetch(url).catch(() => undefined);
    if (response?.status === 200) {
      const models = await response.json();
      if (models.data.length > 0) return models;
    } else await response?.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Cannot reach ${url}: the program ${ended ? "ended" : "gave no model within 20 s"}`);
}
