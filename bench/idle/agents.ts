// Agents without an engine, as routers see them while nothing happens: `agents.ts COUNT`. Prints {"ports": […]}.
import { AgentServer, Publisher } from "../../src/agent/mod.ts";
import { FeedState, systemClock } from "../../src/core/mod.ts";
import { seedCheck } from "../../src/kv/mod.ts";
import { openTree } from "./tree.ts";

const count = Number(Deno.args[0]);
const tree = await openTree(count);
const publishers: Publisher[] = [];
const servers: AgentServer[] = [];
for (let slot = 0; slot < count; slot++) {
  const tokens = Uint32Array.from({ length: 16_000 }, (_, i) => slot * 1_000_003 + i);
  const hashes = BigUint64Array.from({ length: 1000 }, (_, i) => BigInt(slot * 1000 + i + 1));
  tree.store(slot, { tier: 0, hashes, tokens, blockTokens: 16, lora: "" });
  const identity = { epoch: `idle-${slot}`, engine: "zmq", version: "bench" };
  const publisher = new Publisher(systemClock, identity, { tree, slot });
  publishers.push(publisher);
  publisher.setState(FeedState.Live, "subscribed");
  const listen = { host: "127.0.0.1", port: 0, seedCheck: seedCheck(tree) };
  servers.push(await AgentServer.start([publisher], listen, systemClock));
}
// As after each reading of an idle engine's metrics, only less often.
const read = () => {
  for (const publisher of publishers) {
    publisher.setLoad({ running: 0, waiting: 0, kvUsage: 0, cacheBlocks: 1000, cacheBlockTokens: 16 });
  }
};
read();
setInterval(read, 1000);
console.log(JSON.stringify({ ports: servers.map(({ port }) => port) }));
