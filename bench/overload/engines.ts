/** Simulated engines of few places each, in one process: `engines.ts COUNT PLACES`. Prints `{"ports": […]}`. */
import { startSimServer } from "../../src/sim/mod.ts";

const [count, maxNumSeqs] = Deno.args.map(Number);
const servers = Array.from(
  { length: count },
  (_, seed) => startSimServer({ port: 0, seed, maxNumSeqs, model: "bench" }),
);
console.log(JSON.stringify({ ports: servers.map(({ url }) => Number(new URL(url).port)) }));
