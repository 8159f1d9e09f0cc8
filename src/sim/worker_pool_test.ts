import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import { sleep, systemClock } from "../core/mod.ts";
import { startWorkerServer, startWorkerServers } from "./worker_pool.ts";

async function complete(url: string): Promise<{ pod: string | null; text: string }> {
  const body = JSON.stringify({ prompt: "Same for all", max_tokens: 4 });
  const response = await fetch(`${url}/v1/completions`, { method: "POST", body });
  return { pod: response.headers.get("x-inference-pod"), text: (await response.json()).choices[0].text };
}

Deno.test("startWorkerServers() runs servers of distinct names that give the same answers, and stops them", async () => {
  const { urls, servers, stop } = await startWorkerServers(3, { speed: 20 });
  const answers = await Promise.all(urls.map(complete));
  deepStrictEqual(answers.map(({ pod }) => pod), ["sim-0", "sim-1", "sim-2"]);
  equal(new Set(answers.map(({ text }) => text)).size, 1);
  await servers[0].changeFaults({ "slow-factor": 2 });
  await stop();
  await stop();
  for (const url of urls) await rejects(complete(url));
});

Deno.test("kill() closes the port at once, and a new server can take it", async () => {
  const server = await startWorkerServer({ port: 0, speed: 20 });
  equal((await complete(server.url)).pod, server.podName);
  const changing = server.changeFaults({ "slow-factor": 2 });
  server.kill();
  await changing;
  await server.stop();
  for (let i = 0; i < 100; i++) {
    try {
      const again = await startWorkerServer({ port: server.port, name: "again" });
      equal((await complete(again.url)).pod, "again");
      await again.stop();
      return;
    } catch (error) {
      // The thread may take a moment to end.
      if (i === 99 || !/AddrInUse|in use/i.test(String(error))) throw error;
      await sleep(systemClock, 20);
    }
  }
});

Deno.test("startWorkerServers() leaves nothing running when one cannot start", async () => {
  // The second would listen on port 65536.
  await rejects(startWorkerServers(2, { port: 65_535 }), /simulated server failed.*port: must be an integer/);
  await rejects(Deno.connect({ hostname: "127.0.0.1", port: 65_535 }), Deno.errors.ConnectionRefused);
});
