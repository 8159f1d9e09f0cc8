/**
 * `single-profile-handler`: runs the only profile. Parameters: none. Limits: a plan with several profiles is refused.
 */
import { definePlugin, noParams } from "../definition.ts";

export const singleProfileHandler = definePlugin({
  type: "single-profile-handler",
  kinds: ["profile-handler"],
  summary: "runs the only profile",
  params: noParams,
  create: (name) => ({ type: "single-profile-handler", name, choose: () => 0 }),
});
