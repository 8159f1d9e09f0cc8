/** Whether a request goes now, waits or is refused, and who is next. */
export * from "./controller.ts";
export type { LaneBand } from "./lane.ts";
export { Capacity } from "./capacity.ts";
export { Ceilings, ceilingsOf } from "./ceiling.ts";
export { explainFlow, type FlowReport } from "./explain.ts";
export * from "./revocation.ts";
export { flowSample } from "./sample.ts";
export * from "./types.ts";
