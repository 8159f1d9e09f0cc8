/** Who may ask for what: API keys, tenants, and their quotas in shared memory. Config in, a caller a request out. */
export { Caller, Charge, type UsedTokens } from "./caller.ts";
export { KeyGuard, keyReport } from "./guard.ts";
export { QuotaTable, rateOf, type Seat } from "./quota_table.ts";
export { type KeyPlan, KeyRows } from "./rows.ts";
