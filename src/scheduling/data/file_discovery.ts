/**
 * `file-discovery`: endpoints listed in a file. Parameters: `path` (required), `watchFile` (false).
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";

/** What the pool needs to read endpoints from a file. */
export interface FileDiscoveryParams {
  readonly path: string;
  readonly watchFile: boolean;
}

export const fileDiscovery = definePlugin({
  type: "file-discovery",
  kinds: ["discovery"],
  summary: "endpoints from a file",
  params: z.strictObject({ path: z.string().min(1, "must be a file name"), watchFile: z.boolean().default(false) }),
});
