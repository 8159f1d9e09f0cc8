/** The Hono apps: what clients see and what operators see. */
export { adminApp, type AdminParts } from "./admin.ts";
export { edgeApp, type EdgeParts } from "./app.ts";
export { explainDecision, type Explained, type ExplainRequest } from "./explain.ts";
export { type Bindings, Listener, type ListenerOptions } from "./listener.ts";
export { type ListedModel } from "./models.ts";
export { OverloadGuard, type OverloadLimits, type ShedReason } from "./overload.ts";
