import type { SimOptions } from "./options.ts";
import { servedNames } from "./options.ts";

/** Launch arguments as SGLang lists them, as far as the simulator has them. */
export function serverArgs(options: SimOptions): Record<string, string | number | boolean | null> {
  const { endpoint, replayEndpoint, topic, bufferSteps } = options.kvEvents;
  const events = {
    publisher: "zmq",
    endpoint,
    replay_endpoint: replayEndpoint === "" ? null : replayEndpoint,
    buffer_steps: bufferSteps,
    topic,
  };
  return {
    model_path: options.model,
    served_model_name: servedNames(options)[0],
    host: options.hostname,
    port: options.port,
    page_size: options.blockSize,
    dp_size: options.dataParallelSize,
    tp_size: 1,
    max_running_requests: options.maxNumSeqs,
    context_length: options.maxModelLen,
    disaggregation_mode: "null",
    kv_events_config: endpoint === "" ? null : JSON.stringify(events),
  };
}

/** `GET /server_info` of SGLang; `endpoint` is where rank 0 publishes cache events, "" for nowhere. */
export function serverInfo(options: SimOptions, endpoint: string): Record<string, unknown> {
  const address = endpoint.match(/^tcp:\/\/(.+):(\d+)$/);
  const tokensMax = options.kvCacheSize * options.blockSize;
  return {
    ...serverArgs(options),
    status: "ready",
    max_total_num_tokens: tokensMax,
    internal_states: Array.from({ length: options.dataParallelSize }, () => ({ max_total_num_tokens: tokensMax })),
    version: "sim",
    ...(address && {
      kv_events: {
        publisher: "zmq",
        endpoint_host: address[1],
        endpoint_port_base: Number(address[2]),
        topic: options.kvEvents.topic,
        block_size: options.blockSize,
        dp_size: options.dataParallelSize,
      },
    }),
  };
}
