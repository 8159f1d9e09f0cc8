/** HAProxy as a plain proxy: the fewest connections; without `http-no-delay` it holds the chunks of a stream back. */
import type { Peer } from "./peer.ts";

const config = (port: number, upstreams: readonly string[]) => `
global
  maxconn 4096
defaults
  mode http
  option http-no-delay
  timeout connect 2s
  timeout client 300s
  timeout server 300s
frontend clients
  bind 127.0.0.1:${port}
  default_backend engines
backend engines
  balance leastconn
${upstreams.map((upstream, i) => `  server engine${i} ${upstream}`).join("\n")}
`;

export const haproxy: Peer = {
  name: "haproxy",
  package: { apt: ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"] },
  start: ({ installed, work, port, upstreams }) => ({
    program: `${installed}/usr/sbin/haproxy`,
    args: ["-db", "-f", `${work}/haproxy.cfg`],
    env: { LD_LIBRARY_PATH: `${installed}/usr/lib/${Deno.build.arch}-linux-gnu` },
    files: { "haproxy.cfg": config(port, upstreams) },
  }),
};
