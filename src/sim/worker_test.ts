import { equal, ok } from "node:assert/strict";
import type { WorkerCommand, WorkerReply } from "./worker.ts";

Deno.test("worker.ts answers each command once: start, faults, stop, and what fails", async () => {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  const ask = (command: WorkerCommand) =>
    new Promise<WorkerReply>((resolve) => {
      worker.onmessage = ({ data }: MessageEvent<WorkerReply>) => resolve(data);
      worker.postMessage(command);
    });
  try {
    const failed = await ask({ kind: "start", options: { port: 0, speed: -1 } });
    ok(failed.kind === "failed" && /speed: must be above 0/.test(failed.message));
    const started = await ask({ kind: "start", options: { port: 0, name: "w" } });
    ok(started.kind === "started" && started.podName === "w");
    const health = await fetch(`${started.url}/health`);
    equal(health.status, 200);
    await health.body?.cancel();
    equal((await ask({ kind: "faults", change: { "slow-factor": 2 } })).kind, "done");
    equal((await ask({ kind: "faults", change: { "slow": 2 } })).kind, "failed");
    equal((await ask({ kind: "stop" })).kind, "done");
  } finally {
    worker.terminate();
  }
});
