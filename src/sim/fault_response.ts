import type { Clock } from "../core/mod.ts";
import { ApiError } from "./api_error.ts";
import type { Fault } from "./faults.ts";

/** Where and for whom a fault plays. */
export interface FaultScene {
  /** Real time. */
  readonly clock: Clock;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** Answers a request under `fault`; `answer` makes the response it would have had. */
export async function withFault(fault: Fault, scene: FaultScene, answer: () => Promise<Response>): Promise<Response> {
  if (fault.kind === "status") throw injected(fault.status);
  if (fault.kind === "stall" && fault.after < 0) {
    await stall(scene, fault.ms);
    return answer();
  }
  const response = await answer();
  if (response.body === null) return response;
  const headers = new Headers(response.headers);
  headers.delete("content-length");
  return new Response(faultyBody(fault, scene, splitPieces(response)), { status: response.status, headers });
}

function injected(status: number): ApiError {
  const type = status === 429 ? "RateLimitError" : status < 500 ? "BadRequestError" : "InternalServerError";
  return new ApiError(status, type, `Injected fault with status ${status}`);
}

/** Ends after `ms`, never for 0; rejects when the client goes. */
function stall({ clock, signal }: FaultScene, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => {
      timer?.cancel();
      reject(signal.reason);
    };
    const timer = ms > 0
      ? clock.after(ms, () => {
        signal.removeEventListener("abort", gone);
        resolve();
      })
      : undefined;
    if (signal.aborted) gone();
    else signal.addEventListener("abort", gone, { once: true });
  });
}

/** The pieces of a body: events of a stream, the two halves of anything else. */
function splitPieces(response: Response): ReadableStream<Uint8Array> {
  if (response.headers.get("content-type")?.startsWith("text/event-stream")) return response.body!;
  return response.body!.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        const middle = chunk.length >> 1;
        if (middle > 0) controller.enqueue(chunk.slice(0, middle));
        controller.enqueue(chunk.slice(middle));
      },
    }),
  );
}

/** Lets the pieces before a reset reach the wire: an error overtakes what is not yet written. */
const resetDelayMs = 5;

/** Lets pieces through until the fault's turn comes: then the stream errors, which cuts the connection, or waits. */
function faultyBody(
  fault: Exclude<Fault, { kind: "status" }>,
  scene: FaultScene,
  pieces: ReadableStream<Uint8Array>,
): ReadableStream<Uint8Array> {
  const reader = pieces.getReader();
  let passed = 0;
  return new ReadableStream({
    async pull(controller) {
      if (passed === fault.after) {
        await stall(scene, fault.kind === "reset" ? resetDelayMs : fault.ms);
        if (fault.kind === "reset") {
          controller.error(new Error("Injected reset"));
          return reader.cancel();
        }
      }
      const { done, value } = await reader.read();
      passed++;
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}
