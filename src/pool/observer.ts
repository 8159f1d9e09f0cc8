/** What the pool tells whoever counts and logs. Every method is optional; none may throw. */
import type { EndpointState } from "../core/mod.ts";

/** What about an endpoint's requests opened its circuit. */
export type EjectionReason = "failures" | "error-rate" | "success-rate" | "slow";

export interface PoolObserver {
  /** A scrape ended after `durationMs`; `error` when it gave no sample. */
  scraped?(slot: number, durationMs: number, error?: unknown): void;
  /** An active health check ended. */
  probed?(slot: number, healthy: boolean): void;
  stateChanged?(id: string, from: EndpointState, to: EndpointState, reason: string): void;
  /** What the data path saw took an endpoint out for `backoffMs`; `message` says what. */
  ejected?(id: string, reason: EjectionReason, message: string, backoffMs: number): void;
  /** A discovery source gave a list. */
  discovered?(source: string, endpoints: number): void;
  /** Something an operator should read: a bad file, a failed lookup, a full table. */
  problem?(message: string, cause?: unknown): void;
}
