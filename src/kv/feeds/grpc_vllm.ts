import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { vllmEngine } from "../../proto/mod.ts";
import type { GrpcCalls, GrpcEngine } from "./grpc_source.ts";
import type { LoadSample } from "./types.ts";

/** vLLM's gRPC port (`vllm serve --grpc`). */
export const vllmGrpc: GrpcEngine = { kind: "vllm-grpc", service: vllmEngine.VllmEngine.typeName, calls };

function calls(transport: Transport): GrpcCalls {
  const client: Client<typeof vllmEngine.VllmEngine> = createClient(vllmEngine.VllmEngine, transport);
  let hasStatistics = false;
  return {
    subscribe: (startSequenceNumber, options) => client.subscribeKvEvents({ startSequenceNumber }, options),
    // The engine tells neither block size nor number of blocks here.
    geometry: () => Promise.resolve({}),
    async load(options) {
      const { loads } = await client.getLoads({ dpRank: 0, include: ["core"] }, options);
      const load = loads.find(({ dpRank }) => dpRank === 0);
      if (!load) return undefined;
      // Without statistics (`--disable-log-stats`) everything is 0 for ever, which must not be read as idle.
      hasStatistics ||= load.numRunningReqs > 0 || load.numWaitingReqs > 0 || load.tokenUsage > 0;
      return hasStatistics ? readVllmLoad(load) : undefined;
    },
  };
}

/** A rank's load in vLLM's numbering of fields. */
function readVllmLoad(load: vllmEngine.SchedulerLoad): LoadSample {
  return { running: load.numRunningReqs, waiting: load.numWaitingReqs, kvUsage: load.tokenUsage };
}
