/**
 * The bare relay: an HTTP server and client of the same runtime, bodies handed through untouched, nothing looked at.
 * Prints `{"port"}`.
 *
 *     deno run -A bench/lib/http_relay.ts UPSTREAM_URL
 */
const upstream = Deno.args[0];

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(JSON.stringify({ port })),
}, async (request) => {
  const { pathname, search } = new URL(request.url);
  const { method, headers, body, signal } = request;
  const answer = await fetch(upstream + pathname + search, { method, headers, body, signal });
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
});
