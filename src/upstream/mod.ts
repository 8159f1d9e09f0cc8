/** Everything that dials a model server: connections, streaming, timeouts, cancellation. Does not choose one. */
export * from "./client.ts";
export { type ByteStream } from "./http1.ts";
