/** KV-cache events of model servers: what they say, and the decoder of every ZMQ dialect. */
export * from "./types.ts";
