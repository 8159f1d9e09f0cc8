/** Every way a request can end. The protocol room's table gives status, headers and metric label for each. */
export const outcomes = [
  "completed",
  "client-disconnect",
  "upstream-error",
  "upstream-aborted",
  "upstream-timeout",
  "bad-request",
  "body-too-large",
  "model-not-found",
  "not-found",
  "not-cached",
  "rejected-saturated",
  "rejected-no-endpoints",
  "rejected-ttl-expired",
  "rejected-context-cancelled",
  "rejected-shutting-down",
  "rejected-body-memory",
  "evicted",
  "internal-error",
] as const;
export type Outcome = (typeof outcomes)[number];
