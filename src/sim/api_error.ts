/** A refusal, before it takes the shape of a dialect's error body. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  /** `type` as vLLM names it, such as `BadRequestError`; `param` the request field at fault. */
  constructor(readonly status: number, readonly type: string, message: string, readonly param: string | null = null) {
    super(message);
  }

  static badRequest(message: string, param: string | null = null): ApiError {
    return new ApiError(400, "BadRequestError", message, param);
  }

  static unknownModel(model: string): ApiError {
    return new ApiError(404, "NotFoundError", `The model \`${model}\` does not exist`, "model");
  }

  static queueFull(): ApiError {
    return new ApiError(429, "RateLimitError", "The waiting queue is full");
  }

  /** The body in vLLM's shape of OpenAI's error. */
  openai(): Record<string, unknown> {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.status } };
  }

  /** The body in Anthropic's shape. */
  anthropic(): Record<string, unknown> {
    const type = anthropicTypes.get(this.status) ?? (this.status < 500 ? "invalid_request_error" : "api_error");
    return { type: "error", error: { type, message: this.message } };
  }
}

const anthropicTypes = new Map([
  [401, "authentication_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [413, "request_too_large"],
  [429, "rate_limit_error"],
  [529, "overloaded_error"],
]);
