// The module's exports: one line a kernel. Kernels keep no managed objects and no globals; callers pass addresses.
export * from "./scan/index";
export * from "./hash/index";
export * from "./blocks/index";
export * from "./forest/index";
export * from "./train/index";
