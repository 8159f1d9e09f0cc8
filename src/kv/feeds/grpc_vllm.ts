import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { vllmEngine } from "../../proto/mod.ts";
import { checkGrpcHealth, grpcAddress, type GrpcEngine, type GrpcOptions, runGrpcFeed } from "./grpc_link.ts";
import type { FeedDeps } from "./turns.ts";
import type { FeedPosition, FeedSink, FeedSource, LoadSample } from "./types.ts";

/**
 * The events of vLLM's gRPC port (`vllm serve --grpc`). They carry neither tier, adapter name nor multimodal hashes, and
 * cannot be replayed: ZMQ tells more where it can be reached.
 */
export class VllmGrpcSource implements FeedSource {
  readonly kind = "vllm-grpc";
  readonly address: string;
  readonly #options: GrpcOptions;
  readonly #deps: FeedDeps;

  constructor(options: GrpcOptions, deps: FeedDeps) {
    this.#options = options;
    this.#deps = deps;
    this.address = grpcAddress(options);
  }

  /** Rejects with `FeedUnsupported` when the engine publishes no events. */
  run(sink: FeedSink, from: FeedPosition, signal: AbortSignal): Promise<void> {
    return runGrpcFeed(this.#options, vllm, this.#deps, { sink, from, signal });
  }

  /** Resolves when the engine says it serves; rejects with the reason otherwise. */
  checkHealth(signal: AbortSignal): Promise<void> {
    return checkGrpcHealth(this.#options, vllmEngine.VllmEngine.typeName, signal);
  }
}

function vllm(transport: Transport): GrpcEngine {
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
