/** Bytes in, values out: API paths, header rules, error bodies, usage and response edits. No sockets, no timers. */
export * from "./apis.ts";
export * from "./first_token.ts";
export * from "./headers.ts";
export * from "./http1/mod.ts";
export * from "./kv_events/mod.ts";
export * from "./outcomes.ts";
export * from "./prometheus_text.ts";
export * from "./response_edits.ts";
export * from "./resumable_stream.ts";
export * from "./usage.ts";
export * from "./stream_observer.ts";
