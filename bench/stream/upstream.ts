/**
 * A model server of nothing but timing: chat completions whose chunks look like vLLM's, all of one size, a fixed gap
 * apart. `max_tokens` gives the number of chunks. Answers what a router asks of vLLM besides. Prints `{"port"}`.
 *
 *     deno run -A bench/stream/upstream.ts GAP_MS
 */
import { chunkText } from "./chunk.ts";

const gapMs = Number(Deno.args[0]);
const encoder = new TextEncoder();
const chunk = encoder.encode(chunkText);
const usage = { prompt_tokens: 100, completion_tokens: 100, total_tokens: 200 };
const done = encoder.encode("data: [DONE]\n\n");

function metrics(): string {
  const labels = `{model_name="bench",engine="0"}`;
  return [
    `# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running${labels} ${running}`,
    `# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting${labels} 0`,
    `# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc${labels} 0.1`,
    `# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{block_size="16",num_gpu_blocks="32768",engine="0"} 1`,
    "",
  ].join("\n");
}

let running = 0;

/** Chunks at their times, counted from the first, so that a late timer does not delay the rest. */
function paced(chunks: number, withUsage: boolean): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let sent = 0;
  running++;
  const end = () => {
    clearTimeout(timer);
    running--;
  };
  return new ReadableStream({
    start(controller) {
      const startMs = performance.now();
      const step = () => {
        try {
          controller.enqueue(chunk);
        } catch {
          // The connection was lost without the stream being cancelled.
          return end();
        }
        if (++sent < chunks) {
          timer = setTimeout(step, Math.max(0, startMs + sent * gapMs - performance.now()));
          return;
        }
        if (withUsage) controller.enqueue(encoder.encode(`data: ${JSON.stringify({ choices: [], usage })}\n\n`));
        controller.enqueue(done);
        controller.close();
        end();
      };
      step();
    },
    cancel: end,
  });
}

async function complete(request: Request): Promise<Response> {
  const body = await request.json();
  if (body.stream) {
    const stream = paced(body.max_tokens, body.stream_options?.include_usage === true);
    return new Response(stream, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
  }
  const message = { role: "assistant", content: "word ".repeat(60) };
  const choices = [{ index: 0, message, logprobs: null, finish_reason: "stop" }];
  return Response.json({
    id: "chatcmpl-bench",
    object: "chat.completion",
    created: 1_700_000_000,
    model: "bench",
    choices,
    usage,
  });
}

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(JSON.stringify({ port })),
}, (request) => {
  switch (new URL(request.url).pathname) {
    case "/v1/chat/completions":
      return complete(request);
    case "/v1/models":
      return Response.json({ object: "list", data: [{ id: "bench", object: "model", max_model_len: 131_072 }] });
    case "/metrics":
      return new Response(metrics(), { headers: { "content-type": "text/plain; version=0.0.4" } });
    case "/health":
      return new Response();
    default:
      return new Response("Not found", { status: 404 });
  }
});
