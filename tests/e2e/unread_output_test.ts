/** A log collector that stands still: requests go on without it. */
import { equal, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { systemClock } from "../../src/core/mod.ts";
import { startSimServer } from "../../src/sim/mod.ts";
import { fact, model, post, until } from "./harness.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Several times what a pipe holds (64 KiB). */
const requests = 500;

async function servingUrl(lines: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const part of lines.pipeThrough(new TextDecoderStream())) {
    text += part;
    const serving = text.split("\n").find((line) => line.includes('"message":"Serving"') && line.endsWith("}"));
    if (serving !== undefined) return JSON.parse(serving).url;
  }
  throw new Error(`It never served: ${text}`);
}

for (const workers of ["1", "2"]) {
  fact(`with ${workers} edges, an access log that nobody reads holds up no request and not the end`, async () => {
    const sim = startSimServer({ port: 0, speed: 1000 });
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--cached-only", "--frozen", "-A", "src/main.ts", "serve", "--endpoints", sim.url]
        .concat("--port", "0", "--admin-port", "0", "--workers", workers),
      cwd: root,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    try {
      const url = await servingUrl(child.stderr);
      const ask = async (prompt: string) => {
        const body = { model, prompt, max_tokens: 1 };
        const answer = await post(`${url}/v1/completions`, body, { signal: AbortSignal.timeout(10_000) });
        await answer.text();
        return answer.status;
      };
      await until("it routes", async () => await ask("first") === 200);
      for (let at = 0; at < requests; at++) equal(await ask(`${at}`), 200);
      const fromMs = systemClock.now();
      child.kill("SIGTERM");
      equal((await child.status).code, 0);
      ok(systemClock.now() - fromMs < 8000);
      for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) ok(text.length > 0);
    } finally {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
      await sim.stop();
    }
  });
}
