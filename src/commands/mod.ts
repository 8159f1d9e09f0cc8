/** Composition roots: they join the rooms, start, drain and stop. */
export { agent } from "./agent.ts";
export { agentFlags } from "./agent_flags.ts";
export { makeKey } from "./key.ts";
export { checkConfig } from "./check.ts";
export { exitMisconfigured, type ProcessHost, version, writeLine } from "./process.ts";
export { Router } from "./router.ts";
export { serve } from "./serve.ts";
export { simulate } from "./simulate.ts";
export { type SimFlag, simFlags } from "../sim/mod.ts";
