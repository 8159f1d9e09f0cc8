import { z } from "zod";

/** Parameters all of llm-d's pickers share. */
export const pickerParams = z.strictObject({
  maxNumOfEndpoints: z.number().int().positive("must be greater than 0").default(1),
});
