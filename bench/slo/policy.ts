/** What is compared: a way to decide, plugged into the router's own path, with ears for what came of the decisions. */
import type { RequestView, VirtualClock } from "../../src/core/mod.ts";
import type { FlowConfig } from "../../src/config/mod.ts";
import type { SchedulingPlan } from "../../src/scheduling/mod.ts";
import type { Hotpath } from "../../src/hotpath/mod.ts";
import type { BenchLatency } from "../lib/router.ts";
import type { SimEndpoint } from "../../src/sim/sim_endpoint.ts";
import type { Prompt } from "../../src/sim/prompt.ts";
import type { Ask } from "./workload.ts";

export interface FleetPolicy {
  readonly name: string;
  /** Requests wait in the router's queue; absent: they are placed at once. */
  readonly flow?: FlowConfig;
  /** Once a run. */
  make(view: FleetView): PolicyParts;
}

/** What a policy may be made of. What no router knows is for oracles. */
export interface FleetView {
  readonly clock: VirtualClock;
  readonly fleet: readonly SimEndpoint[];
  /** The request of a `RequestView.id`. */
  ask(id: string): Ask;
  /** The prompt of a request as engines see it, one object a request. */
  prompt(ask: Ask): Prompt;
  /** The request of a prompt that `prompt` gave. */
  askOf(prompt: Prompt): Ask;
}

export interface PolicyParts {
  readonly plan: SchedulingPlan;
  /** What its plugins that need latency read; what it predicts for the chosen slots is compared with what comes. */
  readonly latency?: (hotpath: Hotpath) => BenchLatency;
  /** Throws a `RouterError` for a request that is not to be placed. Asked before anything else. */
  readonly admit?: (view: RequestView) => void;
  /** Awaited before each request: time for what runs beside the router. */
  readonly turn?: () => Promise<void> | undefined;
}
