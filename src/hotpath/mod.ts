/** Typed door to the kernels: memory layout, loading, one instance an isolate. Their TypeScript twins are for tests. */
export type * from "./block_tree_types.ts";
export * from "./block_tree.ts";
export * from "./block_tree_types.ts";
export * from "./body_edits.ts";
export * from "./forest_pack.ts";
export * from "./forests.ts";
export * from "./hash.ts";
export * from "./held_blocks.ts";
export * from "./hotpath.ts";
export * from "./layout.ts";
export * from "./load.ts";
export * from "./scan.ts";
export * from "./scan_result.ts";
export * from "./train.ts";
export type * from "./train_types.ts";
