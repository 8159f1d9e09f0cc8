/** The isolate that tokenizes long prompts and loads tokenizers, so that the edge's own is never held up. */
/// <reference lib="deno.worker" />
import { reasonOf } from "../core/mod.ts";
import { JobRunner, loadTokenizer } from "./jobs.ts";
import type { FromWorker, ToWorker } from "./worker_messages.ts";

let runner = new JobRunner(0);

function handle(message: ToWorker): FromWorker | undefined {
  switch (message.kind) {
    case "start":
      runner = new JobRunner(message.cacheBytesMax);
      return undefined;
    case "adopt":
      runner.adopt(message.model, message.data, message.settings);
      return undefined;
    case "load":
      try {
        return { kind: "loaded", data: loadTokenizer(message.origin) };
      } catch (error) {
        return { kind: "failed", message: reasonOf(error) };
      }
    case "job":
      return { kind: "done", answer: runner.run(message.job), cacheBytes: runner.cacheBytes };
  }
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  const answer = handle(data);
  if (answer) self.postMessage(answer);
};
