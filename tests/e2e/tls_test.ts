/** Model servers behind TLS: trusted by the certificate file that is configured, and by nothing less. */
import { deepStrictEqual, equal } from "node:assert/strict";
import { fact, model, openAiError, post, until, withRouter } from "./harness.ts";

const file = (name: string) => new URL(`../golden/tls/${name}`, import.meta.url).pathname;

/** A model server that speaks TLS with a certificate for localhost. */
function secureServer(): Deno.HttpServer<Deno.NetAddr> {
  const [cert, key] = ["server.pem", "server.key"].map((name) => Deno.readTextFileSync(file(name)));
  return Deno.serve({ hostname: "127.0.0.1", port: 0, cert, key, onListen() {} }, (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/models") return Response.json({ data: [{ id: model }] });
    if (pathname === "/metrics") return new Response("vllm:num_requests_running 0\n");
    return Response.json({ secure: true });
  });
}

fact("an https endpoint is reached with its authority's certificate", async () => {
  const server = secureServer();
  try {
    const config = { upstream: { tls: { caFile: file("ca.pem") } } };
    await withRouter({ endpoints: [`https://localhost:${server.addr.port}`], config }, async (stage) => {
      const response = await post(`${stage.url}/v1/completions`, { model, prompt: "x" });
      deepStrictEqual(await response.json(), { secure: true });
    });
  } finally {
    await server.shutdown();
  }
});

fact("an https endpoint whose certificate nobody vouches for is never ready", async () => {
  const server = secureServer();
  try {
    const config = { flow: { noEndpointTtl: "100ms" } };
    await withRouter({ endpoints: [`https://localhost:${server.addr.port}`], ready: false, config }, async (stage) => {
      await until("its health check fails", () => (stage.router.pool.snapshot()[0]?.health?.down ?? 0) > 0);
      const response = await post(`${stage.url}/v1/completions`, { model, prompt: "x" });
      equal(response.status, 503);
      equal((await openAiError(response)).code, "no_endpoints");
    });
  } finally {
    await server.shutdown();
  }
});
