import { RouterError } from "../../core/mod.ts";
import type { Answer } from "../../pipeline/mod.ts";
import { errorAnswer, errorShape, type Http1Error } from "../../protocol/mod.ts";

/** The answer to what did not become a request; its error has OpenAI's shape where no path is known. */
export function refusalOf({ message, status }: Http1Error, path = ""): Answer {
  const code = status === 405 ? { code: "method_not_allowed" } : {};
  const error = new RouterError("bad-request", `Cannot read the request: ${message}`, code);
  return { ...errorAnswer(error, errorShape(path), crypto.randomUUID()), status };
}

/** The answer to a client that comes when every connection is taken. */
export function crowdedAnswer(): Answer {
  const error = new RouterError("rejected-saturated", "The router has no connection to spare", {
    code: "too_many_connections",
    retryAfterS: 1,
  });
  return { ...errorAnswer(error, "openai", crypto.randomUUID()), status: 503 };
}
