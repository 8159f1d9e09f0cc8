import type { ConnectRouter } from "@connectrpc/connect";
import { vllmEngine } from "../proto/mod.ts";
import { bridgeEvents } from "./grpc_common.ts";
import type { ModelServer } from "./model_server.ts";
import { servedNames } from "./options.ts";

/** vLLM's service, as far as it tells of the server; what generates is left to HTTP. */
export function vllmService(router: ConnectRouter, models: ModelServer): void {
  const { options } = models;
  router.service(vllmEngine.VllmEngine, {
    healthCheck: () => ({ healthy: true, message: "Health" }),
    getModelInfo: () => ({
      modelPath: options.model,
      isGeneration: true,
      maxContextLength: options.maxModelLen,
      vocabSize: 0,
      servedModelName: servedNames(options)[0],
      tokenizerPath: options.model,
      maxReqInputLen: options.maxModelLen,
    }),
    getServerInfo: () => ({ serverType: "vllm-grpc", dataParallelSize: options.dataParallelSize }),
    // As its servicer does it: rank 0 and four numbers, whatever is asked.
    getLoads() {
      const { running, waiting, kvUsage } = models.ranks[0].metrics();
      const load = { numRunningReqs: running, numWaitingReqs: waiting, numTotalReqs: running + waiting };
      return {
        timestamp: new Date(models.clock.wallMs()).toISOString(),
        version: "sim",
        dpRankCount: 1,
        loads: [{ dpRank: 0, ...load, tokenUsage: kvUsage }],
      };
    },
    subscribeKvEvents: (_, context) => bridgeEvents(models.feeds[0], context),
  });
}
