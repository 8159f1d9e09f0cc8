import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { sglangScheduler } from "../../proto/mod.ts";
import type { GrpcCalls, GrpcEngine } from "./grpc_source.ts";
import type { LoadSample } from "./types.ts";

/** SGLang's gRPC port (`sglang serve --grpc-mode`): events as poor as vLLM's, richer load. */
export const sglangGrpc: GrpcEngine = { kind: "sglang-grpc", service: sglangScheduler.SglangScheduler.typeName, calls };

function calls(transport: Transport): GrpcCalls {
  const client: Client<typeof sglangScheduler.SglangScheduler> = createClient(
    sglangScheduler.SglangScheduler,
    transport,
  );
  return {
    subscribe: (startSequenceNumber, options) => client.subscribeKvEvents({ startSequenceNumber }, options),
    geometry: async (options) => readGeometry(await client.getServerInfo({}, options)),
    async load(options) {
      const { loads } = await client.getLoads({ dpRank: 0, include: ["core", "queues"] }, options);
      const load = loads.find(({ dpRank }) => dpRank === 0);
      return load && readSglangLoad(load);
    },
  };
}

function readGeometry({ serverArgs, maxTotalNumTokens }: sglangScheduler.GetServerInfoResponse): LoadSample {
  const pageTokens = serverArgs?.page_size;
  if (typeof pageTokens !== "number" || !(pageTokens >= 1)) return {};
  return {
    cacheBlockTokens: pageTokens,
    ...(maxTotalNumTokens > 0 && { cacheBlocks: Math.floor(maxTotalNumTokens / pageTokens) }),
  };
}

/** A rank's load in SGLang's numbering of fields. */
function readSglangLoad(load: sglangScheduler.SchedulerLoad): LoadSample {
  const { queues, numWaitingUncachedTokens: uncached } = load;
  // Requests that wait for their grammar, are paused or were put back wait too, in queues of their own.
  const queued = queues ? queues.waiting + queues.grammar + queues.paused + queues.retracted : 0;
  const waiting = Math.max(load.numWaitingReqs, queued);
  return {
    running: load.numRunningReqs,
    waiting,
    kvUsage: load.tokenUsage,
    // A waiting request has at least one token to compute: 0 is what a server says that does not know the field.
    ...((uncached > 0 || waiting === 0) && { waitingUncachedTokens: uncached }),
  };
}
