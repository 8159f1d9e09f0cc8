import { endpointStateNames, type EndpointTable } from "../core/mod.ts";
import type { PoolObserver } from "../pool/mod.ts";
import type { Logger, Metrics } from "../telemetry/mod.ts";

/** What happens to endpoints, in the log and in metrics. */
export function poolObserver(log: Logger, metrics: Metrics, table: EndpointTable): PoolObserver {
  const named = (id: string) => {
    const meta = table.peek(table.slotOf(id));
    return { name: meta?.name ?? id, namespace: meta?.namespace ?? "default" };
  };
  return {
    scraped: (_slot, durationMs, error) => metrics.polled("metrics", durationMs, error === undefined),
    stateChanged: (id, from, to, reason) => {
      log.info("Endpoint changed state", {
        endpoint: id,
        from: endpointStateNames[from],
        to: endpointStateNames[to],
        reason,
      });
    },
    ejected: (id, reason, message, backoffMs) => {
      metrics.endpointEjected(named(id), reason);
      log.warn("Endpoint ejected", { endpoint: id, reason: message, backoffMs });
    },
    problem: (message, cause) => log.error(message, { cause: cause instanceof Error ? cause.message : cause }),
  };
}
