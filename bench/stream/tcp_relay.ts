/**
 * What the runtime's sockets cost alone: bytes copied between two TCP connections, no HTTP. Prints `{"port"}`.
 *
 *     deno run -A bench/stream/tcp_relay.ts UPSTREAM_URL
 */
const { hostname, port } = new URL(Deno.args[0]);

async function copy(from: Deno.Conn, to: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(65_536);
  for (;;) {
    const n = await from.read(buffer);
    if (n === null) return await to.closeWrite();
    for (let sent = 0; sent < n;) sent += await to.write(buffer.subarray(sent, n));
  }
}

async function relay(client: Deno.TcpConn): Promise<void> {
  client.setNoDelay(true);
  const server = await Deno.connect({ hostname, port: Number(port) });
  server.setNoDelay(true);
  try {
    await Promise.all([copy(client, server), copy(server, client)]);
  } catch {
    // Either side may be cut off: the other one is then too.
  } finally {
    client.close();
    server.close();
  }
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(JSON.stringify({ port: listener.addr.port }));
for await (const client of listener) void relay(client);
