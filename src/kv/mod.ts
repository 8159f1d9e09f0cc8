/** Which blocks each endpoint holds. */
export * from "./approximate_index.ts";
