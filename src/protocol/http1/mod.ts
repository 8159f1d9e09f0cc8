/** HTTP/1.1 as bytes and values, for both sides of the router (RFC 9112). Strict: what can be read in two ways is refused. */
export * from "./chunked.ts";
export * from "./fields.ts";
export * from "./framing.ts";
export * from "./head.ts";
export * from "./text.ts";
