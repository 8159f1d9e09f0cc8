/** nginx as a plain proxy: the fewest connections, kept alive, nothing held back on either way. */
import type { Peer } from "./peer.ts";

const config = (work: string, port: number, upstreams: readonly string[]) => `
user ${Deno.uid() === 0 ? "root" : "nobody"};
daemon off;
worker_processes auto;
pid ${work}/nginx.pid;
error_log stderr;
events { worker_connections 4096; }
http {
  access_log ${work}/access.log;
  client_max_body_size 64m;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((n) => `${n}_temp_path ${work}/${n};`).join("\n  ")}
  upstream engines {
    least_conn;
${upstreams.map((upstream) => `    server ${upstream};`).join("\n")}
    keepalive 64;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://engines;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
      proxy_read_timeout 300s;
    }
  }
}
`;

export const nginx: Peer = {
  name: "nginx",
  package: { apt: ["nginx"] },
  start: ({ installed, work, port, upstreams }) => ({
    program: `${installed}/usr/sbin/nginx`,
    args: ["-p", work, "-e", "stderr", "-c", `${work}/nginx.conf`],
    files: { "nginx.conf": config(work, port, upstreams) },
  }),
};
