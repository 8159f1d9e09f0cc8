/** Portkey's gateway on Node: its targets balanced by weight, named by a header as its clients do. */
import type { Peer } from "./peer.ts";

/**
 * Its streamed answers fail on Node 20, where headers of a `fetch` answer cannot be changed: each answer's headers are copied
 * before it sees them.
 */
const mutableHeaders = `const { fetch } = globalThis;
globalThis.fetch = async (...args) => {
  const { body, status, statusText, headers } = await fetch(...args);
  return new Response(body, { status, statusText, headers: new Headers(headers) });
};
`;

export const portkey: Peer = {
  name: "portkey",
  package: { npm: "@portkey-ai/gateway@1.15.2" },
  start: ({ installed, work, port, upstreams }) => ({
    program: "node",
    args: [
      ...["--import", `${work}/mutable_headers.mjs`],
      ...[`${installed}/node_modules/@portkey-ai/gateway/build/start-server.js`, `--port=${port}`, "--headless"],
    ],
    env: { NODE_ENV: "production" },
    files: { "mutable_headers.mjs": mutableHeaders },
    headers: {
      "x-portkey-config": JSON.stringify({
        strategy: { mode: "loadbalance" },
        targets: upstreams.map((upstream) => ({
          provider: "openai",
          api_key: "none",
          custom_host: `http://${upstream}/v1`,
          weight: 1,
        })),
      }),
    },
  }),
};
