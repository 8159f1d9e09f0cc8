/**
 * `session-id-producer`: where a session id is read from. Parameters: exactly one of `headerName`, `cookieName`.
 */
import { z } from "zod";
import { definePlugin, headerName } from "../definition.ts";

const params = z.strictObject({
  headerName: headerName.optional(),
  cookieName: z.string().min(1, "must be a cookie name").optional(),
}).refine((params) => (params.headerName === undefined) !== (params.cookieName === undefined), {
  message: "must have exactly one of headerName and cookieName",
});

export type SessionIdParams = z.output<typeof params>;

export const sessionIdProducer = definePlugin({
  type: "session-id-producer",
  kinds: ["producer"],
  summary: "session id from a header or cookie",
  params,
});
