/** TLS on the router's ports and towards model servers, with certificates that change while it runs. */
import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import http2 from "node:http2";
import tls from "node:tls";
import { Authority } from "./certificates.ts";
import { fact, model, post, type Stage, until, withRouter } from "./harness.ts";

/** Puts one certificate and key in place of another, as a renewal does: first the one file, then the other. */
async function renew(from: { certFile: string; keyFile: string }, to: { certFile: string; keyFile: string }) {
  await Deno.copyFile(from.certFile, to.certFile);
  await Deno.copyFile(from.keyFile, to.keyFile);
}

/** The name on the certificate a port shows to a new connection, and what was agreed to speak. */
function shown(port: number, ca: string): Promise<{ name: string; alpn: string | false | null }> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: "localhost", port, ca, ALPNProtocols: ["h2"] }, () => {
      resolve({ name: String(socket.getPeerCertificate().subject?.CN), alpn: socket.alpnProtocol });
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

function curl(...args: string[]): Promise<string> {
  return new Deno.Command("curl", { args: ["-sS", "-w", "\n%{http_version} %{http_code}", ...args], stderr: "piped" })
    .output().then(({ stdout, stderr }) => new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr));
}

const reload = (stage: Stage) => stage.router.reload(stage.router.config);

fact("both ports speak TLS, HTTP/2 to those who can and HTTP/1.1 to the others", async () => {
  await using authority = await Authority.create();
  const pair = await authority.sign("first");
  await withRouter({ sims: [{}], config: { server: { tls: pair }, admin: { tls: pair } } }, async ({ router }) => {
    const url = `https://localhost:${router.port}/v1/completions`;
    const body = JSON.stringify({ model, prompt: "x", max_tokens: 2, stream: true });
    for (const [flag, version] of [["--http2", "2"], ["--http1.1", "1.1"]]) {
      const text = await curl(flag, "--cacert", authority.caFile, url, "-d", body);
      match(text, new RegExp(`data: \\[DONE\\]\\s+${version} 200$`));
    }
    const ready = await curl("--cacert", authority.caFile, `https://localhost:${router.adminPort}/readyz`);
    match(ready, /"ready":true.*\n2 200$/s);
    match(await curl(`https://localhost:${router.port}/v1/models`), /certificate/);
    match(await curl(`http://localhost:${router.port}/v1/models`), /000/);
  });
});

fact("a renewed certificate is shown to new connections, and old ones go on", async () => {
  await using authority = await Authority.create();
  const used = await authority.sign("first"), next = await authority.sign("second");
  await withRouter({ sims: [{}], config: { server: { tls: used } } }, async (stage) => {
    const { port } = stage.router;
    const ca = await authority.ca();
    deepStrictEqual(await shown(port, ca), { name: "first", alpn: "h2" });
    const client = http2.connect(`https://localhost:${port}`, { ca });
    const closed = new Promise((resolve) => client.once("close", resolve));
    const models = () =>
      new Promise<number>((resolve, reject) => {
        const stream = client.request({ ":path": "/v1/models" });
        stream.on("response", (headers) => resolve(Number(headers[":status"])));
        stream.on("error", reject);
        stream.resume();
        stream.end();
      });
    equal(await models(), 200);
    await renew(next, used);
    await reload(stage);
    deepStrictEqual(await shown(port, ca), { name: "second", alpn: "h2" });
    equal(await models(), 200);
    client.destroy();
    await closed;
    ok(stage.logLines.some(({ message, key }) => message === "Certificate renewed" && key === "server.tls"));
  });
});

fact("files that cannot be used change nothing, and are told of once", async () => {
  await using authority = await Authority.create();
  const used = await authority.sign("first"), next = await authority.sign("second");
  await withRouter({ sims: [{}], config: { server: { tls: used } } }, async (stage) => {
    const ca = await authority.ca();
    // A key that is not the certificate's, then no key at all.
    await Deno.copyFile(next.keyFile, used.keyFile);
    await reload(stage);
    await reload(stage);
    equal((await shown(stage.router.port, ca)).name, "first");
    await Deno.writeTextFile(used.keyFile, "nothing");
    await reload(stage);
    equal((await shown(stage.router.port, ca)).name, "first");
    equal(stage.logLines.filter(({ level }) => level === "error").length, 2);
    await renew(next, used);
    await reload(stage);
    equal((await shown(stage.router.port, ca)).name, "second");
  });
});

fact("a router whose certificate and key do not belong together does not start", async () => {
  await using authority = await Authority.create();
  const [first, second] = [await authority.sign("first"), await authority.sign("second")];
  const tls = { certFile: first.certFile, keyFile: second.keyFile };
  for (const section of ["server", "admin", "upstream"]) {
    await rejects(withRouter({ sims: [{}], config: { [section]: { tls } } }, () => Promise.resolve()), {
      name: "ConfigError",
      message: /server.tls|admin.tls|upstream.tls/,
    });
  }
});

/** A model server that answers only those who show a certificate of the authority's; it counts their names. */
async function demanding(authority: Authority, use: (url: string, names: Map<string, number>) => Promise<void>) {
  const { certFile, keyFile } = await authority.sign("model-server");
  const [cert, key, ca] = await Promise.all([certFile, keyFile, authority.caFile].map((f) => Deno.readTextFile(f)));
  const names = new Map<string, number>(), sockets = new Set<tls.TLSSocket>();
  const server = tls.createServer({ cert, key, ca, requestCert: true, rejectUnauthorized: true }, (socket) => {
    const name = String(socket.getPeerCertificate().subject?.CN);
    names.set(name, (names.get(name) ?? 0) + 1);
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (bytes) => {
      const path = bytes.toString("latin1").split(" ")[1];
      const body = path === "/v1/models"
        ? JSON.stringify({ data: [{ id: model }] })
        : path === "/metrics"
        ? "vllm:num_requests_running 0\n"
        : '{"mutual":true}';
      socket.write(`HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      socket.end();
    });
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`https://localhost:${(server.address() as { port: number }).port}`, names);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

fact("a model server that demands a certificate gets the configured one, and the renewed one after it", async () => {
  await using authority = await Authority.create();
  const used = await authority.sign("router"), next = await authority.sign("renewed");
  await demanding(authority, async (url, names) => {
    const trust = { caFile: authority.caFile };
    const config = { upstream: { tls: { ...trust, ...used } } };
    await withRouter({ endpoints: [url], config }, async (stage) => {
      const ask = async () => await (await post(`${stage.url}/v1/completions`, { model, prompt: "x" })).json();
      deepStrictEqual(await ask(), { mutual: true });
      deepStrictEqual([...names.keys()], ["router"]);
      await renew(next, used);
      await reload(stage);
      deepStrictEqual(await ask(), { mutual: true });
      ok(names.has("renewed"), [...names.keys()].join());
    });
    await withRouter({ endpoints: [url], config: { upstream: { tls: trust } }, ready: false }, async (stage) => {
      await until("its health check fails", () => (stage.router.pool.snapshot()[0]?.health?.down ?? 0) > 0);
    });
  });
});
