/** Typed door to the kernels: memory layout, loading, one instance an isolate, and the kernels' TypeScript twins. */
export * from "./hash.ts";
export * from "./hash_twin.ts";
export * from "./hotpath.ts";
export * from "./layout.ts";
export * from "./load.ts";
export * from "./prefix_tree.ts";
export * from "./prefix_tree_twin.ts";
