/** One request's life, and the interfaces of what it is joined from. */
export { type Answer, answerOf, type BodySource, isSource } from "./answer.ts";
export { type DecisionReport, modelNotFound, Pipeline } from "./pipeline.ts";
export { DirectDispatch, type Dispatch } from "./dispatch.ts";
export type { HedgeOptions } from "./hedge.ts";
export { Placed, type PlacedParts } from "./placed.ts";
export type { RetryBudgetOptions } from "./retry_budget.ts";
export * from "./parts.ts";
export * from "./types.ts";
