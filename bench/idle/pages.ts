// Metrics pages of idle engines, each on its own port: `pages.ts COUNT`. Prints {"ports": […]}.
import { idlePage } from "./page.ts";

const page = new TextEncoder().encode(idlePage(0));
const ports = Array.from({ length: Number(Deno.args[0]) }, () => {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response(page));
  return server.addr.port;
});
console.log(JSON.stringify({ ports }));
