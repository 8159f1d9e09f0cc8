/** What is compared: a way to decide, plugged into the router's own path, with ears for what came of the decisions. */
import type { EndpointTable, RequestView, VirtualClock } from "../../src/core/mod.ts";
import type { FlowConfig } from "../../src/config/mod.ts";
import type { LatencySource, SchedulingPlan } from "../../src/scheduling/mod.ts";
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
  readonly latency?: (table: EndpointTable) => LatencySource;
  /** Throws a `RouterError` for a request that is not to be placed. Asked before anything else. */
  readonly admit?: (view: RequestView) => void;
  readonly labels?: Labels;
}

/** What a router learns of a request after it was sent, when it learns it. */
export interface Labels {
  /** Of a stream only; from being sent. */
  firstToken?(view: RequestView, slot: number, ttftMs: number): void;
  ended?(view: RequestView, slot: number, end: LabelledEnd): void;
}

export interface LabelledEnd {
  /** NaN where the answer was no stream. */
  readonly ttftMs: number;
  /** From being sent to the last token. */
  readonly e2eMs: number;
  readonly outputTokens: number;
}
