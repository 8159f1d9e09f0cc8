/** The ports, and what answers on them: what clients see and what operators see. */
export { adminHandler, type AdminParts } from "./admin.ts";
export { edgeHandler, type EdgeParts } from "./app.ts";
export { BodyBudget } from "./body_budget.ts";
export { explainDecision, type Explained, type ExplainRequest } from "./explain.ts";
export type { ClientRequest, Handler } from "./http/request.ts";
export { Listener, type ListenerOptions } from "./listener.ts";
export { type ListedModel } from "./models.ts";
export { OverloadGuard, type OverloadLimits, type ShedReason } from "./overload.ts";
