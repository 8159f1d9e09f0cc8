// Idle engines as a router sees them over HTTP, each on its own port: `engines.ts COUNT`. Prints {"ports": […]}.
import { idlePage } from "./page.ts";

const pages = new Map([
  ["/health", ""],
  ["/v1/models", JSON.stringify({ object: "list", data: [{ id: "sim/model-8b", object: "model" }] })],
  ["/metrics", idlePage(0)],
]);

function answer(request: Request): Response {
  const page = pages.get(new URL(request.url).pathname);
  return page === undefined ? new Response(null, { status: 404 }) : new Response(page);
}

const ports = Array.from({ length: Number(Deno.args[0]) }, () => {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, answer);
  return server.addr.port;
});
console.log(JSON.stringify({ ports }));
