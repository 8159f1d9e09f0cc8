// Agents beside the engines whose events come at these ports: `agents.ts PORT:REPLAY_PORT…`. Prints {"ports": […]}.
import { Agent, openBlockTree } from "../../src/agent/mod.ts";
import { Prng, systemClock } from "../../src/core/mod.ts";
import { feedSource, Turns } from "../../src/kv/mod.ts";
import { Logger } from "../../src/telemetry/mod.ts";

const clock = systemClock;
const ports: number[] = [];
for (const [seed, pair] of Deno.args.entries()) {
  const [port, replayPort] = pair.split(":").map(Number);
  const agent = await Agent.start({
    clock,
    rng: new Prng(seed),
    log: new Logger({ write: () => {}, clock }),
    version: "bench",
    tree: await openBlockTree(1, 64 << 20, ""),
    sources: [feedSource({ kind: "zmq", host: "127.0.0.1", port, replayPort }, { clock, turns: new Turns(clock) })],
    server: { host: "127.0.0.1", port: 0 },
  });
  ports.push(agent.port);
}
console.log(JSON.stringify({ ports }));
