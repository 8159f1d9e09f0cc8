import { rejects } from "node:assert/strict";
import { systemClock } from "../../core/mod.ts";
import { AgentSource } from "./agent.ts";
import { probeHttp2 } from "./http2_probe.ts";
import { Turns } from "./turns.ts";
import { GrpcSource } from "./grpc_source.ts";
import { vllmGrpc } from "./grpc_vllm.ts";
import { TestPeer } from "./zmq_testing.ts";
import { greeting } from "./zmq_wire.ts";
import type { FeedSink } from "./types.ts";

const sink = {} as FeedSink;
const nowhere = { epoch: "", seq: -1 };

Deno.test("a gRPC feed and an agent feed at a ZeroMQ port say so", async () => {
  const peer = new TestPeer(async (link) => {
    await link.write(greeting());
    await link.next();
  });
  const place = { host: "127.0.0.1", port: peer.port };
  const signal = new AbortController().signal;
  const engine = new GrpcSource(vllmGrpc, place, { clock: systemClock, turns: new Turns(systemClock) });
  await rejects(engine.run(sink, nowhere, signal), /does not speak HTTP\/2/);
  await rejects(new AgentSource({ ...place, seedCheck: 1n }).run(sink, nowhere, signal), /does not speak HTTP\/2/);
  peer.close();
});

Deno.test("probeHttp2() rejects with the signal's reason while the peer is silent", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const stop = new AbortController();
  const probe = probeHttp2("127.0.0.1", (listener.addr as Deno.NetAddr).port, stop.signal);
  const conn = await listener.accept();
  stop.abort(new Error("enough"));
  await rejects(probe, /enough/);
  conn.close();
  listener.close();
});
