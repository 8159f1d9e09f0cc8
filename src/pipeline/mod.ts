/** One request's life, and the interfaces of what it is joined from. */
export { type Answer, answerOf, type BodySource, isSource } from "./answer.ts";
export { type DecisionReport, modelNotFound, Pipeline } from "./pipeline.ts";
export { DirectDispatch, type Dispatch } from "./dispatch.ts";
export { flowOptions } from "./flow_dispatch.ts";
export { Placed } from "./placed.ts";
export * from "./parts.ts";
export * from "./types.ts";
