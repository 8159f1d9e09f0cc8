import { deepStrictEqual } from "node:assert/strict";
import { ApiError } from "./api_error.ts";

Deno.test("ApiError takes vLLM's and Anthropic's shape", () => {
  deepStrictEqual(ApiError.unknownModel("x").openai(), {
    error: { message: "The model `x` does not exist", type: "NotFoundError", param: "model", code: 404 },
  });
  const types = [400, 404, 413, 429, 503, 529].map((status) =>
    (new ApiError(status, "", "m").anthropic().error as { type: string }).type
  );
  deepStrictEqual(types, [
    "invalid_request_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
  ]);
});
