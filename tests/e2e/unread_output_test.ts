/** A log collector that stands still: requests go on without it. */
import { equal, ok } from "node:assert/strict";
import { systemClock } from "../../src/core/mod.ts";
import { startSimServer } from "../../src/sim/mod.ts";
import { fact, model, post, until } from "./harness.ts";
import { Lines, spawnProgram } from "./program.ts";

/** Several times what a pipe holds (64 KiB). */
const requests = 500;

for (const workers of ["1", "2"]) {
  fact(`with ${workers} edges, an access log that nobody reads holds up no request and not the end`, async () => {
    const sim = startSimServer({ port: 0, speed: 1000 });
    const ports = ["--port", "0", "--admin-port", "0"];
    const child = spawnProgram(["serve", "--endpoints", sim.url, ...ports, "--workers", workers]);
    // Not its standard output.
    const err = new Lines(child.stderr);
    try {
      const { url } = JSON.parse(await err.find(/"message":"Serving"/));
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
      await Promise.all([child.status, err.done]);
      await sim.stop();
    }
  });
}
