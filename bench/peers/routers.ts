/** Routers for model servers from one family: Rust inside a Python package, each with its cache-aware policy. */
import type { Peer, Start } from "./peer.ts";

/** The command line they have in common; all else is their default. */
function routerStart(module: string): Peer["start"] {
  return ({ installed, port, adminPort, upstreams }): Start => ({
    program: "python3",
    args: [
      ...["-m", `${module}.launch_router`, "--host", "127.0.0.1", "--port", String(port), "--policy", "cache_aware"],
      ...["--prometheus-port", String(adminPort)],
      ...["--worker-urls", ...upstreams.map((upstream) => `http://${upstream}`)],
    ],
    env: { PYTHONPATH: installed },
  });
}

export const smg: Peer = { name: "smg", package: { pip: "smg==1.13.0" }, start: routerStart("smg") };

export const vllmRouter: Peer = {
  name: "vllm-router",
  package: { pip: "vllm-router==0.1.17" },
  start: routerStart("vllm_router"),
};

export const sglangRouter: Peer = {
  name: "sglang-router",
  package: { pip: "sglang-router==0.3.2" },
  start: routerStart("sglang_router"),
};
