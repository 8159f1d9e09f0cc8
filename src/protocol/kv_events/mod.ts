/** KV-cache events of model servers: what they say, and the decoder of every ZMQ dialect. */
export * from "./decode.ts";
export * from "./frames.ts";
export * from "./media.ts";
export * from "./msgpack.ts";
export * from "./types.ts";
export * from "./word_set.ts";
