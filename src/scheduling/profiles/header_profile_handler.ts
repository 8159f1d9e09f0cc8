/**
 * `header-profile-handler`: runs the profile a request header names.
 *
 * Rule: a lone profile always runs; else the profile whose name equals the header; no header →
 * `defaultProfile`; no such profile → refused. Parameters: `headerName` (`EPP-Profile`), `defaultProfile` ("decode").
 * Inputs: request headers.
 */
import { z } from "zod";
import { definePlugin, headerName } from "../definition.ts";

const params = z.strictObject({
  headerName: headerName.default("epp-profile"),
  defaultProfile: z.string().min(1, "must be a profile name").default("decode"),
});

export type HeaderProfileParams = z.output<typeof params>;

export const headerProfileHandler = definePlugin({
  type: "header-profile-handler",
  kinds: ["profile-handler"],
  summary: "runs the profile a header names",
  params,
  create: (name, { headerName, defaultProfile }) => ({
    type: "header-profile-handler",
    name,
    choose(view, profiles) {
      if (profiles.length === 1) return 0;
      return profiles.indexOf(view.headers.get(headerName)?.trim() || defaultProfile);
    },
  }),
});
