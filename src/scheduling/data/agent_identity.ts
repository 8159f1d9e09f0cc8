/**
 * `agent-identity`: the tenant of an agent's requests, where the fairness-id header does not name one: the first of these
 * headers that is not empty.
 *
 * Parameters: `additionalSessionHeaders` ([]), looked at before `x-claude-code-session-id`, `x-session-affinity`,
 * `session-id`, `session_id`. Inputs: request headers.
 */
import { z } from "zod";
import { definePlugin, headerName } from "../definition.ts";

const known = ["x-claude-code-session-id", "x-session-affinity", "session-id", "session_id"];

export interface AgentIdentityParams {
  /** In the order they are looked at, in lower case. */
  readonly headers: readonly string[];
}

export const agentIdentity = definePlugin({
  type: "agent-identity",
  kinds: ["producer"],
  summary: "tenant from the session headers of agents",
  params: z.strictObject({ additionalSessionHeaders: z.array(headerName).default([]) }),
  resolve: ({ additionalSessionHeaders }): AgentIdentityParams => ({
    headers: [...new Set([...additionalSessionHeaders, ...known])],
  }),
});
