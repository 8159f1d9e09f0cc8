/** What a request will cost: forests in XGBoost's format, and their training. */
export * from "./training.ts";
export type * from "./xgboost/ensemble.ts";
export { writeModelJson, writeModelUbjson } from "./xgboost/write.ts";
