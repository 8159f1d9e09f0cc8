/** How waiting can end without a place: what the client is told, and what metrics call it. */
import type { FlowRefusal } from "./types.ts";

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

export const refusals = {
  full: (whose: string, retryAfterS: number): FlowRefusal => ({
    end: "RejectedCapacity",
    outcome: "rejected-saturated",
    message: `The queue ${whose} is full`,
    retryAfterS,
  }),
  displaced: (retryAfterS: number): FlowRefusal => ({
    end: "RejectedCapacity",
    outcome: "rejected-saturated",
    message: "The queue is full and the request made room for another",
    retryAfterS,
  }),
  saturated: (waitMs: number, retryAfterS: number): FlowRefusal => ({
    end: "RejectedCapacity",
    outcome: "rejected-saturated",
    message: `The request would wait for about ${seconds(waitMs)}, longer than it may`,
    retryAfterS,
  }),
  missesTarget: (waitMs: number, retryAfterS: number): FlowRefusal => ({
    end: "RejectedCapacity",
    outcome: "rejected-saturated",
    message: `The request would wait for about ${seconds(waitMs)} and miss its target for the first token`,
    retryAfterS,
  }),
  noEndpoints: (message: string): FlowRefusal => ({
    end: "RejectedNoEndpoints",
    outcome: "rejected-no-endpoints",
    message,
  }),
  noEndpointsInTime: (waitedMs: number): FlowRefusal => ({
    end: "EvictedNoEndpoints",
    outcome: "rejected-no-endpoints",
    message: `No endpoint became ready within ${seconds(waitedMs)}`,
  }),
  expired: (waitedMs: number, retryAfterS: number): FlowRefusal => ({
    end: "EvictedTTL",
    outcome: "rejected-ttl-expired",
    message: `No endpoint had room within ${seconds(waitedMs)}`,
    retryAfterS,
  }),
  cancelled: (): FlowRefusal => ({
    end: "EvictedContextCancelled",
    outcome: "client-disconnect",
    message: "The client closed the request",
  }),
  stopped: (): FlowRefusal => ({
    end: "EvictedOther",
    outcome: "rejected-shutting-down",
    message: "The router is shutting down",
  }),
};
