/** What a request will take at each endpoint, learned while serving. */
export * from "./corrections.ts";
export * from "./drift.ts";
export * from "./explain.ts";
export * from "./features.ts";
export * from "./learner.ts";
export * from "./prediction.ts";
export * from "./predictor.ts";
export * from "./prior.ts";
export * from "./record.ts";
export * from "./reservoir.ts";
export * from "./state.ts";
export * from "./trainer.ts";
export * from "./worker_shop.ts";
export * from "./forest_shop.ts";
export * from "./governor.ts";
export * from "./snapshot.ts";
