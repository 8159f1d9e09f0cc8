/** What a request will cost: forests in XGBoost's format, and their training. */
export * from "./training.ts";
export * from "./training_client.ts";
export type { TrainingJob, TrainingTarget } from "./training_job.ts";
export type * from "./xgboost/ensemble.ts";
export { writeModelJson, writeModelUbjson } from "./xgboost/write.ts";
