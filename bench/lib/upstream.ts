/**
 * Model servers of nothing but timing: chat completions whose chunks look like vLLM's, all of one size, a fixed gap apart.
 * `max_tokens` gives the number of chunks. With `hold` as the gap a stream sends its first chunk and waits, for all the
 * chunks that are due, until `POST /release`. Answers what routers ask of vLLM besides. Prints `{"ports"}`.
 *
 *     deno run -A bench/lib/upstream.ts GAP_MS|hold [SERVERS]
 */
import { chunkText } from "./chunk.ts";

const gapMs = Deno.args[0] === "hold" ? Infinity : Number(Deno.args[0]);
const encoder = new TextEncoder();
const chunk = encoder.encode(chunkText);
const usage = { prompt_tokens: 100, completion_tokens: 100, total_tokens: 200 };
const done = encoder.encode("data: [DONE]\n\n");
const plain = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1_700_000_000,
  model: "bench",
  choices: [{
    index: 0,
    message: { role: "assistant", content: "word ".repeat(60) },
    logprobs: null,
    finish_reason: "stop",
  }],
  usage,
});
const models = JSON.stringify({ object: "list", data: [{ id: "bench", object: "model", max_model_len: 1_048_576 }] });
const json = { headers: { "content-type": "application/json" } };

/** Streams that wait. */
const held = new Set<() => void>();

/** Chunks at their times, counted from the first, so that a late timer does not delay the rest. */
function paced(chunks: number, withUsage: boolean, count: (change: number) => void): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let sent = 0;
  let release: (() => void) | undefined;
  count(1);
  const end = () => {
    clearTimeout(timer);
    if (release) held.delete(release);
    count(-1);
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
          if (gapMs === Infinity) held.add(release = step);
          else timer = setTimeout(step, Math.max(0, startMs + sent * gapMs - performance.now()));
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

function releaseAll(): Response {
  const streams = [...held];
  held.clear();
  for (const step of streams) step();
  return Response.json({ released: streams.length });
}

async function complete(request: Request, count: (change: number) => void): Promise<Response> {
  const body = await request.json();
  if (!body.stream) return new Response(plain, json);
  // Some routers write the older name anew as the newer one.
  const stream = paced(
    body.max_tokens ?? body.max_completion_tokens,
    body.stream_options?.include_usage === true,
    count,
  );
  return new Response(stream, { headers: { "content-type": "text/event-stream; charset=utf-8" } });
}

function metrics(running: number): string {
  const labels = `{model_name="bench",engine="0"}`;
  return [
    `# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running${labels} ${running}`,
    `# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting${labels} 0`,
    `# TYPE vllm:kv_cache_usage_perc gauge\nvllm:kv_cache_usage_perc${labels} 0.1`,
    `# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{block_size="16",num_gpu_blocks="32768",engine="0"} 1`,
    "",
  ].join("\n");
}

/** One server; its port. */
function serve(): number {
  let running = 0;
  const count = (change: number) => void (running += change);
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    switch (new URL(request.url).pathname) {
      case "/v1/chat/completions":
        return complete(request, count);
      case "/v1/models":
        return new Response(models, json);
      case "/metrics":
        return new Response(metrics(running), { headers: { "content-type": "text/plain; version=0.0.4" } });
      case "/health":
        return new Response();
      case "/release":
        return releaseAll();
      default:
        return new Response("Not found", { status: 404 });
    }
  }).addr.port;
}

console.log(JSON.stringify({ ports: Array.from({ length: Number(Deno.args[1] ?? 1) }, serve) }));
