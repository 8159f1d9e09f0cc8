/** Whether a request goes now, waits or is refused, and who is next. */
export * from "./controller.ts";
export { Capacity } from "./capacity.ts";
export { Ceilings, flowPriorities } from "./ceiling.ts";
export * from "./types.ts";
