/** A decision laid open for operators, in plain data: the edge that decides may be in another isolate. */
import { type Clock, RouterError } from "../core/mod.ts";
import { apiPaths, errorResponse, errorShape } from "../protocol/mod.ts";
import type { DecisionReport, Pipeline } from "../pipeline/mod.ts";

/** A request as a client would send it. */
export interface ExplainRequest {
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body?: Uint8Array;
}

/** What to answer, with a JSON body. */
export interface Explained {
  readonly status: number;
  readonly body: string;
}

/** Decides for a request without sending it; an error is answered as a client would see it. */
export async function explainDecision(
  pipeline: Pipeline,
  clock: Clock,
  { path, headers, body }: ExplainRequest,
): Promise<Explained> {
  const id = crypto.randomUUID();
  try {
    const report = await pipeline.explain({
      id,
      api: Object.hasOwn(apiPaths, path) ? apiPaths[path] : "passthrough",
      method: "POST",
      path,
      headers: new Headers(headers.map(([name, value]) => [name, value])),
      body,
      errorShape: errorShape(path),
      signal: new AbortController().signal,
      receivedAtMs: clock.now(),
    });
    return { status: 200, body: JSON.stringify(shown(report)) };
  } catch (error) {
    const response = errorResponse(RouterError.from(error), errorShape(path), id);
    return { status: response.status, body: await response.text() };
  }
}

/** Hashes stay out: they are many and say nothing to people. */
function shown({ view, ...rest }: DecisionReport): object {
  return {
    request: {
      api: view.api,
      model: view.model,
      requestedModel: view.requestedModel,
      stream: view.stream,
      promptTokens: view.promptTokens,
      promptBlocks: view.blocks.hashes.length,
      blockTokens: view.blocks.blockTokens,
      maxOutputTokens: view.maxOutputTokens,
      mediaParts: view.mediaParts,
      fairnessId: view.fairnessId,
      objective: view.objective,
      priority: view.priority,
      slo: view.slo,
    },
    ...rest,
  };
}
